package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/refract-video/refract/internal/provider"
)

// accountChecks returns a check for each provider account, which makes a free call with its key.
func accountChecks(accounts provider.Accounts) []check {
	var checks []check
	for _, name := range accounts.Names() {
		checks = append(checks, check{"account " + name, func(ctx context.Context) Result {
			p := accounts[name]
			if c, ok := p.(interface{ CloseIdleConnections() }); ok {
				defer c.CloseIdleConnections()
			}
			treasurer, free := p.(provider.Treasurer)
			if !free {
				return skip("the key was not checked: %s has no documented call that is free and needs it", p.Name())
			}
			funds, err := treasurer.Funds(ctx)
			return judgeAccount(funds, err)
		}})
	}
	return checks
}

func judgeAccount(funds provider.Cost, err error) Result {
	refusal, answered := errors.AsType[*provider.Error](err)
	switch {
	case err == nil && strings.Trim(funds.Amount, "0.") == "":
		return warn("buy credits; until then the account pauses", "the provider accepts the key, and no credits are left")
	case err == nil:
		return ok("the provider accepts the key; %s %s are left", funds.Amount, funds.Unit)
	case answered && refusal.Class == provider.AccountBlocked && refusal.Pause == provider.PauseCredentials:
		return fail("set the key that the provider's console shows", "the provider refuses the key: %v", err)
	case answered && refusal.Class == provider.AccountBlocked:
		return fail("see the provider's console", "the provider blocks the account (%s): %v", refusal.Pause, err)
	case answered && refusal.Code == 0:
		return fail("let this machine reach the provider, or correct its URL", "the provider can't be reached: %v", err)
	case answered && (refusal.Class == provider.RateLimited || refusal.Class == provider.Unavailable):
		return warn("run it again in a while", "the provider did not say: %v", err)
	default:
		return fail("correct the URL of the provider", "an unexpected answer: %v", err)
	}
}

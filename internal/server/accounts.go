package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/upstream"
)

// accounts are the configured provider accounts, and the providers whose tasks the database holds.
type accounts struct {
	provider.Accounts

	route     []string // The providers of tasks that name none.
	providers []string // Includes those without an account, whose tasks may move to another provider.
}

// openAccounts makes the adapters, and announces their accounts to the database.
func openAccounts(ctx context.Context, f Config, db *database, log *slog.Logger) (a accounts, err error) {
	if a.Accounts, a.route, err = f.Accounts(); err != nil {
		return a, err
	}
	rows := make(map[string]string, len(a.Accounts))
	for account, p := range a.Accounts {
		rows[account] = p.Name()
	}
	if err = db.stores.Accounts.PrepareAccounts(ctx, rows); err != nil {
		return a, err
	}
	strays, err := db.stores.Accounts.Strays(ctx, a.Names())
	for _, stray := range strays {
		log.ErrorContext(ctx, "attempts of an account that is not configured are not followed; configure it until they have ended",
			"account", stray.Account, "attempts", stray.Attempts)
	}
	if err != nil {
		return a, err
	}
	a.providers, err = db.stores.Accounts.Providers(ctx)
	return a, err
}

// typical returns how long a task takes at each provider, before that was measured.
func (a accounts) typical() map[string]time.Duration {
	typical := make(map[string]time.Duration, len(a.Accounts))
	for _, p := range a.Accounts {
		typical[p.Name()] = p.Capabilities().TypicalDuration
	}
	return typical
}

// limits returns the configured limits of the accounts.
func (a accounts) limits() admission.AccountLimits {
	limits := make(admission.AccountLimits, len(a.Accounts))
	for account, p := range a.Accounts {
		limits[account] = p.Capabilities().Limits
	}
	return limits
}

// close closes idle connections to the providers.
func (a accounts) close(context.Context) error {
	for _, p := range a.Accounts {
		if c, ok := p.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
	return nil
}

// sourceAccounts returns accounts as those that get sources.
func sourceAccounts(accounts upstream.Accounts) map[string]source.Account {
	all := make(map[string]source.Account, len(accounts))
	for name, u := range accounts {
		all[name] = u
	}
	return all
}

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Provider shows and changes how provider accounts are used.
type Provider struct {
	List   providerListCmd   `cmd:"" help:"Show the provider accounts: limits, how much of them is used, and what keeps them from being used."`
	Limit  providerLimitCmd  `cmd:"" help:"Set the limits of an account, live and on all replicas. What is not given is as configured."`
	Pause  providerPauseCmd  `cmd:"" help:"Send nothing more to an account until it is resumed."`
	Resume providerResumeCmd `cmd:"" help:"End the pause of an account, an operator's or the service's own."`
}

type providerListCmd struct {
	clientFlags
}

// Run lists the accounts.
func (c *providerListCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.ListProviderAccounts(ctx, &refractv1.ListProviderAccountsRequest{})
		if err != nil {
			return err
		}
		return c.showAccounts(con.Out, resp.GetAccounts()...)
	})
}

type providerLimitCmd struct {
	clientFlags

	Account  string `arg:"" help:"Name of the account."`
	Rate     string `name:"rate" placeholder:"18/10s" help:"Submissions, in a window."`
	InFlight int32  `name:"in-flight" placeholder:"N" help:"Attempts in flight at a time."`
	Reset    bool   `name:"reset" help:"Go back to the configured limits."`
}

// Run sets the limits.
func (c *providerLimitCmd) Run(ctx context.Context, con Console) error {
	if c.Reset == (c.Rate != "" || c.InFlight != 0) {
		return errors.New("pass --rate, --in-flight or both, or else --reset")
	}
	req := &refractv1.UpdateProviderLimitsRequest{Account: c.Account}
	if c.Rate != "" {
		var err error
		if req.Rate, err = parseRate(c.Rate); err != nil {
			return err
		}
	}
	if c.InFlight != 0 {
		req.InFlight = &c.InFlight
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.UpdateProviderLimits(ctx, req)
		if err != nil {
			return err
		}
		return c.showAccounts(con.Out, resp.GetAccount())
	})
}

// parseRate reads SUBMISSIONS/WINDOW.
func parseRate(s string) (*refractv1.SubmissionRate, error) {
	submissions, window, _ := strings.Cut(s, "/")
	n, err1 := strconv.ParseInt(submissions, 10, 32)
	d, err2 := time.ParseDuration(window)
	if errors.Join(err1, err2) != nil {
		return nil, fmt.Errorf("--rate=%s is not of the form 18/10s: submissions, window", s)
	}
	return &refractv1.SubmissionRate{Submissions: int32(n), Window: durationpb.New(d)}, nil
}

type providerPauseCmd struct {
	clientFlags

	Account string `arg:"" help:"Name of the account."`
	Reason  string `required:"" help:"Why, in words that tenants read in what their tasks wait for."`
}

// Run pauses the account.
func (c *providerPauseCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.PauseProvider(ctx, &refractv1.PauseProviderRequest{Account: c.Account, Reason: c.Reason})
		if err != nil {
			return err
		}
		return c.showAccounts(con.Out, resp.GetAccount())
	})
}

type providerResumeCmd struct {
	clientFlags

	Account string `arg:"" help:"Name of the account."`
}

// Run resumes the account.
func (c *providerResumeCmd) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.ResumeProvider(ctx, &refractv1.ResumeProviderRequest{Account: c.Account})
		if err != nil {
			return err
		}
		return c.showAccounts(con.Out, resp.GetAccount())
	})
}

// showAccounts prints accounts as a table, or as JSON.
func (f *clientFlags) showAccounts(w io.Writer, accounts ...*refractv1.ProviderAccount) error {
	if f.JSON {
		return printLines(w, accounts)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ACCOUNT\tRATE\tIN FLIGHT\tUNKNOWN\tQUEUED\tTYPICAL\tSTATE") // Flush returns the error of a failed write.
	for _, a := range accounts {
		rate := a.GetLimits().GetRate()
		typical := "-"
		if a.GetTypicalDuration() != nil {
			typical = a.GetTypicalDuration().AsDuration().Round(time.Second).String()
		}
		_, _ = fmt.Fprintf(table, "%s\t%d/%d in %s%s\t%d/%d%s\t%d\t%d\t%s\t%s\n", OneLine(a.GetAccount()),
			a.GetRecentSubmissions()+a.GetUnansweredSubmissions(), rate.GetSubmissions(), rate.GetWindow().AsDuration(),
			star(rate.GetSubmissions() != a.GetConfiguredLimits().GetRate().GetSubmissions() || rate.GetWindow().AsDuration() != a.GetConfiguredLimits().GetRate().GetWindow().AsDuration()),
			a.GetInFlight(), a.GetLimits().GetInFlight(), star(a.GetLimits().GetInFlight() != a.GetConfiguredLimits().GetInFlight()),
			a.GetUnknownOutcomes(), a.GetQueuedTasks(), typical, accountState(a))
	}
	return table.Flush()
}

// star marks a limit that is not the configured one.
func star(set bool) string {
	if set {
		return "*"
	}
	return ""
}

// accountState returns what keeps an account from being used.
func accountState(a *refractv1.ProviderAccount) string {
	p := a.GetPause()
	switch {
	case p.GetByOperator():
		return "paused by an operator: " + OneLine(p.GetReason())
	case p != nil && p.GetUntilTime() == nil:
		return "paused: " + OneLine(p.GetReason())
	case p != nil:
		return fmt.Sprintf("paused until %s: %s", stamp(p.GetUntilTime()), cmp.Or(OneLine(p.GetReason()), "trouble"))
	case a.GetProbing():
		return "probing"
	default:
		return "open"
	}
}

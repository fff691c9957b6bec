// Package upstream is a provider account in use: it measures and traces the calls, and keeps queries within the
// provider's query limit over all replicas. A query is a call that asks the provider about a task or for a fresh link.
//
// Replicas reserve their queries in the database. When the database does not answer, no query is sent, and the error
// says that the provider is not at fault.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/tracing"
)

// Queries reserves queries to providers, so that all replicas together keep the limit.
type Queries interface {
	// ReserveQueries reserves the next n queries to an account, one per pause, and returns the time to wait before the
	// first.
	ReserveQueries(ctx context.Context, account string, n int, pause time.Duration) (time.Duration, error)
}

// Account is an account at a provider. It measures and traces calls, and keeps queries within the provider's limit.
type Account struct {
	provider.Provider
	ID      string
	queries Queries
	Pause   time.Duration // Between two queries; 0 without a limit.
	calls   metric.Float64Histogram
}

const (
	// queryMargin is the factor by which queries are further apart than the limit requires. One half of the margin is
	// for queries that leave late, the other half for queries that the network delays.
	queryMargin = 1.15
	// maxLateness is how long after its reserved time a query may leave. Queries that leave at most this late never
	// exceed the limit in any second.
	maxLateness = time.Duration((queryMargin - 1) / 2 * float64(time.Second))
)

// New returns the accounts for use.
func New(accounts provider.Accounts, queries Queries, meter metric.Meter) (Accounts, error) {
	calls, err := meter.Float64Histogram("refract_provider_call",
		metric.WithUnit("s"), metric.WithDescription("Duration of calls to providers, by account, operation (submit, check, refresh_link, or upload) and outcome: ok, ambiguous, not_sent, rate_limited, rejected, account_blocked, model_withdrawn, generation_failed, not_found, unavailable, or unknown."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of provider calls: %w", err)
	}
	all := make(Accounts, len(accounts))
	for account, p := range accounts {
		u := &Account{Provider: p, ID: account, queries: queries, calls: calls}
		if n := p.Capabilities().Limits.Queries; n > 0 {
			u.Pause = time.Duration(queryMargin * float64(time.Second) / float64(n))
		}
		all[account] = u
	}
	return all, nil
}

// ErrNotReserved means that the database did not reserve a query. The provider is not at fault.
var ErrNotReserved = errors.New("reserve a query")

// ErrNoAccount means that an attempt belongs to an account that is no longer configured.
var ErrNoAccount = errors.New("the attempt's provider account is not configured any more")

// Accounts are the configured accounts by id.
type Accounts map[string]*Account

// Of returns the account of an attempt, or ErrNoAccount.
func (a Accounts) Of(id string) (*Account, error) {
	u, ok := a[id]
	if !ok {
		return nil, fmt.Errorf("account %q: %w", id, ErrNoAccount)
	}
	return u, nil
}

// Send sends an attempt.
func (u *Account) Send(ctx context.Context, s provider.Submission) (r provider.Receipt, err error) {
	ctx, done := u.observe(ctx, "submit")
	defer done(&err)
	return u.Submit(ctx, s)
}

// Reserve reserves n queries and returns the time of the first. The others follow, one per pause.
func (u *Account) Reserve(ctx context.Context, n int) (time.Time, error) {
	if u.Pause == 0 || n == 0 {
		return time.Now(), nil
	}
	wait, err := u.queries.ReserveQueries(ctx, u.ID, n, u.Pause)
	if err != nil { // Callers must not see the error of the database.
		err = &plain.Error{Text: "the query could not be reserved", Cause: fmt.Errorf("%w: %w", ErrNotReserved, err)}
	}
	return time.Now().Add(wait), err
}

// Ask queries one of the provider's tasks as soon as the limit allows. A success without any readable link is an error
// that quotes what the provider sent instead.
func (u *Account) Ask(ctx context.Context, q provider.Query, age time.Duration) (provider.Status, error) {
	at, err := u.Reserve(ctx, 1)
	if err != nil {
		return provider.Status{}, &provider.Error{Class: provider.Unavailable, Op: "check", Err: err}
	}
	status, err := u.Query(ctx, at, q, age)
	if err == nil && status.Phase == provider.Succeeded && len(status.ResultURLs) == 0 && status.Unread != "" {
		err = &provider.Error{Class: provider.Unavailable, Op: "check", Message: status.Unread, Err: errors.New("success without a link that can be read")}
	}
	return status, err
}

// waitUntil waits for a reserved time. A query that is late, for example after a suspension of the machine, reserves
// another time. Otherwise all waiting queries would leave together.
func (u *Account) waitUntil(ctx context.Context, at time.Time) error {
	for {
		if loop.Sleep(ctx, time.Until(at)) != nil {
			return ctx.Err()
		}
		if u.Pause == 0 || time.Since(at) <= maxLateness {
			return nil
		}
		var err error
		if at, err = u.Reserve(ctx, 1); err != nil {
			return err
		}
	}
}

// Query asks the provider at a reserved time about one of its tasks, which was submitted age ago. It converts age to a
// time on this machine's clock, since the adapter compares the two.
func (u *Account) Query(ctx context.Context, at time.Time, q provider.Query, age time.Duration) (s provider.Status, err error) {
	if err := u.waitUntil(ctx, at); err != nil {
		return s, &provider.Error{Class: provider.Unavailable, Op: "check", Err: err}
	}
	q.Submitted = time.Now().Add(-age)
	ctx, done := u.observe(ctx, "check")
	defer done(&err)
	tracing.DescribeQuery(ctx, q.TaskID)
	return u.Check(ctx, q)
}

// Exchange requests a fresh result link. It counts as a query.
func (u *Account) Exchange(ctx context.Context, link string) (fresh string, err error) {
	at, err := u.Reserve(ctx, 1)
	if err == nil {
		err = u.waitUntil(ctx, at)
	}
	if err != nil {
		return "", &provider.Error{Class: provider.Unavailable, Op: "refresh link", Err: err}
	}
	ctx, done := u.observe(ctx, "refresh_link")
	defer done(&err)
	return u.RefreshLink(ctx, link)
}

// Upload sends a file to a provider that accepts uploads. For others it returns an error.
func (u *Account) Upload(ctx context.Context, f provider.File) (link string, err error) {
	uploader, ok := u.Provider.(provider.Uploader)
	if !ok {
		return "", &provider.Error{Class: provider.Rejected, Op: "upload", Err: errors.New("the provider takes no uploads")}
	}
	ctx, done := u.observe(ctx, "upload")
	defer done(&err)
	return uploader.Upload(ctx, f)
}

// observe measures and traces a call, from now until the returned function is called. The call is traced where ctx has a span.
func (u *Account) observe(ctx context.Context, operation string) (context.Context, func(*error)) {
	start := time.Now()
	ctx, span := tracing.StartCall(ctx, "provider "+operation)
	if span.IsRecording() {
		span.SetAttributes(tracing.Provider.String(u.Name()), tracing.Account.String(u.ID))
	}
	return ctx, func(err *error) {
		outcome, failure := "ok", ""
		if *err != nil {
			outcome = provider.ClassOf(*err).String()
			failure = outcome
		}
		tracing.End(span, failure)
		u.calls.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(
			attribute.String("account", u.ID),
			attribute.String("operation", operation),
			attribute.String("outcome", outcome)))
	}
}

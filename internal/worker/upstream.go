package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/refract-video/refract/internal/provider"
)

// upstream is an account at a provider. Its calls are measured and traced, and its questions are held to the
// provider's limit.
type upstream struct {
	provider.Provider
	account string
	queries *rate.Limiter
	calls   metric.Float64Histogram
}

// upstreams makes the upstream of each account.
func upstreams(accounts provider.Accounts, meter metric.Meter) (map[string]*upstream, error) {
	calls, err := meter.Float64Histogram("refract_provider_call",
		metric.WithUnit("s"), metric.WithDescription("Duration of calls to providers, by account, operation and outcome."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, fmt.Errorf("make the histogram of provider calls: %w", err)
	}
	all := make(map[string]*upstream, len(accounts))
	for account, p := range accounts {
		queries := rate.NewLimiter(rate.Inf, 0)
		if n := p.Capabilities().Limits.Queries; n > 0 {
			queries = rate.NewLimiter(rate.Limit(n), 1) // Evenly, so that no second sees more.
		}
		all[account] = &upstream{Provider: p, account: account, queries: queries, calls: calls}
	}
	return all, nil
}

// errNoAccount means that an attempt belongs to an account that is no longer configured.
var errNoAccount = errors.New("the attempt's provider account is not configured any more")

// upstream returns the account of an attempt. Without it nothing can be sent or asked.
func (w *Workers) upstream(account string) (*upstream, error) {
	u, ok := w.upstreams[account]
	if !ok {
		return nil, fmt.Errorf("account %q: %w", account, errNoAccount)
	}
	return u, nil
}

// submit sends an attempt.
func (u *upstream) submit(ctx context.Context, s provider.Submission) (providerTaskID string, err error) {
	ctx, done := u.observe(ctx, "submit")
	defer done(&err)
	return u.Submit(ctx, s)
}

// check asks about one of the provider's tasks.
func (u *upstream) check(ctx context.Context, providerTaskID string, submitted time.Time) (s provider.Status, err error) {
	if err := u.queries.Wait(ctx); err != nil {
		return s, &provider.Error{Class: provider.Unavailable, Op: "check", Err: err}
	}
	ctx, done := u.observe(ctx, "check")
	defer done(&err)
	return u.Check(ctx, providerTaskID, submitted)
}

// refreshLink asks for a fresh result link.
func (u *upstream) refreshLink(ctx context.Context, link string) (fresh string, err error) {
	ctx, done := u.observe(ctx, "refresh_link")
	defer done(&err)
	return u.RefreshLink(ctx, link)
}

// observe measures and traces a call, from now until the returned function is called.
func (u *upstream) observe(ctx context.Context, operation string) (context.Context, func(*error)) {
	start := time.Now()
	ctx, span := otel.Tracer("refract").Start(ctx, "provider "+operation,
		trace.WithAttributes(attribute.String("account", u.account)), trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err *error) {
		outcome := "ok"
		if *err != nil {
			outcome = provider.ClassOf(*err).String()
			span.SetStatus(codes.Error, outcome)
		}
		span.End()
		u.calls.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(
			attribute.String("account", u.account),
			attribute.String("operation", operation),
			attribute.String("outcome", outcome)))
	}
}

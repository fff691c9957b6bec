package callback

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/task"
)

// Appender stores callbacks durably. It returns ErrBusy or groupcommit.ErrFull for one that it did not store.
type Appender interface {
	Append(ctx context.Context, c Sealed) error
}

// Intake is the receiver of an ingress that may only append to the database. It verifies the URL token and stores the callback. A worker
// settles it, by an [IntakeSettler], and verifies then what the provider signed. So the provider is answered before that, also for a
// callback that will be refused. An Intake may be used concurrently.
//
// It knows no account, and needs the key of none: a token proves that we handed it out for the account of the URL.
type Intake struct {
	tokens   *Tokens
	keys     Keyring
	appender Appender
	verdicts metric.Int64Counter
}

// IntakeConfig is the configuration of an intake. All fields are required.
type IntakeConfig struct {
	Tokens   *Tokens
	Keys     Keyring
	Appender Appender
	Meter    metric.Meter
}

// NewIntake returns an intake.
func NewIntake(cfg IntakeConfig) (*Intake, error) {
	verdicts, err := newVerdicts(cfg.Meter)
	return &Intake{tokens: cfg.Tokens, keys: cfg.Keys, appender: cfg.Appender, verdicts: verdicts}, err
}

// CheckToken returns ErrToken for a callback whose URL token is missing or forged, and counts it.
func (in *Intake) CheckToken(ctx context.Context, account, token string) error {
	_, err := in.attempt(ctx, account, token)
	return err
}

func (in *Intake) attempt(ctx context.Context, account, token string) (task.AttemptID, error) {
	id, err := in.tokens.Verify(account, token)
	if err != nil {
		count(ctx, in.verdicts, "unknown", "bad_token") // The sender chose the name, so it must not become a metric label.
	}
	return id, err
}

// Receive stores one callback with a body of at most MaxBody bytes, and returns after the commit. It returns ErrToken, ErrBusy, or the
// error of the database.
func (in *Intake) Receive(ctx context.Context, account, token string, header http.Header, body []byte) error {
	id, err := in.attempt(ctx, account, token)
	if err != nil {
		return err
	}
	sealed, err := seal(ctx, in.keys, id, envelope{Account: account, Token: token, Header: header, Body: body})
	if err != nil {
		return err
	}
	switch err := in.appender.Append(ctx, sealed); {
	case errors.Is(err, groupcommit.ErrFull), errors.Is(err, ErrBusy):
		count(ctx, in.verdicts, account, "busy")
		return ErrBusy
	case err != nil:
		count(ctx, in.verdicts, account, "error")
		return fmt.Errorf("store a callback of attempt %s: %w", id, err)
	}
	count(ctx, in.verdicts, account, "stored")
	return nil
}

// CountOversized counts a callback that a surface refused for its size.
func (in *Intake) CountOversized(ctx context.Context) {
	count(ctx, in.verdicts, "unknown", "oversized")
}

// newVerdicts returns the counter of callbacks.
func newVerdicts(meter metric.Meter) (metric.Int64Counter, error) {
	verdicts, err := meter.Int64Counter("refract_callbacks", metric.WithDescription(
		"Callbacks by provider account and verdict: applied, confirming, duplicate, conflict, mismatch, bad_signature, stale, malformed, bad_token, oversized, keys_unavailable, unknown_attempt, busy, error, or stored by an ingress that runs alone; then its worker has unreadable or given_up for those that can't be settled. An account that is not configured is unknown."))
	if err != nil {
		return nil, fmt.Errorf("create the callback counter: %w", err)
	}
	return verdicts, nil
}

func count(ctx context.Context, verdicts metric.Int64Counter, account, verdict string) {
	verdicts.Add(ctx, 1, metric.WithAttributes(attribute.String("account", account), attribute.String("verdict", verdict)))
}

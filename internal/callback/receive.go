// Package callback receives the callbacks of providers. It promises that a callback which was answered with success is in the
// inbox, that a callback without a valid URL token never reaches the database, and that no forged callback changes a task.
//
// When the database is out of reach a callback is answered with an error, and the provider may send it again. If it does not,
// the regular check of the attempt finds the result.
package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/task"
)

// MaxBody is the largest body of a callback in bytes. Each surface bounds the body where it reads it. The largest documented
// callback has about a kilobyte.
const MaxBody = 256 << 10

// ErrTooLarge means that a body is larger than MaxBody. A surface that returns it also calls [Receiver.CountOversized].
var ErrTooLarge = errors.New("the body of the callback is over 256 KiB")

// ErrBusy means that the queue of callbacks to store is full. This callback was not stored.
var ErrBusy = errors.New("too many callbacks are waiting: call again")

// Settler is the part of package lifecycle that the receiver needs.
type Settler interface {
	SettleCallback(ctx context.Context, c lifecycle.Callback, decoded provider.Callback) (lifecycle.Verdict, error)
	RefuseCallback(ctx context.Context, c lifecycle.Callback) error
}

// Receiver receives callbacks. It may be used concurrently.
type Receiver struct {
	tokens   *Tokens
	accounts provider.Accounts
	settler  Settler
	now      func() time.Time
	log      *slog.Logger
	verdicts metric.Int64Counter
}

// Config is the configuration of a receiver. All fields but Now are required.
type Config struct {
	Tokens   *Tokens
	Accounts provider.Accounts
	Settler  Settler
	Now      func() time.Time // The time for the age of signatures; nil means time.Now.
	Meter    metric.Meter
	Log      *slog.Logger
}

// NewReceiver returns a receiver.
func NewReceiver(cfg Config) (*Receiver, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	verdicts, err := cfg.Meter.Int64Counter("refract_callbacks",
		metric.WithDescription("Callbacks by provider account and verdict."))
	if err != nil {
		return nil, fmt.Errorf("create the callback counter: %w", err)
	}
	return &Receiver{
		tokens: cfg.Tokens, accounts: cfg.Accounts, settler: cfg.Settler, now: cfg.Now, log: cfg.Log, verdicts: verdicts,
	}, nil
}

// CheckToken returns ErrToken for a callback whose URL token is missing or forged, and counts it. A surface calls it before it
// reads the body.
func (r *Receiver) CheckToken(ctx context.Context, account, token string) error {
	_, err := r.attempt(ctx, account, token)
	return err
}

// attempt returns the attempt that a URL token names.
func (r *Receiver) attempt(ctx context.Context, account, token string) (task.AttemptID, error) {
	if _, known := r.accounts[account]; !known {
		r.count(ctx, "unknown", "bad_token") // The sender chose the name, so it must not become a metric label.
		return "", ErrToken
	}
	id, err := r.tokens.Verify(account, token)
	if err != nil {
		r.count(ctx, account, "bad_token")
	}
	return id, err
}

// byteOrderMark may begin a text in UTF-8 and is ignored.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Receive receives one callback with a body of at most MaxBody bytes. It verifies the URL token without a query, then the
// provider's signature and timestamp, and then changes inbox and task in one transaction. It returns ErrToken, one of the
// provider.ErrCallback sentinels, lifecycle.ErrAttemptNotFound, ErrBusy, or the error of the database.
func (r *Receiver) Receive(ctx context.Context, account, token string, header http.Header, body []byte) error {
	id, err := r.attempt(ctx, account, token)
	if err != nil {
		return err
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	decoded, refusal := r.accounts[account].Callback(header, body, r.now())
	c := lifecycle.Callback{
		AttemptID: id, Account: account, ProviderTaskID: decoded.ProviderTaskID,
		Body: redactBody(body, token),
	}
	if refusal != nil {
		return r.refuse(ctx, c, refusal)
	}
	verdict, err := r.settler.SettleCallback(ctx, c, decoded)
	if errors.Is(err, groupcommit.ErrFull) {
		r.count(ctx, account, "busy")
		return ErrBusy
	}
	if err != nil {
		r.countError(ctx, account, err)
		return err
	}
	r.count(ctx, account, string(verdict))
	if verdict == lifecycle.Conflict || verdict == lifecycle.Mismatch {
		r.log.WarnContext(ctx, "callback contradicts the attempt; it changes nothing", "account", account,
			"attempt_id", id, "provider_task_id", decoded.ProviderTaskID, "verdict", verdict)
	}
	return nil
}

// redactBody removes secrets before the body is stored. These are our URL token, which the provider echoes, and everything but
// the host of each URL: a signed URL gives access to its file.
func redactBody(body []byte, token string) []byte {
	body = redact.Links(redact.Secrets(body, token))
	return body[:min(len(body), MaxBody)] // The text that replaces a URL may be longer than the URL.
}

// refuse stores a refused callback with its verdict and returns the reason.
func (r *Receiver) refuse(ctx context.Context, c lifecycle.Callback, refusal error) error {
	switch {
	case errors.Is(refusal, provider.ErrCallbackSignature):
		c.Verdict = lifecycle.BadSignature
	case errors.Is(refusal, provider.ErrCallbackStale):
		c.Verdict = lifecycle.Stale
	default:
		c.Verdict = lifecycle.Malformed
	}
	if err := r.settler.RefuseCallback(ctx, c); err != nil {
		r.countError(ctx, c.Account, err)
		return err
	}
	r.count(ctx, c.Account, string(c.Verdict))
	return refusal
}

// CountOversized counts a callback that a surface refused for its size.
func (r *Receiver) CountOversized(ctx context.Context) { r.count(ctx, "unknown", "oversized") }

func (r *Receiver) countError(ctx context.Context, account string, err error) {
	verdict := "error"
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		verdict = "unknown_attempt"
	}
	r.count(ctx, account, verdict)
}

func (r *Receiver) count(ctx context.Context, account, verdict string) {
	r.verdicts.Add(ctx, 1, metric.WithAttributes(
		attribute.String("account", account), attribute.String("verdict", verdict)))
}

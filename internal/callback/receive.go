// Package callback receives the callbacks of providers. It promises that a callback which was answered with success is in the
// inbox, that a callback without a valid URL token never reaches the database, and that no forged callback changes a task.
//
// When the database is out of reach a callback is answered with an error, and the provider may send it again. If it does not,
// the regular check of the attempt finds the result.
package callback

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

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
	metrics  *receiverMetrics

	withoutKeys sync.Map // The accounts whose provider's keys could not be fetched last, by name.
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
	metrics, err := newReceiverMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	return &Receiver{
		tokens: cfg.Tokens, accounts: cfg.Accounts, settler: cfg.Settler, now: cfg.Now, log: cfg.Log, metrics: metrics,
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
		r.metrics.count(ctx, "unknown", "bad_token") // The sender chose the name, so it must not become a metric label.
		return "", ErrToken
	}
	id, err := r.tokens.Verify(account, token)
	if err != nil {
		r.metrics.count(ctx, account, "bad_token")
	}
	return id, err
}

// Receive receives one callback with a body of at most MaxBody bytes. It verifies the URL token without a query, then the
// provider's signature and timestamp, and then changes inbox and task in one transaction. It returns ErrToken, one of the
// provider.ErrCallback sentinels, lifecycle.ErrAttemptNotFound, ErrBusy, or the error of the database.
func (r *Receiver) Receive(ctx context.Context, account, token string, header http.Header, body []byte) error {
	return r.receive(ctx, received{account: account, token: token, header: header, body: body, time: r.now()})
}

// received is a callback as it came.
type received struct {
	account, token string
	header         http.Header
	body           []byte
	time           time.Time         // By which the age of the signature is judged.
	intake         *lifecycle.Intake // Where it has waited since; nil for one that arrives now.
}

func (r *Receiver) receive(ctx context.Context, in received) error {
	account := in.account
	id, err := r.attempt(ctx, account, in.token)
	if err != nil {
		return err
	}
	sender := r.accounts[account]
	decoded, refusal := sender.Callback(ctx, in.header, in.body, in.time)
	r.watchKeys(ctx, account, decoded)
	c := lifecycle.Callback{
		AttemptID: id, Account: account, ProviderTaskID: decoded.ProviderTaskID,
		Body: redactBody(in.body, in.token, sender.Capabilities().Confidential...), Intake: in.intake,
	}
	if refusal != nil {
		return r.refuse(ctx, c, refusal)
	}
	verdict, err := r.settler.SettleCallback(ctx, c, decoded)
	if errors.Is(err, provider.ErrCallbackSignature) { // A good signature, of another account at the provider.
		return r.refuse(ctx, c, err)
	}
	if errors.Is(err, groupcommit.ErrFull) {
		r.metrics.count(ctx, account, "busy")
		return ErrBusy
	}
	if err != nil {
		r.countError(ctx, account, err)
		return err
	}
	r.metrics.stored(ctx, account, r.now().Sub(in.time))
	if decoded.KeysUnavailable != nil {
		r.metrics.count(ctx, account, "keys_unavailable")
	} else {
		r.metrics.count(ctx, account, string(verdict))
	}
	if verdict == lifecycle.Conflict || verdict == lifecycle.Mismatch {
		r.log.WarnContext(ctx, "callback contradicts the attempt; it changes nothing", "account", account,
			"attempt_id", id, "provider_task_id", decoded.ProviderTaskID, "verdict", verdict)
	}
	return nil
}

// watchKeys logs that the provider's keys can't be fetched, once for each time that this begins.
func (r *Receiver) watchKeys(ctx context.Context, account string, decoded provider.Callback) {
	if decoded.KeysUnavailable == nil && decoded.Proof == provider.ProofNone {
		return // It says nothing about the keys.
	}
	_, known := r.withoutKeys.Load(account)
	switch {
	case decoded.KeysUnavailable == nil && known:
		r.withoutKeys.Delete(account)
	case decoded.KeysUnavailable != nil && !known:
		if _, logged := r.withoutKeys.LoadOrStore(account, true); !logged {
			r.log.WarnContext(ctx, "the provider's keys can't be fetched; until they can, its callbacks only trigger checks",
				"account", account, "error", decoded.KeysUnavailable)
		}
	}
}

// redactBody removes secrets before the body is stored. These are our URL token, which the provider echoes, everything but the
// host of each URL, because a signed URL gives access to its file, and the values of confidential fields.
func redactBody(body []byte, token string, confidential ...string) []byte {
	body = redact.Fields(redact.Links(redact.Secrets(body, token)), confidential...)
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
	r.metrics.count(ctx, c.Account, string(c.Verdict))
	return refusal
}

// CountOversized counts a callback that a surface refused for its size.
func (r *Receiver) CountOversized(ctx context.Context) { r.metrics.count(ctx, "unknown", "oversized") }

func (r *Receiver) countError(ctx context.Context, account string, err error) {
	verdict := "error"
	if errors.Is(err, lifecycle.ErrAttemptNotFound) {
		verdict = "unknown_attempt"
	}
	r.count(ctx, account, verdict)
}

func (r *Receiver) count(ctx context.Context, account, verdict string) {
	r.metrics.count(ctx, account, verdict)
}

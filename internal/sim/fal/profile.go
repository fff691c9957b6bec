package fal

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// Name is the name of the profile.
const Name = "fal"

// CancelForm is the form of the answer to a cancellation, in which fal's pages contradict each other.
type CancelForm string

// The two forms.
const (
	// CancelByStatus answers 202, 400 or 404 with a status, as the pages about the queue document.
	CancelByStatus CancelForm = "status"
	// CancelBySuccess answers 200 with a boolean, as the OpenAPI text documents.
	CancelBySuccess CancelForm = "success"
)

// Profile is the configuration of the simulated fal.
type Profile struct {
	// Control changes the API while it runs. Without one, only the calls of the package comment do that.
	Control *Control
	// UserID is the user in the headers of webhooks, "simulated-user" by default.
	UserID string

	// SubmitLimit and QueryLimit are the rate limits of submissions and of queries. fal documents none, and by default
	// there is none.
	SubmitLimit sim.Limit
	QueryLimit  sim.Limit
	// Runners is how many requests of a key run at a time; the others wait in the queue. Users report 2 for a new
	// account, and at most 40 without a contract, which is the default. A negative value means no limit.
	Runners int
	// Queued is how long a request waits in the queue at least; zero means that it may begin at once.
	Queued time.Duration
	// LinkTTL is the lifetime of the links to results and uploads, 7 d by default. Users report that files live at least
	// that long. The header X-Fal-Object-Lifecycle-Preference sets another for one request.
	LinkTTL time.Duration

	// OnlyKnownModels refuses the models that the simulator does not know. By default it takes every model id of two or
	// more parts, and requires only a video_url of those that it does not know.
	OnlyKnownModels bool
	// Withdrawn are the models that are withdrawn from the start. [Control] withdraws others.
	Withdrawn []string

	// Cancel is the form of the answers to cancellations, [CancelByStatus] by default.
	Cancel CancelForm
	// CancelRunning makes a cancellation end a request that already runs. By default such a request goes on, as fal
	// allows.
	CancelRunning bool
	// SilentCancel sends no callback for a canceled request. fal does not document whether it sends one; by default it does.
	SilentCancel bool

	// CallbackAttempts is how often a callback is tried in total, 31 by default.
	CallbackAttempts int
	// CallbackSpacing is the pause after the first try, 1 s by default. Each later one is longer by a quarter, so that the
	// documented 31 tries take about an hour.
	CallbackSpacing time.Duration
	// CallbackTimeout is how long a receiver may take to answer the first try, 15 s by default.
	CallbackTimeout time.Duration
	// CallbackRetryTimeout is the same for the other tries, 2 min by default.
	CallbackRetryTimeout time.Duration
	// CallbackReuseTimestamp makes retries carry the headers of the first try instead of being signed anew. fal does not
	// document which.
	CallbackReuseTimestamp bool
}

// unlimited counts calls per second and refuses none.
var unlimited = sim.Limit{N: -1, Window: time.Second}

// callbackGrowth is the factor between two pauses. The documented figures are 31 tries and an hour, and it fits them.
const callbackGrowth = 1.25

func (p Profile) withDefaults() Profile {
	p.UserID = cmp.Or(p.UserID, "simulated-user")
	p.SubmitLimit = cmp.Or(p.SubmitLimit, unlimited)
	p.QueryLimit = cmp.Or(p.QueryLimit, unlimited)
	p.Runners = max(cmp.Or(p.Runners, 40), 0)
	p.LinkTTL = cmp.Or(p.LinkTTL, 7*24*time.Hour)
	p.Cancel = cmp.Or(p.Cancel, CancelByStatus)
	p.CallbackAttempts = cmp.Or(p.CallbackAttempts, 31)
	p.CallbackSpacing = cmp.Or(p.CallbackSpacing, time.Second)
	p.CallbackTimeout = cmp.Or(p.CallbackTimeout, 15*time.Second)
	p.CallbackRetryTimeout = cmp.Or(p.CallbackRetryTimeout, 2*time.Minute)
	return p
}

// Terms implements [sim.Profile].
func (p Profile) Terms() (sim.Terms, error) {
	p = p.withDefaults()
	if p.Cancel != CancelByStatus && p.Cancel != CancelBySuccess {
		return sim.Terms{}, fmt.Errorf("form of cancellations %q: want status or success", p.Cancel)
	}
	return sim.Terms{
		Name: Name, Path: queuePath, AuthScheme: "Key", SubmitLimit: p.SubmitLimit, QueryLimit: p.QueryLimit,
		MaxConcurrent: -1, Runners: p.Runners, Queued: p.Queued, LinkTTL: p.LinkTTL,
		Callbacks: sim.CallbackTerms{
			Attempts: p.CallbackAttempts, Spacing: p.CallbackSpacing, Growth: callbackGrowth,
			Timeout: p.CallbackTimeout, RetryTimeout: p.CallbackRetryTimeout, ReuseHeaders: p.CallbackReuseTimestamp,
			Any2xx: true, FinalRedirects: true, SilentCancel: p.SilentCancel,
		},
		MaintenanceCode: maintenanceCode, Directives: directives(),
	}, nil
}

// The values of [sim.Script].Quirk of this API.
const (
	quirkRetired     = "wrong-key"
	quirkForeignUser = "foreign-user"
	quirkTampered    = "tampered"
	quirkOversized   = "oversized"
	quirkPayload     = "payload-error"
	quirkRetried     = "retried"
)

func directives() []sim.Directive {
	quirk := func(usage, effect string) sim.Directive {
		return sim.Directive{
			Stage: sim.StageCallback, Usage: usage, Effect: effect,
			Apply: sim.Bare(func(s *sim.Script) { s.Quirk = usage }),
		}
	}
	return slices.Concat(sim.AnswerDirectives(), []sim.Directive{
		{
			Stage: sim.StageAnswer, Usage: "withdrawn", Effect: "the model is answered as withdrawn, nothing is created",
			Apply: sim.Bare(func(s *sim.Script) { s.Code = codeWithdrawn }),
		},
		sim.QueuedDirective(),
		{
			Stage: sim.StageGeneration, Usage: "position=N", Effect: "queue_position begins at N, and each query lowers it",
			Apply: sim.Number(1, 1000, func(s *sim.Script) *int { return &s.QueuePosition }),
		},
	}, sim.GenerationDirectives(), []sim.Directive{
		{
			Stage: sim.StageGeneration, Usage: "fail[=N]", Effect: "the request completes with the status N (500) of an error",
			Apply: sim.FailWith(sim.OutcomeGenerateFailed),
		},
		{
			Stage: sim.StageGeneration, Usage: "fail=TYPE", Effect: "the request completes with 422 and an error of a type, such as content_policy_violation",
			Apply: failWithType,
		},
		{
			Stage: sim.StageGeneration, Usage: "completed-with-error[=TYPE]", Effect: "the request completes with the error_type TYPE (runner_disconnected) of the platform",
			Apply: failPlatform,
		},
	}, sim.CallbackDirectives(), sim.SignatureDirectives(), []sim.Directive{
		quirk(quirkRetired, "callbacks are signed with a key that left the key set"),
		quirk(quirkForeignUser, "callbacks are signed well, for another user id"),
		quirk(quirkTampered, "the body of callbacks is not the signed one"),
		quirk(quirkOversized, "the body of callbacks has more than 256 KiB"),
		quirk(quirkPayload, "the payload of callbacks is null, with a payload_error"),
		quirk(quirkRetried, "gateway_request_id differs from request_id in callbacks"),
	}, sim.LinkDirectives())
}

var errorType = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// failWithType applies a failure that a model reports, with the type of its detail. It accepts unknown types.
func failWithType(s *sim.Script, value string) error {
	if !errorType.MatchString(value) {
		return errors.New("want a type such as content_policy_violation")
	}
	s.Outcome, s.FailureName, s.FailureCode = sim.OutcomeGenerateFailed, value, 0
	return nil
}

// failPlatform applies a failure that fal reports, with its error_type and the status that fits it.
func failPlatform(s *sim.Script, value string) error {
	value = cmp.Or(value, "runner_disconnected")
	if !errorType.MatchString(value) {
		return errors.New("want a type such as runner_disconnected")
	}
	s.Outcome, s.FailureName, s.FailureCode = sim.OutcomeGenerateFailed, value, platformStatus(value)
	return nil
}

// Open implements [sim.Profile].
func (p Profile) Open(api *sim.API) sim.Protocol {
	p = p.withDefaults()
	if p.Control == nil {
		p.Control = NewControl()
	}
	for _, model := range p.Withdrawn {
		p.Control.Withdraw(model)
	}
	protocol := &protocol{cfg: p, api: api, control: p.Control}
	protocol.uploads = &uploads{protocol: protocol, byID: map[string]*upload{}}
	return protocol
}

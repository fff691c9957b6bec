// Package kie simulates kie.ai: its Luma Modify API, the jobs API of its market, its common API and its upload API. It moves a
// Luma job from successFlag 0 to 1, 2 or 3, and from 1 to 4 when the callback was given up; a job of the market has a state.
// Errors stand in the body under HTTP 200 unless configured otherwise; callbacks are signed, and come at the end of a
// generation alone.
//
// The market checks the shape of the source when it takes a job, and whether the source can be fetched when it runs it. A model
// can be withdrawn while the simulator runs: by [Control] in this process, and from outside by
//
//	PUT    /sim/kie/withdrawn/MODEL  the model is withdrawn; that of Luma Modify is modify/generate
//	DELETE /sim/kie/withdrawn/MODEL  it is back
//	GET    /sim/kie                  the [State], which is the answer of the others too
//
// A source that can't be fetched fails the generation with errorCode 422, a file that ffmpeg can't read with errorCode
// 501.
package kie

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// Name is the name of the profile.
const Name = "kie"

// ErrorTransport says where the simulator puts the code of a refused call.
type ErrorTransport string

// The three ways in which the provider was seen to answer errors.
const (
	// ErrorsInBody answers HTTP 200 and puts the code in the envelope, as the Luma pages document.
	ErrorsInBody ErrorTransport = "body"
	// ErrorsInStatus answers the real HTTP status with a JSON body that has no code.
	ErrorsInStatus ErrorTransport = "status"
	// ErrorsInBoth answers the real HTTP status and the envelope with the code.
	ErrorsInBoth ErrorTransport = "both"
)

// IDField says where a callback carries its task id.
type IDField string

// The places in which the provider's pages put the task id.
const (
	IDDataCamel IDField = "data.taskId"  // The Luma page.
	IDDataSnake IDField = "data.task_id" // Runway and Suno.
	IDRoot      IDField = "taskId"       // Aleph.
	IDBoth      IDField = "both"         // Root taskId and data.task_id, as in the webhook guide.
)

// Credits says where the market reports what a job cost.
type Credits string

// The fields that the market's pages document, and their absence in recordings.
const (
	CreditsConsumed Credits = "creditsConsumed" // In records and callbacks, as newer pages have it.
	CreditsOld      Credits = "consumeCredits"  // In callbacks, together with remainedCredits, as older pages have it.
	CreditsNone     Credits = "none"            // Nowhere, as recorded in April 2026.
)

// Profile is the configuration of the simulated kie.ai.
type Profile struct {
	// Control withdraws models while the simulator runs. When nil, only the calls over HTTP do.
	Control *Control
	// WithdrawnCode answers the submission of a withdrawn model: 505 (default), 455 or 404. Which one is not known.
	WithdrawnCode int

	// WebhookKey signs the callbacks of kie.ai. When empty, callbacks carry no signature headers.
	WebhookKey string

	// InvisibleFor is the time after creation in which record-info answers 422 "recordInfo is null".
	InvisibleFor time.Duration
	// Errors is the transport of error codes, [ErrorsInBody] by default.
	Errors ErrorTransport
	// RejectNonASCII refuses prompts with other than ASCII characters (422).
	RejectNonASCII bool
	// UnknownTaskCode answers record-info and recordInfo for an id that does not exist: 404 (default), 422, or 200 with null data.
	UnknownTaskCode int
	// SayMessage writes message for msg in all answers.
	SayMessage bool
	// IDPrefix is the beginning of task ids, such as "task_".
	IDPrefix string
	// OnlyKnownModels makes the market refuse the models that the simulator does not know. Otherwise it takes every name with
	// family and version.
	OnlyKnownModels bool
	// OmitRecordID leaves recordId out of the answer of createTask.
	OmitRecordID bool
	// RunningState is the state of a job that has not ended: "waiting" (default), "queuing" or "generating".
	RunningState string
	// NumericFailCode makes failCode a number. It is a string of digits otherwise.
	NumericFailCode bool
	// CostTimeMillis counts costTime in milliseconds. It counts in seconds otherwise.
	CostTimeMillis bool
	// UpdateTime adds updateTime to records and callbacks of the market.
	UpdateTime bool
	// Credits is where the market reports the cost of a job, [CreditsConsumed] by default.
	Credits Credits
	// JobFailureCode is the code of the market's callback about a failure: 501 (default), 500 or 400.
	JobFailureCode int
	// OmitNulls leaves null fields out of record-info instead of writing null.
	OmitNulls bool
	// SubmitLimit is the window of generate, 20 per 10 s by default.
	SubmitLimit sim.Limit
	// QueryLimit is the window of record-info, 10 per 1 s by default.
	QueryLimit sim.Limit
	// CallbackAttempts is how often a callback is tried in total, 4 by default (one and three retries).
	CallbackAttempts int
	// CallbackSpacing is the pause between two tries, 1 s by default.
	CallbackSpacing time.Duration
	// CallbackTimeout is how long a receiver may take to answer, 15 s by default.
	CallbackTimeout time.Duration
	// CallbackReuseTimestamp makes retries carry the headers of the first try instead of being signed anew.
	CallbackReuseTimestamp bool
	// CallbackID is the place of the task id in callbacks, [IDDataCamel] by default.
	CallbackID IDField
	// SilentCreateFailure sends no callback for flag 2, which the provider leaves open.
	SilentCreateFailure bool

	// DownloadTTL is how long a link from download-url lives, 20 min by default.
	DownloadTTL time.Duration
}

// withDefaults fills what the caller left open.
func (p Profile) withDefaults() Profile {
	p.Errors = cmp.Or(p.Errors, ErrorsInBody)
	p.UnknownTaskCode = cmp.Or(p.UnknownTaskCode, http.StatusNotFound)
	p.SubmitLimit = cmp.Or(p.SubmitLimit, sim.Limit{N: 20, Window: 10 * time.Second})
	p.QueryLimit = cmp.Or(p.QueryLimit, sim.Limit{N: 10, Window: time.Second})
	p.CallbackAttempts = cmp.Or(p.CallbackAttempts, 4)
	p.CallbackSpacing = cmp.Or(p.CallbackSpacing, time.Second)
	p.CallbackTimeout = cmp.Or(p.CallbackTimeout, 15*time.Second)
	p.CallbackID = cmp.Or(p.CallbackID, IDDataCamel)
	p.WithdrawnCode = cmp.Or(p.WithdrawnCode, http.StatusHTTPVersionNotSupported)
	p.RunningState = cmp.Or(p.RunningState, "waiting")
	p.Credits = cmp.Or(p.Credits, CreditsConsumed)
	p.JobFailureCode = cmp.Or(p.JobFailureCode, http.StatusNotImplemented)
	p.DownloadTTL = cmp.Or(p.DownloadTTL, 20*time.Minute)
	return p
}

// Terms implements [sim.Profile].
func (p Profile) Terms() (sim.Terms, error) {
	p = p.withDefaults()
	switch {
	case !slices.Contains([]ErrorTransport{ErrorsInBody, ErrorsInStatus, ErrorsInBoth}, p.Errors):
		return sim.Terms{}, fmt.Errorf("error transport %q: want body, status or both", p.Errors)
	case !slices.Contains([]IDField{IDDataCamel, IDDataSnake, IDRoot, IDBoth}, p.CallbackID):
		return sim.Terms{}, fmt.Errorf("callback id field %q: want data.taskId, data.task_id, taskId or both", p.CallbackID)
	case !slices.Contains([]string{"waiting", "queuing", "generating"}, p.RunningState):
		return sim.Terms{}, fmt.Errorf("running state %q: want waiting, queuing or generating", p.RunningState)
	case !slices.Contains([]Credits{CreditsConsumed, CreditsOld, CreditsNone}, p.Credits):
		return sim.Terms{}, fmt.Errorf("credits field %q: want creditsConsumed, consumeCredits or none", p.Credits)
	}
	return sim.Terms{
		Name: Name, SubmitLimit: p.SubmitLimit, QueryLimit: p.QueryLimit, MaxConcurrent: -1, // No cap is documented.
		Callbacks: sim.CallbackTerms{
			Attempts: p.CallbackAttempts, Spacing: p.CallbackSpacing, Timeout: p.CallbackTimeout,
			ReuseHeaders: p.CallbackReuseTimestamp, SilentCreateFailure: p.SilentCreateFailure,
		},
		MaintenanceCode: maintenanceCode, Directives: directives(p.WithdrawnCode),
	}, nil
}

// maintenanceCode is the code of maintenance in kie.ai's envelope.
const maintenanceCode = 455

// quirkPromptObject is the [sim.Script].Quirk that makes promptJson an object in callbacks.
const quirkPromptObject = "prompt-object"

func directives(withdrawnCode int) []sim.Directive {
	return slices.Concat(sim.AnswerDirectives(), sim.GenerationDirectives(), []sim.Directive{
		{
			Stage: sim.StageAnswer, Usage: "withdrawn", Effect: "the model is answered as withdrawn, nothing is created",
			Apply: sim.Bare(func(s *sim.Script) { s.Code = withdrawnCode }),
		},
		{
			Stage: sim.StageGeneration, Usage: "fail[=N]", Effect: "the generation fails: flag 3, errorCode N (501), callback 500",
			Apply: sim.FailWith(sim.OutcomeGenerateFailed),
		},
		{
			Stage: sim.StageGeneration, Usage: "create-fail[=N]", Effect: "the creation fails: flag 2, errorCode N (501), callback 500",
			Apply: sim.FailWith(sim.OutcomeCreateFailed),
		},
		sim.ResultsDirective(),
	}, sim.CallbackDirectives(), sim.SignatureDirectives(), []sim.Directive{{
		Stage: sim.StageCallback, Usage: "prompt-object", Effect: "promptJson is an object in callbacks",
		Apply: sim.Bare(func(s *sim.Script) { s.Quirk = quirkPromptObject }),
	}}, sim.LinkDirectives())
}

// Open implements [sim.Profile].
func (p Profile) Open(api *sim.API) sim.Protocol {
	control := p.Control
	if control == nil {
		control = NewControl()
	}
	return &protocol{cfg: p.withDefaults(), api: api, control: control}
}

// Package kie simulates kie.ai: its Luma Modify API, its common API and its upload API. It moves a job from successFlag 0
// to 1, 2 or 3, and from 1 to 4 when the callback was given up. Errors stand in the body under HTTP 200 unless configured
// otherwise; callbacks are signed, and come at the end of a generation alone.
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

// Profile is the configuration of the simulated kie.ai.
type Profile struct {
	// WebhookKey signs the callbacks of kie.ai. When empty, callbacks carry no signature headers.
	WebhookKey string

	// InvisibleFor is the time after creation in which record-info answers 422 "recordInfo is null".
	InvisibleFor time.Duration
	// Errors is the transport of error codes, [ErrorsInBody] by default.
	Errors ErrorTransport
	// RejectNonASCII refuses prompts with other than ASCII characters (422).
	RejectNonASCII bool
	// UnknownTaskCode answers record-info for an id that does not exist: 404 (default) or 422.
	UnknownTaskCode int
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
	}
	return sim.Terms{
		Name: Name, SubmitLimit: p.SubmitLimit, QueryLimit: p.QueryLimit, MaxConcurrent: -1, // No cap is documented.
		Callbacks: sim.CallbackTerms{
			Attempts: p.CallbackAttempts, Spacing: p.CallbackSpacing, Timeout: p.CallbackTimeout,
			ReuseHeaders: p.CallbackReuseTimestamp, SilentCreateFailure: p.SilentCreateFailure,
		},
		MaintenanceCode: maintenanceCode, Directives: directives(),
	}, nil
}

// maintenanceCode is the code of maintenance in kie.ai's envelope.
const maintenanceCode = 455

// quirkPromptObject is the [sim.Script].Quirk that makes promptJson an object in callbacks.
const quirkPromptObject = "prompt-object"

func directives() []sim.Directive {
	return slices.Concat(sim.AnswerDirectives(), sim.GenerationDirectives(), []sim.Directive{
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
func (p Profile) Open(api *sim.API) sim.Protocol { return &protocol{cfg: p.withDefaults(), api: api} }

package sim

import (
	"net/http"
	"time"
)

// Profile is the configuration of one simulated API. The zero value of a profile behaves as its provider documents.
type Profile interface {
	// Terms returns the limits and features of the API, with all defaults. It returns an error for a configuration
	// with unknown names.
	Terms() (Terms, error)
	// Open returns the wire format of the API. It calls api for everything that profiles have in common.
	Open(api *API) Protocol
}

// Protocol is the wire format of one API. Its methods may be called concurrently.
type Protocol interface {
	// Register adds the routes of the API.
	Register(mux *http.ServeMux)
	// NewID returns a fresh id of a job, in the provider's form.
	NewID() string
	// Refusal returns the refusal with a code and the provider's message.
	Refusal(code int) *Refusal
	// Refuse answers with a refusal.
	Refuse(w http.ResponseWriter, no *Refusal)
	// Created renders the answer to a submission and sets its headers.
	Created(w http.ResponseWriter, j *Job) (status int, body []byte)
	// Callback renders a callback that reports claim about a job. The engine calls it only for jobs with a callback
	// URL.
	Callback(j *Job, claim Claim) Message
}

// Terms has the limits and features of one API.
type Terms struct {
	// Name is the name of the profile in the ledger and in every other record.
	Name string
	// Path is the base path of the API at the simulator, such as "/dream-machine/v1".
	Path string
	// AuthScheme is the scheme in the Authorization header, "Bearer" by default.
	AuthScheme string
	// SubmitLimit and QueryLimit are the rate windows of submissions and of queries, per key.
	SubmitLimit Limit
	QueryLimit  Limit
	// MaxConcurrent is the maximum number of queued and running generations of a key. A negative value means no
	// limit.
	MaxConcurrent int
	// Queued is how long a generation waits before it begins.
	Queued time.Duration
	// Callbacks describes how the API delivers callbacks.
	Callbacks CallbackTerms
	// LinkTTL is the lifetime of a result link, [Config].LinkTTL by default.
	LinkTTL time.Duration
	// FreshLinks makes each query return new presigned links.
	FreshLinks bool
	// MaintenanceCode is the code of the refusal while the API is under maintenance.
	MaintenanceCode int
	// Directives are the directives that a prompt may contain.
	Directives []Directive
}

// CallbackTerms describes how an API delivers callbacks. An API without callbacks leaves it zero.
type CallbackTerms struct {
	// Attempts is the total number of tries of a callback, with Spacing between two tries.
	Attempts int
	Spacing  time.Duration
	// Timeout is how long a receiver may take to answer.
	Timeout time.Duration
	// ReuseHeaders makes a retry send the headers of the first try.
	ReuseHeaders bool
	// Progress makes the API send a callback when a generation begins, too.
	Progress bool
	// SilentCreateFailure sends no callback for [StateCreateFailed].
	SilentCreateFailure bool
}

// Claim is what a callback reports about its job: the truth, unless the script requires something else.
type Claim struct {
	Status
	// ForgedCode is the code of a forged callback, 0 for every other callback.
	ForgedCode int
}

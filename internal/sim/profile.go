package sim

import (
	"net/http"
	"time"
)

// Profile is the configuration of one simulated API. The zero value of a profile behaves as its provider documents.
type Profile interface {
	// Terms returns what the API allows and promises, with every default filled in. It refuses a configuration with
	// words that the profile does not know.
	Terms() (Terms, error)
	// Open returns the wire format of the API, which calls api for all that is common to the profiles.
	Open(api *API) Protocol
}

// Protocol is the wire format of one API. Its methods may be called concurrently.
type Protocol interface {
	// Register adds the routes of the API.
	Register(mux *http.ServeMux)
	// NewID returns a fresh id of a job, in the provider's form.
	NewID() string
	// Refusal returns the refusal with a code, in the provider's words.
	Refusal(code int) *Refusal
	// Refuse answers with a refusal.
	Refuse(w http.ResponseWriter, no *Refusal)
	// Created renders the answer to a submission and sets its headers.
	Created(w http.ResponseWriter, j *Job) (status int, body []byte)
	// Callback renders a callback about a job that claims to stand as claim says. The engine calls it only for jobs
	// with a callback URL.
	Callback(j *Job, claim Claim) Message
}

// Terms are what one API allows and promises.
type Terms struct {
	// Name is the name of the profile in the ledger and in every other record.
	Name string
	// Path is where the API begins below the address of the simulator, as in "/dream-machine/v1".
	Path string
	// AuthScheme is what stands before the key in the Authorization header, "Bearer" by default.
	AuthScheme string
	// SubmitLimit and QueryLimit are the rate windows of submissions and of queries, per key.
	SubmitLimit Limit
	QueryLimit  Limit
	// MaxConcurrent is how many generations a key may have running, queued ones included. A negative value means no
	// limit.
	MaxConcurrent int
	// Queued is how long a generation waits before it begins.
	Queued time.Duration
	// Callbacks is how the API delivers callbacks.
	Callbacks CallbackTerms
	// LinkTTL is how long a result link lives, [Config].LinkTTL by default.
	LinkTTL time.Duration
	// FreshLinks makes each query give out new links, which are presigned.
	FreshLinks bool
	// MaintenanceCode is the code of the refusal while the API is under maintenance.
	MaintenanceCode int
	// Directives are the directives that a prompt may carry.
	Directives []Directive
}

// CallbackTerms is how an API delivers callbacks. An API without callbacks leaves it zero.
type CallbackTerms struct {
	// Attempts is how often a callback is tried in total, with Spacing between two tries.
	Attempts int
	Spacing  time.Duration
	// Timeout is how long a receiver may take to answer.
	Timeout time.Duration
	// ReuseHeaders makes a retry carry the headers of the first try.
	ReuseHeaders bool
	// Progress makes the API send a callback when a generation begins, too.
	Progress bool
	// SilentCreateFailure sends no callback for [StateCreateFailed].
	SilentCreateFailure bool
}

// Claim is what a callback says about its job: the truth, unless the script wants something else.
type Claim struct {
	Status
	// ForgedCode is the code that a forged callback has to carry, 0 for every other callback.
	ForgedCode int
}

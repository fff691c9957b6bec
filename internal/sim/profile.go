package sim

import (
	"cmp"
	"math"
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
	// Runners is the maximum number of running generations of a key, where more of them wait in the queue. 0 means no
	// limit.
	Runners int
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
	// Attempts is the total number of tries of a callback, with Spacing between two tries. Growth multiplies the pause
	// after each of them, when not 0.
	Attempts int
	Spacing  time.Duration
	Growth   float64
	// Timeout is how long a receiver may take to answer the first try, RetryTimeout the others. The default of
	// RetryTimeout is Timeout.
	Timeout      time.Duration
	RetryTimeout time.Duration
	// Any2xx takes every status from 200 to 299 as accepted. Otherwise it is 200 alone.
	Any2xx bool
	// FinalRedirects gives a callback up when it is answered with a redirect.
	FinalRedirects bool
	// ReuseHeaders makes a retry send the headers of the first try.
	ReuseHeaders bool
	// Progress makes the API send a callback when a generation begins, too.
	Progress bool
	// SilentCreateFailure sends no callback for [StateCreateFailed].
	SilentCreateFailure bool
	// SilentCancel sends no callback for a job that was canceled.
	SilentCancel bool
}

// pause is the wait after a try, which counts from 1.
func (t CallbackTerms) pause(attempt int) time.Duration {
	if t.Growth == 0 {
		return t.Spacing
	}
	return time.Duration(float64(t.Spacing) * math.Pow(t.Growth, float64(attempt-1)))
}

// timeout is how long a receiver may take to answer a try, which counts from 1.
func (t CallbackTerms) timeout(attempt int) time.Duration {
	if attempt == 1 {
		return t.Timeout
	}
	return cmp.Or(t.RetryTimeout, t.Timeout)
}

// accepts reports whether a status ends the tries of a callback.
func (t CallbackTerms) accepts(status int) bool {
	return status == http.StatusOK || (t.Any2xx && status/100 == 2)
}

// Claim is what a callback reports about its job: the truth, unless the script requires something else.
type Claim struct {
	Status
	// ForgedCode is the code of a forged callback, 0 for every other callback.
	ForgedCode int
}

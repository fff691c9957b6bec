package provider

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class classifies an error of a provider by its meaning for the attempt and the account. It decides
// whether a submission may be sent again, so every class states what is known about costs.
type Class int

// The classes of provider errors. The zero value is not a class.
const (
	// Ambiguous means that the outcome of a submission is unknown: something may have been created
	// and may be charged. It must not be sent again blindly.
	Ambiguous Class = iota + 1
	// NotSent means that no byte of the request left: nothing was created.
	NotSent
	// RateLimited means that the provider refused for now and created nothing.
	RateLimited
	// Rejected means that the provider refused this request for good and created nothing.
	Rejected
	// AccountBlocked means that the account can't submit, whatever the request: nothing was created, and
	// other requests would fail in the same way. Pause has the reason.
	AccountBlocked
	// ModelWithdrawn means that the provider has the model no longer, whatever the request, and created nothing. Other models
	// of the account are not affected.
	ModelWithdrawn
	// GenerationFailed means that the provider tried and failed.
	GenerationFailed
	// NotFound means that the provider does not know the task that was asked for.
	NotFound
	// Unavailable means that a query got no answer. It may be repeated at any time.
	Unavailable
)

// String returns the class in snake case, as logs and metrics show it.
func (c Class) String() string {
	switch c {
	case Ambiguous:
		return "ambiguous"
	case NotSent:
		return "not_sent"
	case RateLimited:
		return "rate_limited"
	case Rejected:
		return "rejected"
	case AccountBlocked:
		return "account_blocked"
	case ModelWithdrawn:
		return "model_withdrawn"
	case GenerationFailed:
		return "generation_failed"
	case NotFound:
		return "not_found"
	case Unavailable:
		return "unavailable"
	default:
		return "unknown"
	}
}

// Pause says why an account can't submit. It is empty for every class but AccountBlocked.
type Pause string

// The reasons for which an account pauses.
const (
	PauseCredentials Pause = "credentials" // The API key is missing, wrong or has no permission.
	PauseCredits     Pause = "credits"     // The account has no credits left.
	PauseQuota       Pause = "quota"       // The key has used up its own allowance.
	PauseMaintenance Pause = "maintenance" // The provider is down for maintenance.
	PauseDisabled    Pause = "disabled"    // The provider switched the feature off.
	PauseBlocked     Pause = "blocked"     // A firewall in front of the provider blocks us, or the account is suspended.
)

// MaxMessage is the maximum size of a stored message of a provider, in bytes.
const MaxMessage = 512

// Error is an error of a call to a provider.
type Error struct {
	Class      Class
	Pause      Pause         // Why the account can't submit, for AccountBlocked.
	Input      bool          // Whether the provider refused the prompt or the source, for Rejected.
	Op         string        // The operation: "submit", "check", "refresh link".
	Code       int           // The provider's code: the code in the body if there is one, else the HTTP status; 0 without an answer.
	Message    string        // The provider's message, at most MaxMessage bytes, without secrets.
	RetryAfter time.Duration // The wait that the provider requests; 0 if it requests none.
	Err        error         // The cause, if there is one besides the provider's answer.
}

// Error returns the operation, the class, the code, the provider's message and the cause.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Op, e.Class)
	if e.Pause != "" {
		s += " (" + string(e.Pause) + ")"
	}
	if e.Code != 0 {
		s += fmt.Sprintf(": code %d", e.Code)
	}
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of err. It returns Ambiguous for an error that is not an *Error: after an
// unknown error, a submission must not be sent again.
func ClassOf(err error) Class {
	if pe, ok := errors.AsType[*Error](err); ok {
		return pe.Class
	}
	return Ambiguous
}

// TrimMessage cuts a provider's message to MaxMessage bytes of valid UTF-8.
func TrimMessage(s string) string {
	if len(s) > MaxMessage {
		s = s[:MaxMessage]
	}
	return strings.ToValidUTF8(s, "")
}

// The errors of a callback with a valid URL token.
var (
	// ErrCallbackMalformed means that the body is not a callback: not JSON, no provider task id, or
	// several that differ.
	ErrCallbackMalformed = errors.New("malformed callback")
	// ErrCallbackSignature means that the signature is missing or wrong while a signing key is configured.
	ErrCallbackSignature = errors.New("bad callback signature")
	// ErrCallbackStale means that the signature's timestamp is outside the accepted window.
	ErrCallbackStale = errors.New("stale callback timestamp")
)

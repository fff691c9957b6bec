package lifecycle

import (
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Verdicts are all verdicts.
var Verdicts = []Verdict{Applied, Asked, Duplicate, Conflict, Mismatch, BadSignature, Stale, Malformed}

// CallbackID names a callback in the inbox. Ids grow, but are not handed out in the order of time.
type CallbackID int64

// InboxCallback is a callback as it lies in the inbox.
type InboxCallback struct {
	Callback // Its Body is empty in lists.

	ID          CallbackID
	Task        task.ID
	Attempt     int // The number of the attempt.
	ReceiveTime time.Time
	SizeBytes   int64 // Of the body.
}

// InboxError says which callback of the inbox an error is about.
type InboxError struct {
	Callback CallbackID
	Err      error
}

// Error names the callback and what is wrong.
func (e *InboxError) Error() string { return fmt.Sprintf("callback %d: %v", e.Callback, e.Err) }

// Unwrap returns what is wrong.
func (e *InboxError) Unwrap() error { return e.Err }

// CallbackFilter says which callbacks of the inbox to list. All that is set must match.
type CallbackFilter struct {
	Task     task.ID
	Account  string
	Verdicts []Verdict // Empty means all.
	FromTime time.Time
	ToTime   time.Time
	Before   CallbackPlace // Only callbacks that come after this one in the list; zero means from the newest.
	Limit    int
}

// CallbackPlace is the place of a callback in the list, which has the newest first.
type CallbackPlace struct {
	Time time.Time
	ID   CallbackID
}

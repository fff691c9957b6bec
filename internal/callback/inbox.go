package callback

import (
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// ErrNotFound means that there is no such callback in the inbox.
var ErrNotFound = errors.New("no such callback")

// ID names a callback in the inbox. Ids grow, but are not handed out in the order of time.
type ID int64

// Stored is a callback of the inbox.
type Stored struct {
	lifecycle.Callback // Its Body is empty in lists.

	ID          ID
	Task        task.ID
	Attempt     int // The number of the attempt.
	ReceiveTime time.Time
	SizeBytes   int64 // Of the body.
}

// Error says which callback of the inbox an error is about.
type Error struct {
	Callback ID
	Err      error
}

// Error names the callback and what is wrong.
func (e *Error) Error() string { return fmt.Sprintf("callback %d: %v", e.Callback, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Filter says which callbacks of the inbox to list. All that is set must match.
type Filter struct {
	Task     task.ID
	Account  string
	Verdicts []lifecycle.Verdict // Empty means all.
	FromTime time.Time
	ToTime   time.Time
	Before   Place // Only callbacks that come after this one in the list; zero means from the newest.
	Limit    int
}

// Place is the place of a callback in the list, which has the newest first.
type Place struct {
	Time time.Time
	ID   ID
}

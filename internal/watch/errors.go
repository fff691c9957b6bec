package watch

import (
	"errors"
	"fmt"
)

// Why a watch ends before its task does.
var (
	// ErrDraining means that the process is stopping. The watch resumes elsewhere from its newest revision.
	ErrDraining = errors.New("watches are draining")
	// ErrFutureRevision means that the task has not reached the revision after which events were asked for.
	ErrFutureRevision = errors.New("the task has not reached this revision")
	// ErrUnknownTask means that there is no such task, or no longer.
	ErrUnknownTask = errors.New("no such task")
	// ErrGap means that what the table answered does not continue what was sent: an event is missing between
	// two others, or came again. Nothing in Refract can cause it, so it is not hidden from the watcher.
	ErrGap = errors.New("the events of the task are not consecutive")
)

// ExpiredError means that events which were asked for are older than retention.
type ExpiredError struct {
	Oldest int64 // The oldest revision that is left: a watch after Oldest-1 succeeds.
}

// Error tells the oldest revision that is left.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("older events were removed: the oldest revision left is %d", e.Oldest)
}

// final tells whether an error of a read is an answer, which asking again would only repeat.
func final(err error) bool {
	if _, expired := errors.AsType[*ExpiredError](err); expired {
		return true
	}
	return errors.Is(err, ErrFutureRevision) || errors.Is(err, ErrUnknownTask) || errors.Is(err, ErrGap)
}

package watch

import (
	"errors"
	"fmt"

	"github.com/refract-video/refract/internal/task"
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
	// ErrFuturePosition means that the log has not reached the position after which entries were asked for.
	ErrFuturePosition = errors.New("the log of events has not reached this position")
	// ErrNotReading means that the log of events could not be read for 30 seconds, or since the process began. The watch
	// resumes elsewhere from where it is.
	ErrNotReading = errors.New("the log of events can't be read")
	// ErrToken means that a resume token is not one of ours for this tenant.
	ErrToken = errors.New("is not a resume token of this tenant")
)

// ExpiredError means that events which were asked for are older than retention.
type ExpiredError struct {
	Oldest int64 // The oldest revision that is left: a watch after Oldest-1 succeeds.
}

// Error names the oldest revision that is left.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("older events were removed: the oldest revision left is %d", e.Oldest)
}

// RemovedError means that entries which were asked for are older than retention.
type RemovedError struct {
	Oldest task.Position // The position after which everything of the tenant is left.
}

// Error names what is left.
func (e *RemovedError) Error() string {
	return fmt.Sprintf("older events were removed: those after position %d are left", e.Oldest)
}

// final reports whether an error of a read is an answer, which another read would only repeat.
func final(err error) bool {
	if _, expired := errors.AsType[*ExpiredError](err); expired {
		return true
	}
	if _, removed := errors.AsType[*RemovedError](err); removed {
		return true
	}
	return errors.Is(err, ErrFuturePosition) || errors.Is(err, ErrFutureRevision) || errors.Is(err, ErrUnknownTask) || errors.Is(err, ErrGap)
}

package watch

import (
	"errors"
	"fmt"

	"github.com/refract-video/refract/internal/task"
)

// Why a watch ends before its task does.
var (
	// ErrDraining means that the process is stopping. The watch can resume at another replica from its newest revision.
	ErrDraining = errors.New("watches are draining")
	// ErrFutureRevision means that the task has not reached the revision after which events are requested.
	ErrFutureRevision = errors.New("the task has not reached this revision")
	// ErrUnknownTask means that the task does not exist, or was removed.
	ErrUnknownTask = errors.New("no such task")
	// ErrGap means that a page of the table does not continue what was sent: an event is missing or came again. Refract
	// itself cannot cause this, so the watcher gets the error.
	ErrGap = errors.New("the events of the task are not consecutive")
	// ErrFuturePosition means that the log has not reached the position after which entries are requested.
	ErrFuturePosition = errors.New("the log of events has not reached this position")
	// ErrNotReading means that the log of events could not be read for 30 seconds, or since the process began. The
	// watch can resume at another replica.
	ErrNotReading = errors.New("the log of events can't be read")
	// ErrToken means that a resume token was not made here for this tenant.
	ErrToken = errors.New("is not a resume token of this tenant")
)

// ExpiredError means that retention has removed requested events.
type ExpiredError struct {
	Oldest int64 // The oldest revision that is left: a watch after Oldest-1 succeeds.
}

// Error names the oldest revision that is left.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("older events were removed: the oldest revision left is %d", e.Oldest)
}

// RemovedError means that retention has removed requested entries.
type RemovedError struct {
	Oldest task.Position // The position after which no entry of the tenant was removed.
}

// Error names the position after which all entries are left.
func (e *RemovedError) Error() string {
	return fmt.Sprintf("older events were removed: those after position %d are left", e.Oldest)
}

// final reports whether an error of a read is final: another read would return it again.
func final(err error) bool {
	if _, expired := errors.AsType[*ExpiredError](err); expired {
		return true
	}
	if _, removed := errors.AsType[*RemovedError](err); removed {
		return true
	}
	return errors.Is(err, ErrFuturePosition) || errors.Is(err, ErrFutureRevision) || errors.Is(err, ErrUnknownTask) || errors.Is(err, ErrGap)
}

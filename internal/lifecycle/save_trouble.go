package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// SaveFailure is what a try to save outputs met.
type SaveFailure struct {
	Cause      WaitCause     // What the next try waits for.
	Message    string        // In words for callers.
	RetryAfter time.Duration // When the next one follows.
	Storage    string        // Why the storage failed, in words for callers; empty where it did not.
}

// SaveTrouble is why the outputs of an attempt are not saved.
type SaveTrouble struct {
	Cause   WaitCause
	Message string
	Since   time.Time // When the save began to fail. It begins anew when the storage works again, and when it fails.
	Until   time.Time // When the next try follows.
	Storage StorageTrouble
}

// StorageTrouble is how the storage kept outputs from being saved. It is zero where it did not.
type StorageTrouble struct {
	Cause        string // In words for callers.
	Since, Until time.Time
}

// String describes the trouble to callers.
func (s StorageTrouble) String() string {
	const layout = "2006-01-02 15:04:05"
	return fmt.Sprintf("our storage failed between %s and %s UTC, since it %s", s.Since.UTC().Format(layout), s.Until.UTC().Format(layout), s.Cause)
}

// waitingSave returns what a task in SAVING waits for, or nil where nothing is known to be in its way.
func (l *Lifecycle) waitingSave(ctx context.Context, t task.Task) (*Waiting, error) {
	trouble, storage, err := l.store.SaveTrouble(ctx, t.Result, t.UpdateTime)
	if err != nil {
		return nil, fmt.Errorf("find out what task %s waits for: %w", t.ID, err)
	}
	if storage != "" {
		return &Waiting{Cause: WaitStorage, Message: "the result can't be stored, since the storage " + storage + "; it is saved when the storage works again"}, nil
	}
	if trouble.Cause == "" {
		return nil, nil //nolint:nilnil // Nothing is what most tasks wait for.
	}
	return &Waiting{Cause: trouble.Cause, Until: trouble.Until, Message: trouble.Message + "; it is tried again"}, nil
}

package lifecycle

import (
	"fmt"
	"time"
)

// Keep is how long things are kept; 0 means for ever. A tenant's own terms come before it.
type Keep struct {
	Outputs   time.Duration // After they were saved.
	Sources   time.Duration // After their last use.
	Callbacks time.Duration // After they came.
	Tasks     time.Duration // After their last change, once they are terminal.
}

// The shortest times for which things are kept. Providers have links to sources for a day, and attempts count
// against the rate windows of their accounts.
const (
	MinKeep            = time.Hour
	MinKeepSourceTasks = 24 * time.Hour
)

// Check refuses times that are too short.
func (k Keep) Check() error {
	for _, c := range []struct {
		name        string
		keep, least time.Duration
	}{
		{"outputs", k.Outputs, MinKeep},
		{"sources", k.Sources, MinKeepSourceTasks},
		{"callbacks", k.Callbacks, MinKeep},
		{"tasks", k.Tasks, MinKeepSourceTasks},
	} {
		if c.keep != 0 && c.keep < c.least {
			return fmt.Errorf("%s can be kept for %s at least, or for ever with 0, not for %s", c.name, c.least, c.keep)
		}
	}
	return nil
}

// Retained is a kind of thing that is kept for a time and then removed.
type Retained string

// The kinds of things that expire.
const (
	RetainedOutput   Retained = "output"
	RetainedSource   Retained = "source"
	RetainedUpload   Retained = "upload" // Of a source, finished or given up.
	RetainedCallback Retained = "callback"
	RetainedTask     Retained = "task"
	RetainedOrphan   Retained = "orphan" // A file that no row names, which a process that died left behind.
)

// RetainedKinds are all kinds that have rows, in the order in which they are removed: a task takes what is left of its own with it.
var RetainedKinds = []Retained{RetainedOutput, RetainedSource, RetainedUpload, RetainedCallback, RetainedTask}

// Aged is a thing that is old enough to be removed under somebody's terms. Which fields name it depends on the kind.
type Aged struct {
	At     time.Time // The time from which it is kept.
	ID     string
	Part   int64
	Tenant string
	Bytes  int64 // What its removal frees in the bucket, or in the database for a callback.
	Old    bool  // Whether it is old under the strictest terms; when nothing in a batch is, nothing behind it is.
	Due    bool  // Whether it is to be removed: old under its tenant's terms, and not in use.
}

// Removed says how much was removed.
type Removed struct {
	Rows  int64
	Bytes int64
}

// Add adds more to it.
func (r *Removed) Add(more Removed) {
	r.Rows += more.Rows
	r.Bytes += more.Bytes
}

package lifecycle

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// IDs returns a function that makes ids by a clock.
func IDs(now func() time.Time) func() string { return (&ids{now: now}).next }

// Route returns the providers that a task is tried at.
func (l *Lifecycle) Route(spec task.Spec) ([]string, error) {
	return l.route(context.Background(), spec)
}

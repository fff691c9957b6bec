package lifecycle

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Usage is how much of a provider account's limits is taken, over all replicas.
type Usage struct {
	Limits     provider.Limits
	Unanswered int  // Attempts whose submission is under way.
	Recent     int  // Attempts whose submission was answered within the last window.
	InFlight   int  // Attempts that the provider works on, or may.
	Paused     bool // Whether the account is paused now.
	Probing    bool // Whether the account was paused and has not proved to work since.
}

// Admit lets queued tasks of a provider go, as many as permits grants, and returns how many went.
func (l *Lifecycle) Admit(ctx context.Context, providerName string, permits func(Usage) int) (int, error) {
	limits := l.providers[providerName].Capabilities().Limits
	admitted, err := l.store.AdmitTasks(ctx, providerName, limits.Window,
		func(u Usage) int {
			u.Limits = limits
			return permits(u)
		},
		func(t task.Task) (task.Decision, error) {
			return t.Apply(task.Admitted{Attempt: task.AttemptID(newID())})
		})
	if err != nil {
		return 0, fmt.Errorf("admit tasks to %s: %w", providerName, err)
	}
	for _, t := range admitted {
		l.changed(t.ID, t.State)
	}
	return len(admitted), nil
}

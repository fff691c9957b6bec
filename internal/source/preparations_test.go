package source_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/source/sourcetest"
	"github.com/refract-video/refract/internal/task"
)

// stored is the store of the service, with tasks that wait.
type stored struct {
	*postgres.Preparations
	stores *postgres.Stores
}

// Hold makes a task whose attempt is given back, since its source is not ready.
func (s stored) Hold(t testing.TB, p source.Preparation) source.Waiter {
	t.Helper()
	id, attempt := task.ID(uuid.NewString()), task.AttemptID(uuid.NewString())
	begun := task.New(id, p.Tenant, string(id), task.Spec{Prompt: "snow", SourceID: p.Source, SourceURI: p.URI, MaxAttempts: 1, Deadline: time.Hour}, []string{"kie"})
	if c := s.stores.Tasks.CreateTasks(t.Context(), []task.Decision{begun})[0]; c.Err != nil {
		t.Fatal(c.Err)
	}
	var waits task.Task
	for _, in := range []task.Input{task.Admitted{Attempt: attempt, Account: p.Account}, task.Refused{Attempt: attempt, Message: "not sent"}} {
		var err error
		waits, err = s.stores.Tasks.ChangeAnyTask(t.Context(), id, func(now task.Task) (c lifecycle.Change, err error) {
			if c.Decision, err = now.Apply(in); c.Task.State == task.Queued {
				c.Prepare = &p
			}
			return c, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return source.Waiter{Task: id, Revision: waits.Revision}
}

func (s stored) ReleaseTasks(ctx context.Context, waiters []source.Waiter) error {
	return s.stores.Tasks.ReleaseTasks(ctx, waiters)
}

func TestPreparations_OfTheServicePassTheSuite(t *testing.T) {
	t.Parallel()
	sourcetest.TestPreparations(t, func(t *testing.T) sourcetest.Store {
		t.Helper()
		stores, err := postgres.NewStores(postgres.Config{Pool: setup(t).pool})
		if err != nil {
			t.Fatal(err)
		}
		return stored{stores.Preparations, stores}
	})
}

func TestPreparations_InMemoryPassTheSuite(t *testing.T) {
	t.Parallel()
	sourcetest.TestPreparations(t, func(*testing.T) sourcetest.Store { return sourcetest.NewMemory() })
}

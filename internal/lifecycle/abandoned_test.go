package lifecycle_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// deserted is a store all of whose callers leave while their change is being decided.
type deserted struct {
	*postgres.Tasks
	deciding sync.WaitGroup
}

func (d *deserted) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	t, err := d.TaskOfAttempt(ctx, id)
	if err != nil {
		return t, err
	}
	d.deciding.Go(func() { _, _ = decide(t) })
	return task.Task{}, context.Canceled
}

// TestSettle_MayBeLeftWhileItIsDecided is for the race detector, which reports a verb that was left and reads or writes
// what its decision notes down.
func TestSettle_MayBeLeftWhileItIsDecided(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, attempt := s.start(t, "p1")
	store := &deserted{Tasks: s.store.Tasks}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store, Offerings: s.store.Offerings, Inbox: s.store.Inbox, Saves: s.store.Storage, Sources: s.store.Sources, Accounts: provider.Accounts{"kie": studio{}}, Route: []string{"kie"}, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := lifecycle.Callback{AttemptID: attempt, Account: "kie", ProviderTaskID: "p1", Verdict: lifecycle.Applied, Body: []byte("{}")}
	for name, settle := range map[string]func(context.Context) error{
		"callback": func(ctx context.Context) error {
			_, err := verbs.SettleCallback(ctx, c, proven("p1", provider.Succeeded))
			return err
		},
		"save": func(ctx context.Context) error {
			_, err := verbs.SettleSave(ctx, attempt, nil, &task.SaveFailed{Attempt: attempt, Reason: task.OutputUnavailable, Message: "gone"})
			return err
		},
		"replay": func(ctx context.Context) error {
			_, err := verbs.ReplayCallback(ctx, c)
			return err
		},
	} {
		if err := settle(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want the error of its context", name, err)
		}
	}
	store.deciding.Wait()
}

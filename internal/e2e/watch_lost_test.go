package e2e_test

import (
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/watch"
)

// TestWatch_EventsArriveWithoutNotifications commits events like a replica whose notifications are lost.
func TestWatch_EventsArriveWithoutNotifications(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	task := ts.Submit(t, "[sim:never]")
	one, err := ts.Tasks.WatchTask(ts.Ctx(t), &refractv1.WatchTaskRequest{TaskId: task.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	all := ts.WatchAll(t, &refractv1.WatchTasksRequest{})
	silent := func(e *refractv1.TaskEvent) bool { return e.GetMessage() == "no notification" }
	// Nothing happens to the task after RUNNING.
	ts.Await(t, task.GetId(), func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	if _, err := ts.Pool.Exec(t.Context(), `
		WITH changed AS (UPDATE task SET revision = revision + 1 WHERE id = $1 RETURNING id, revision, state)
		INSERT INTO task_event (task_id, revision, state, attempt, message)
		SELECT id, revision, state, 1, 'no notification' FROM changed`, task.GetId()); err != nil {
		t.Fatal(err)
	}
	for seen := false; !seen; {
		m, err := one.Recv()
		if err != nil {
			t.Fatal(err)
		}
		seen = silent(m.GetEvent())
	}
	all.Until(t, func(e *refractv1.WatchedTaskEvent) bool { return silent(e.GetEvent()) })
	if watch.DefaultSweep > time.Second {
		t.Errorf("the log is read every %s, and an event is promised within a second", watch.DefaultSweep)
	}
}

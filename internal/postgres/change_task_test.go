package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/uploads"
	"github.com/refract-video/refract/internal/task"
)

// sum is a SHA-256 of nothing in particular.
func sum(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }

// sameTask compares tasks but for the attempts' times, which the store takes from two clocks.
var sameTask = cmp.Options{cmpopts.IgnoreFields(task.Attempt{}, "CreateTime"), cmpopts.EquateEmpty()}

func TestChangeTask_ReturnsWhatItStores(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	id := task.AttemptID(newID())
	for _, in := range []task.Input{
		task.Admitted{Attempt: id, Account: "kie"},
		task.Sending{Attempt: id},
		task.Hinted{Attempt: id, ProviderTaskID: "p1"},
		task.Ambiguous{Attempt: id, CheckAfter: time.Minute, Message: "connection lost"},
		task.GivenUp{Attempt: id, Message: "nobody knows"},
		task.Accepted{Attempt: id, ProviderTaskID: "p1", CheckAfter: time.Minute},
		task.RetryRequested{},
		task.CancelRequested{},
		task.ResultReady{Attempt: id, ProviderTaskID: "p1"},
		task.ResultReady{Attempt: id, ProviderTaskID: "p1", Cost: task.Cost{Amount: "12.50", Unit: "credits"}},
		task.RetryRequested{},
		task.Saved{Attempt: id, Outputs: []task.Output{
			{Index: 0, Key: "outputs/0", ContentType: "video/mp4", SizeBytes: 12, SHA256: sum('a')},
			{Index: 1, Key: "outputs/1", ContentType: "video/webm", SizeBytes: 1 << 40, SHA256: sum('b')},
		}},
	} {
		returned := apply(t, stores, created.ID, in)
		stored, err := stores.Tasks.Task(t.Context(), "films", created.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored, returned, sameTask); diff != "" {
			t.Fatalf("after %T (-stored +returned):\n%s", in, diff)
		}
	}
	final, err := stores.Tasks.TaskOfAttempt(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := final.AttemptByID(id).Cost, (task.Cost{Amount: "12.50", Unit: "credits"}); got != want {
		t.Errorf("the attempt cost %+v, want %+v", got, want)
	}
	if final.State != task.Succeeded || len(final.Outputs) != 2 {
		t.Errorf("the task is %s with %d outputs, want SUCCEEDED with 2", final.State, len(final.Outputs))
	}
	if n := count(t, pool, "SELECT count(*) FROM task_event"); int64(n) != final.Revision {
		t.Errorf("%d events at revision %d", n, final.Revision)
	}
}

func TestChangeTask_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	errDecide := errors.New("undecided")
	admitted := func(tk task.Task) (lifecycle.Change, error) {
		d, err := tk.Apply(task.Admitted{Attempt: task.AttemptID(newID()), Account: "kie"})
		c := lifecycle.Callback{AttemptID: d.Task.Attempt().ID, Account: "kie", Verdict: lifecycle.Applied, Body: []byte("{}")}
		return lifecycle.Change{
			Decision: d, Callback: &c, Pause: &lifecycle.Pause{Account: "kie", Reason: "credits", For: time.Hour, Max: time.Hour, Blocks: true},
		}, err
	}
	tests := map[string]lifecycle.Decide{
		"the decision fails": func(tk task.Task) (lifecycle.Change, error) {
			c, _ := admitted(tk)
			return c, errDecide
		},
		"an output is refused": func(tk task.Task) (lifecycle.Change, error) {
			c, err := admitted(tk)
			c.Outputs, c.OutputsOf = []task.Output{{Key: "k", SizeBytes: 0, SHA256: sum('a')}}, c.Task.Attempt().ID
			return c, err
		},
		"the event is refused": func(tk task.Task) (lifecycle.Change, error) {
			c, err := admitted(tk)
			event := *c.Event
			event.Revision = 1
			c.Event = &event
			return c, err
		},
		"the callback is refused": func(tk task.Task) (lifecycle.Change, error) {
			c, err := admitted(tk)
			c.Callback.AttemptID = task.AttemptID(newID())
			return c, err
		},
		"a job is refused": func(tk task.Task) (lifecycle.Change, error) {
			c, err := admitted(tk)
			c.Jobs = append(c.Jobs, badJob{})
			return c, err
		},
	}
	for name, decide := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := stores.Tasks.ChangeAnyTask(t.Context(), created.ID, decide); err == nil {
				t.Fatal("ChangeTask = nil, want an error")
			}
			for table, want := range map[string]int{"task_event": 1, "attempt": 0, "callback": 0, "output": 0, "river_job": 0} {
				if n := count(t, pool, "SELECT count(*) FROM "+table); n != want {
					t.Errorf("%d rows in %s, want %d", n, table, want)
				}
			}
			if n := count(t, pool, "SELECT count(*) FROM provider_account WHERE pauses > 0"); n != 0 {
				t.Error("the account is paused")
			}
			got, err := stores.Tasks.Task(t.Context(), "films", created.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(created, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the task changed (-before +after):\n%s", diff)
			}
		})
	}
}

// badJob has a queue that the job queue refuses.
type badJob struct{}

func (badJob) Kind() string { return "not a kind!" }

func TestChangeTask_EnqueuesEachJobOnceInTheQueueOfItsKind(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	id := admit(t, stores, created.ID)
	apply(t, stores, created.ID, task.Sending{Attempt: id})
	apply(t, stores, created.ID, task.ResultReady{Attempt: id, ProviderTaskID: "p1"})
	apply(t, stores, created.ID, task.ResultReady{Attempt: id, ProviderTaskID: "p1"})
	rows, err := pool.Query(t.Context(), "SELECT kind, queue, state::text, args ->> 'attempt_id' FROM river_job ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got [][4]string
	for rows.Next() {
		var j [4]string
		if err := rows.Scan(&j[0], &j[1], &j[2], &j[3]); err != nil {
			t.Fatal(err)
		}
		got = append(got, j)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := [][4]string{
		{"submit_attempt", "submit_attempt", "available", string(id)},
		{"save_outputs", "save_outputs", "available", string(id)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestChangeTask_UnchangedDecisionWritesNothing(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	created := create(t, stores, "films", plain())
	version := func() string { return value[string](t, pool, "SELECT xmin::text || ctid::text FROM task") }
	before := version()
	apply(t, stores, created.ID, task.CancelRequested{})
	after := version()
	if after == before {
		t.Fatal("the cancel was not written")
	}
	apply(t, stores, created.ID, task.CancelRequested{})
	if version() != after {
		t.Error("a repeated cancel wrote the task")
	}
}

func TestChangeTask_OtherTenantsFindNothing(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	created := create(t, stores, "films", plain())
	if _, err := stores.Tasks.ChangeTask(t.Context(), "shorts", created.ID, applying(task.CancelRequested{})); !errors.Is(err, lifecycle.ErrTaskNotFound) {
		t.Errorf("ChangeTask = %v, want ErrTaskNotFound", err)
	}
	if _, err := stores.Tasks.Task(t.Context(), "shorts", created.ID); !errors.Is(err, lifecycle.ErrTaskNotFound) {
		t.Errorf("Task = %v, want ErrTaskNotFound", err)
	}
	if _, err := stores.Tasks.ChangeByAttempt(t.Context(), task.AttemptID(newID()), applying(task.CancelRequested{})); !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("ChangeByAttempt = %v, want ErrAttemptNotFound", err)
	}
	if _, err := stores.Tasks.TaskOfAttempt(t.Context(), task.AttemptID(newID())); !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		t.Errorf("TaskOfAttempt = %v, want ErrAttemptNotFound", err)
	}
}

var (
	_ lifecycle.Store   = (*postgres.Tasks)(nil)
	_ lifecycle.Saves   = (*postgres.Storage)(nil)
	_ lifecycle.Sources = (*uploads.Store)(nil)
)

// A caller that knows the id of another tenant's task must neither hold its row nor wait for it.
func TestChangeTask_OfAnotherTenantTouchesNoLock(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	stores.Tasks.SetLockTimeout(time.Millisecond)
	created := create(t, stores, "films", plain())
	tx := postgrestest.Begin(t, pool)
	if _, err := tx.Exec(t.Context(), "SELECT FROM task WHERE id = $1 FOR UPDATE", created.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := stores.Tasks.ChangeTask(t.Context(), "strangers", created.ID, applying(task.CancelRequested{})); !errors.Is(err, lifecycle.ErrTaskNotFound) {
		t.Errorf("ChangeTask for another tenant while the row is held = %v, want ErrTaskNotFound", err)
	}
	if _, err := stores.Tasks.ChangeTask(t.Context(), "films", created.ID, applying(task.CancelRequested{})); !dbpool.Locked(err) {
		t.Errorf("ChangeTask for the tenant while the row is held = %v, want an error that says it is locked", err)
	}
}

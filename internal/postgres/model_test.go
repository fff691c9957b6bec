package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/task"
)

// model is a task as the state machine alone has it, to compare with the one in the database.
type model struct {
	task    task.Task
	outputs map[task.AttemptID][]task.Output
	jobs    int
	last    *task.Event
}

// A random life of a task leaves the same task in the database as in the state machine, and no decision
// breaks a constraint of the schema.
func TestChangeTask_AgreesWithTheStateMachine(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		spec := plain()
		spec.MaxAttempts = rapid.IntRange(1, 3).Draw(t, "max attempts")
		begun := begin("films", newID(), spec)
		if c := stores.Tasks.CreateTasks(ctx, []task.Decision{begun})[0]; c.Err != nil {
			t.Fatal(c.Err)
		}
		m := &model{task: begun.Task, last: begun.Event, outputs: map[task.AttemptID][]task.Output{}}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.compare(ctx, t, stores, pool) },
			"go on": func(t *rapid.T) {
				switch m.task.State {
				case task.Queued:
					m.apply(ctx, t, stores, task.Admitted{Attempt: task.AttemptID(newID()), Account: "kie"})
				case task.Submitting:
					m.apply(ctx, t, stores, task.Sending{Attempt: m.task.Attempt().ID})
				case task.Failed, task.Canceled:
					m.apply(ctx, t, stores, task.RetryRequested{NewAttempt: rapid.Bool().Draw(t, "new attempt")})
				case task.Saving:
					m.apply(ctx, t, stores, saved(m.task.Result))
				case task.Running, task.Succeeded:
					t.Skip("it goes on by itself")
				}
			},
			"anything": func(t *rapid.T) { m.apply(ctx, t, stores, drawInput(t, &m.task)) },
		})
	})
}

// apply gives the input to both tasks.
func (m *model) apply(ctx context.Context, t *rapid.T, stores *postgres.Stores, in task.Input) {
	t.Logf("%T%+v", in, in)
	d, want := m.task.Apply(in)
	returned, err := stores.Tasks.ChangeTask(ctx, "films", m.task.ID, applying(in))
	if (err == nil) != (want == nil) || want != nil && !errors.Is(err, errors.Unwrap(want)) {
		t.Fatalf("the store says %v, the state machine %v", err, want)
	}
	if want != nil {
		return
	}
	if d.Changed {
		m.task = d.Task
		m.jobs += len(d.Jobs)
		if d.OutputsOf != "" {
			m.outputs[d.OutputsOf] = d.Outputs
		}
		if d.Event != nil {
			m.last = d.Event
		}
	}
	m.same(t, "returned", returned)
}

// compare compares what is stored with the model.
func (m *model) compare(ctx context.Context, t *rapid.T, stores *postgres.Stores, pool *pgxpool.Pool) {
	stored, err := stores.Tasks.Task(ctx, "films", m.task.ID)
	if err != nil {
		t.Fatal(err)
	}
	m.same(t, "stored", stored)
	events, err := stores.Log.TaskEvents(ctx, m.task.ID, m.task.Revision-1, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("events from revision %d on = %v, %v, want one", m.task.Revision, events, err)
	}
	if diff := cmp.Diff(*m.last, events[0], cmpopts.IgnoreFields(task.Event{}, "CreateTime")); diff != "" {
		t.Fatalf("the newest event (-model +stored):\n%s", diff)
	}
	var jobs int
	err = pool.QueryRow(ctx, `SELECT count(*) FROM river_job
		WHERE args ->> 'attempt_id' IN (SELECT id::text FROM attempt WHERE task_id = $1)`, m.task.ID).Scan(&jobs)
	if err != nil || jobs != m.jobs {
		t.Fatalf("%d jobs, %v, want %d", jobs, err, m.jobs)
	}
}

func (m *model) same(t *rapid.T, what string, got task.Task) {
	want := m.task
	want.Outputs = nil
	if want.State == task.Succeeded {
		want.Outputs = m.outputs[want.Result]
	}
	if diff := cmp.Diff(want, got, sameTask, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
		t.Fatalf("the task (-model +%s):\n%s", what, diff)
	}
}

// drawInput draws what can happen to a task, sensible or not. An attempt that was never sent can only be
// refused: it has no other record.
func drawInput(t *rapid.T, about *task.Task) task.Input {
	inputs := []task.Input{task.CancelRequested{}, task.DeadlinePassed{}, task.RetryRequested{}}
	for _, a := range about.Attempts {
		inputs = append(inputs, task.Refused{Attempt: a.ID, Delay: time.Second, Message: "not sent"}, task.Sending{Attempt: a.ID})
		if !a.Sent {
			continue
		}
		name, stranger := "p-"+string(a.ID), "stranger-"+string(a.ID) // One provider task is never that of two attempts.
		inputs = append(inputs,
			task.Accepted{Attempt: a.ID, ProviderTaskID: name, CheckAfter: time.Minute},
			task.Accepted{Attempt: a.ID, ProviderTaskID: stranger, CheckAfter: time.Minute},
			task.Refused{Attempt: a.ID, Reason: task.InputRejected, Message: "bad prompt"},
			task.Ambiguous{Attempt: a.ID, CheckAfter: time.Minute, Message: "timeout"},
			task.ResultReady{Attempt: a.ID, ProviderTaskID: name},
			task.GenerationFailed{Attempt: a.ID, ProviderTaskID: name, Message: "failed"},
			task.GenerationFailed{Attempt: a.ID, Message: "failed at once"},
			task.Hinted{Attempt: a.ID, ProviderTaskID: name, Proven: true},
			task.Hinted{Attempt: a.ID, ProviderTaskID: stranger},
			task.GivenUp{Attempt: a.ID, Message: "nobody knows"},
			task.SaveFailed{Attempt: a.ID, Reason: task.OutputUnavailable, Message: "gone"},
			saved(a.ID),
		)
	}
	return rapid.SampledFrom(inputs).Draw(t, "input")
}

func saved(id task.AttemptID) task.Saved {
	return task.Saved{Attempt: id, Outputs: []task.Output{
		{Index: 0, Key: string(id) + "/0", ContentType: "video/mp4", SizeBytes: 7, SHA256: sum('a')},
		{Index: 1, Key: string(id) + "/1", ContentType: "video/mp4", SizeBytes: 8, SHA256: sum('b')},
	}}
}

package postgres_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// TestEnqueueMissing_AddsJobsThatAttemptsWaitFor has attempts with a job and without one, next to one whose job waits. The second call
// finds the jobs of the first.
//
// It fails when selectMissingJobs lacks one of its conditions.
func TestEnqueueMissing_AddsJobsThatAttemptsWaitFor(t *testing.T) {
	t.Parallel()
	const old = 2 * time.Minute
	const save, submit = "save_outputs", "submit_attempt"
	for name, tt := range map[string]struct {
		state   task.State
		attempt task.AttemptState
		age     time.Duration
		job     string // The state of its job; empty for none.
		want    string // The kind of the job that is added; empty for none.
	}{
		"a result without a job":                {task.Saving, task.AttemptSucceeded, old, "", save},
		"a result whose job is said to be done": {task.Saving, task.AttemptSucceeded, old, "completed", save},
		"a result whose job was canceled":       {task.Saving, task.AttemptSucceeded, old, "cancelled", save},
		"a result whose job waits":              {task.Saving, task.AttemptSucceeded, old, "available", ""},
		"a result whose job is held back":       {task.Saving, task.AttemptSucceeded, old, "pending", ""},
		"a result whose job runs":               {task.Saving, task.AttemptSucceeded, old, "running", ""},
		"a result whose job is repeated later":  {task.Saving, task.AttemptSucceeded, old, "retryable", ""},
		"a result whose job is put off":         {task.Saving, task.AttemptSucceeded, old, "scheduled", ""},
		"a result of just now":                  {task.Saving, task.AttemptSucceeded, 0, "", ""},
		"a submission without a job":            {task.Submitting, task.AttemptSubmitting, old, "", submit},
		"a submission whose job was lost":       {task.Submitting, task.AttemptSubmitting, old, "completed", submit},
		"a submission whose job waits":          {task.Submitting, task.AttemptSubmitting, old, "available", ""},
		"a submission of just now":              {task.Submitting, task.AttemptSubmitting, 0, "", ""},
		"a submission of a canceled task":       {task.Canceled, task.AttemptSubmitting, old, "", submit},
		"a submission of unknown outcome":       {task.Submitting, task.AttemptUnconfirmed, old, "", ""},
		"a generation":                          {task.Running, task.AttemptRunning, old, "", ""},
		"an end":                                {task.Succeeded, task.AttemptSucceeded, old, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pool := setup(t)
			insert := func(state string, kind string, id task.AttemptID) {
				t.Helper()
				exec(t, pool, `
INSERT INTO river_job (state, kind, queue, args, max_attempts, finalized_at)
VALUES ($1::river_job_state, $2, $2, jsonb_build_object('attempt_id', $3::text, 'links', ARRAY['x']), 1,
    CASE WHEN $1 IN ('completed', 'cancelled') THEN now() END)`, state, kind, id)
			}
			with := postgrestest.InsertAttempt(t, pool, postgrestest.InsertTask(t, pool, "acme", task.Saving, old), task.AttemptSucceeded)
			insert("available", save, with)
			id := postgrestest.InsertAttempt(t, pool, postgrestest.InsertTask(t, pool, "acme", tt.state, tt.age), tt.attempt)
			kind := submit
			if tt.state == task.Saving {
				kind = save
				insert("completed", submit, id)
			}
			if tt.job != "" {
				insert(tt.job, kind, id)
			}
			for _, want := range []int{min(len(tt.want), 1), 0} {
				if got, err := s.Tasks.EnqueueMissing(t.Context()); got != want || err != nil {
					t.Fatalf("EnqueueMissing = %d, %v; want %d", got, err, want)
				}
			}
			const live = `SELECT count(*) FROM river_job WHERE state = 'available' AND kind = $1 AND queue = $1 AND args ->> 'attempt_id' = $2`
			if tt.want != "" && postgrestest.Value[int](t, pool, live, tt.want, string(id)) != 1 {
				t.Errorf("no job %s waits for the attempt", tt.want)
			}
			// What the lost job knew is kept.
			const known = `SELECT count(*) FROM river_job WHERE state = 'available' AND kind = $1 AND args ->> 'attempt_id' = $2 AND args ? 'links'`
			if tt.want != "" && tt.job != "" && postgrestest.Value[int](t, pool, known, tt.want, string(id)) != 1 {
				t.Error("the job lost what it knew")
			}
		})
	}
}

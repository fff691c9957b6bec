package postgres_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// TestEnqueueMissing_AddsJobsThatAttemptsWaitFor has tasks with a job and without one. The second call finds the jobs of the first.
//
// It fails when selectMissingJobs lacks one of its conditions.
func TestEnqueueMissing_AddsJobsThatAttemptsWaitFor(t *testing.T) {
	t.Parallel()
	const old = 2 * time.Minute
	for name, tt := range map[string]struct {
		state   task.State
		attempt task.AttemptState
		age     time.Duration
		job     string // The state of its job; empty for none.
		want    string // The kind of the job that is added; empty for none.
	}{
		"a result without a job":                {task.Saving, task.AttemptSucceeded, old, "", "save_outputs"},
		"a result whose job is said to be done": {task.Saving, task.AttemptSucceeded, old, "completed", "save_outputs"},
		"a result whose job was canceled":       {task.Saving, task.AttemptSucceeded, old, "cancelled", "save_outputs"},
		"a result whose job waits":              {task.Saving, task.AttemptSucceeded, old, "available", ""},
		"a result whose job runs":               {task.Saving, task.AttemptSucceeded, old, "running", ""},
		"a result whose job is repeated later":  {task.Saving, task.AttemptSucceeded, old, "retryable", ""},
		"a result whose job is put off":         {task.Saving, task.AttemptSucceeded, old, "scheduled", ""},
		"a result of just now":                  {task.Saving, task.AttemptSucceeded, 0, "", ""},
		"a submission without a job":            {task.Submitting, task.AttemptSubmitting, old, "", "submit_attempt"},
		"a submission whose job waits":          {task.Submitting, task.AttemptSubmitting, old, "available", ""},
		"a submission of unknown outcome":       {task.Submitting, task.AttemptUnconfirmed, old, "", ""},
		"a generation":                          {task.Running, task.AttemptRunning, old, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pool := setup(t)
			id := postgrestest.InsertAttempt(t, pool, postgrestest.InsertTask(t, pool, "acme", tt.state, tt.age), tt.attempt)
			if tt.job != "" {
				exec(t, pool, `
INSERT INTO river_job (state, kind, queue, args, max_attempts, finalized_at)
VALUES ($1::river_job_state, 'any', 'any', jsonb_build_object('attempt_id', $2::text), 1, CASE WHEN $1 IN ('completed', 'cancelled') THEN now() END)`,
					tt.job, id)
			}
			for _, want := range []int{min(len(tt.want), 1), 0} {
				if got, err := s.Tasks.EnqueueMissing(t.Context()); got != want || err != nil {
					t.Fatalf("EnqueueMissing = %d, %v; want %d", got, err, want)
				}
			}
			const added = `SELECT coalesce(max(kind), '') FROM river_job WHERE kind <> 'any' AND queue = kind AND args ->> 'attempt_id' = $1`
			if got := postgrestest.Value[string](t, pool, added, string(id)); got != tt.want {
				t.Errorf("the job %q was added, want %q", got, tt.want)
			}
		})
	}
}

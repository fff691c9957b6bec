package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
)

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// taskColumns are the columns that scanTask reads, in its order.
const taskColumns = `task.id, task.tenant, task.request_id, task.prompt, task.source_uri, task.watermark, task.strength,
	task.model, task.first_frame_uri, task.asked_provider, task.fallbacks, task.route, task.provider, task.priority, task.labels, extract(epoch FROM task.deadline)::float8, task.max_attempts, task.state, task.revision,
	task.allowance, coalesce(task.result_attempt::text, ''), coalesce(task.failure_reason, ''),
	coalesce(task.failure_message, ''), coalesce(task.failure_payment, ''), task.create_time, task.update_time,
	task.deadline_time, coalesce(task.source_id::text, '')`

func scanTask(row pgx.CollectableRow) (task.Task, error) {
	var t task.Task
	var f task.Failure
	var deadline float64 // Seconds.
	err := row.Scan(&t.ID, &t.Tenant, &t.RequestID, &t.Spec.Prompt, &t.Spec.SourceURI, &t.Spec.Watermark, &t.Spec.Strength,
		&t.Spec.Model, &t.Spec.FirstFrameURI, &t.Spec.Provider, &t.Spec.Fallbacks, &t.Route, &t.Provider, &t.Spec.Priority, &t.Spec.Labels, &deadline, &t.Spec.MaxAttempts, &t.State, &t.Revision, &t.Allowance, &t.Result,
		&f.Reason, &f.Message, &f.Payment, &t.CreateTime, &t.UpdateTime, &t.DeadlineTime, &t.Spec.SourceID)
	if f.Reason != "" {
		t.Failure = &f
	}
	if len(t.Spec.Fallbacks) == 0 {
		t.Spec.Fallbacks = nil // As it was submitted.
	}
	t.Spec.Deadline = time.Duration(deadline * float64(time.Second)).Round(time.Microsecond)
	return t, err
}

// attemptColumns are the columns that scanAttempt reads, in its order.
const attemptColumns = `attempt.task_id, attempt.id, attempt.number, attempt.provider, attempt.account, attempt.provider_task_id,
	attempt.hinted_task_id, attempt.state, attempt.sent, attempt.saved, attempt.message, attempt.create_time`

// attemptRow is an attempt with the task that it belongs to.
type attemptRow struct {
	taskID task.ID
	task.Attempt
}

func scanAttempt(row pgx.CollectableRow) (attemptRow, error) {
	var a attemptRow
	err := row.Scan(&a.taskID, &a.ID, &a.Number, &a.Provider, &a.Account, &a.ProviderTaskID, &a.HintedTaskID, &a.State, &a.Sent,
		&a.Saved, &a.Message, &a.CreateTime)
	return a, err
}

const selectAttempts = `
SELECT ` + attemptColumns + `
FROM attempt
WHERE task_id = ANY ($1::uuid[])
ORDER BY task_id, number`

// outputColumns are the columns that outputFields names, in its order.
const outputColumns = `output.index, output.key, output.content_type, output.size_bytes, output.sha256, output.duration_ms,
	output.width, output.height, output.video_codec`

// outputFields are where a row of outputColumns goes; complete it with the duration, which stands in milliseconds.
func outputFields(o *task.Output, milliseconds *int64) []any {
	return []any{&o.Index, &o.Key, &o.ContentType, &o.SizeBytes, &o.SHA256, milliseconds, &o.Width, &o.Height, &o.VideoCodec}
}

const selectOutputs = `
SELECT output.attempt_id, ` + outputColumns + `
FROM output
WHERE attempt_id = ANY ($1::uuid[])
ORDER BY attempt_id, index`

// complete reads what belongs to tasks beside their own rows: the attempts, and the outputs of those that
// succeeded.
func complete(ctx context.Context, q querier, tasks []task.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	byID := make(map[task.ID]*task.Task, len(tasks))
	ids := make([]string, 0, len(tasks))
	for i := range tasks {
		byID[tasks[i].ID] = &tasks[i]
		ids = append(ids, string(tasks[i].ID))
	}
	rows, err := q.Query(ctx, selectAttempts, ids)
	if err != nil {
		return err
	}
	attempts, err := pgx.CollectRows(rows, scanAttempt)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		t := byID[a.taskID]
		t.Attempts = append(t.Attempts, a.Attempt)
	}
	return completeOutputs(ctx, q, tasks)
}

func completeOutputs(ctx context.Context, q querier, tasks []task.Task) error {
	byResult := make(map[string]*task.Task)
	var results []string
	for i := range tasks {
		if tasks[i].State == task.Succeeded {
			byResult[string(tasks[i].Result)] = &tasks[i]
			results = append(results, string(tasks[i].Result))
		}
	}
	if len(results) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, selectOutputs, results)
	if err != nil {
		return err
	}
	for _, t := range byResult {
		t.Outputs = nil
	}
	var attempt string
	var o task.Output
	var milliseconds int64
	_, err = pgx.ForEachRow(rows, append([]any{&attempt}, outputFields(&o, &milliseconds)...), func() error {
		t := byResult[attempt]
		o.Duration = time.Duration(milliseconds) * time.Millisecond
		t.Outputs = append(t.Outputs, o)
		o.SHA256 = nil // The next row must not write into this one's bytes.
		return nil
	})
	return err
}

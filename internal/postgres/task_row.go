package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/retention"
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
	attempt.hinted_task_id, attempt.state, attempt.sent, attempt.saved, attempt.blame, attempt.message, attempt.create_time`

// attemptRow is an attempt with the task that it belongs to.
type attemptRow struct {
	taskID task.ID
	task.Attempt
}

func scanAttempt(row pgx.CollectableRow) (attemptRow, error) {
	var a attemptRow
	err := row.Scan(&a.taskID, &a.ID, &a.Number, &a.Provider, &a.Account, &a.ProviderTaskID, &a.HintedTaskID, &a.State, &a.Sent,
		&a.Saved, &a.Blame, &a.Message, &a.CreateTime)
	return a, err
}

const selectAttempts = `
SELECT ` + attemptColumns + `
FROM attempt
WHERE task_id = ANY ($1::uuid[])
ORDER BY task_id, number`

// outputColumns are the columns that outputFields names, in its order. An output expires by its own time or with its
// task, and stays expired when the terms change. The parameters are the configuration's times in seconds.
func outputColumns(keepOutputs, keepTasks string) string {
	expire := `least(output.remove_time, output.create_time + ` + keptFor("keep_outputs", keepOutputs) + `,
	task.update_time + ` + keptFor("keep_tasks", keepTasks) + `)`
	return `output.index, output.key, output.content_type, output.size_bytes, output.sha256, output.duration_ms,
	output.width, output.height, output.video_codec, ` + expire + `, coalesce(` + expire + ` <= now(), false)`
}

// outputTerms joins the terms of the task's tenant, for outputColumns.
const outputTerms = `
LEFT JOIN tenant AS own ON own.tenant = task.tenant
LEFT JOIN tenant AS shared ON shared.tenant = ''`

// outputRow is an output as it is scanned.
type outputRow struct {
	task.Output
	milliseconds int64
	expire       *time.Time
}

// fields are where a row of outputColumns goes.
func (r *outputRow) fields() []any {
	return []any{
		&r.Index, &r.Key, &r.ContentType, &r.SizeBytes, &r.SHA256, &r.milliseconds, &r.Width, &r.Height, &r.VideoCodec, &r.expire, &r.Expired,
	}
}

// output returns what was scanned, of which the next scan changes nothing.
func (r *outputRow) output() task.Output {
	o := r.Output
	o.Duration = time.Duration(r.milliseconds) * time.Millisecond
	if r.expire != nil {
		o.ExpireTime = *r.expire
	}
	r.SHA256, r.expire = nil, nil
	return o
}

var selectOutputs = `
SELECT output.attempt_id, ` + outputColumns("$2", "$3") + `
FROM output
JOIN attempt ON attempt.id = output.attempt_id
JOIN task ON task.id = attempt.task_id` + outputTerms + `
WHERE output.attempt_id = ANY ($1::uuid[])
ORDER BY output.attempt_id, output.index`

// outputReader reads outputs with the time of their expiry.
type outputReader struct{ periods retention.Periods }

// complete reads what belongs to tasks and is not in their own rows: the attempts, and the outputs of those that
// succeeded.
func (r outputReader) complete(ctx context.Context, q querier, tasks []task.Task) error {
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
	return r.completeOutputs(ctx, q, tasks)
}

func (r outputReader) completeOutputs(ctx context.Context, q querier, tasks []task.Task) error {
	all := make([]*task.Task, len(tasks))
	for i := range tasks {
		all[i] = &tasks[i]
	}
	results, take := resultsOf(all)
	if len(results) == 0 {
		return nil
	}
	return r.eachOutput(ctx, q, results, take)
}

// resultsOf returns the attempts whose outputs are those of tasks that succeeded, and what gives a task its outputs, of
// which none has any yet.
func resultsOf(tasks []*task.Task) (results []string, take func(attempt string, o task.Output)) {
	byResult := make(map[string]*task.Task)
	for _, t := range tasks {
		if t.State == task.Succeeded {
			byResult[string(t.Result)] = t
			results = append(results, string(t.Result))
			t.Outputs = nil
		}
	}
	return results, func(attempt string, o task.Output) {
		t := byResult[attempt]
		t.Outputs = append(t.Outputs, o)
	}
}

// eachOutput reads the outputs of attempts, those of each in their order.
func (r outputReader) eachOutput(ctx context.Context, q querier, attempts []string, take func(attempt string, o task.Output)) error {
	rows, err := q.Query(ctx, selectOutputs, attempts, r.periods.Outputs.Seconds(), r.periods.Tasks.Seconds())
	if err != nil {
		return err
	}
	return eachOutput(rows, take)
}

func eachOutput(rows pgx.Rows, take func(attempt string, o task.Output)) error {
	var attempt string
	var row outputRow
	_, err := pgx.ForEachRow(rows, append([]any{&attempt}, row.fields()...), func() error {
		take(attempt, row.output())
		return nil
	})
	return err
}

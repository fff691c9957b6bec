package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// taskRow is a task as it is scanned.
type taskRow struct {
	task.Task
	failure  task.Failure
	deadline float64 // Seconds.
}

// taskFields are the columns of a task that are read, each with where its value goes.
var taskFields = []struct {
	sql  string
	dest func(*taskRow) any
}{
	{"task.id", func(r *taskRow) any { return &r.ID }},
	{"task.tenant", func(r *taskRow) any { return &r.Tenant }},
	{"task.request_id", func(r *taskRow) any { return &r.RequestID }},
	{"task.prompt", func(r *taskRow) any { return &r.Spec.Prompt }},
	{"task.source_uri", func(r *taskRow) any { return &r.Spec.SourceURI }},
	{"coalesce(task.source_id::text, '')", func(r *taskRow) any { return &r.Spec.SourceID }},
	{"task.watermark", func(r *taskRow) any { return &r.Spec.Watermark }},
	{"task.strength", func(r *taskRow) any { return &r.Spec.Strength }},
	{"task.model", func(r *taskRow) any { return &r.Spec.Model }},
	{"task.parameters", func(r *taskRow) any { return &r.Spec.Parameters }},
	{"task.first_frame_uri", func(r *taskRow) any { return &r.Spec.FirstFrameURI }},
	{"task.asked_provider", func(r *taskRow) any { return &r.Spec.Provider }},
	{"task.fallbacks", func(r *taskRow) any { return &r.Spec.Fallbacks }},
	{"task.priority", func(r *taskRow) any { return &r.Spec.Priority }},
	{"task.labels", func(r *taskRow) any { return &r.Spec.Labels }},
	{"extract(epoch FROM task.deadline)::float8", func(r *taskRow) any { return &r.deadline }},
	{"task.max_attempts", func(r *taskRow) any { return &r.Spec.MaxAttempts }},
	{"task.webhook_uri", func(r *taskRow) any { return &r.Spec.WebhookURI }},
	{"task.route", func(r *taskRow) any { return &r.Route }},
	{"task.provider", func(r *taskRow) any { return &r.Provider }},
	{"task.state", func(r *taskRow) any { return &r.State }},
	{"task.revision", func(r *taskRow) any { return &r.Revision }},
	{"task.allowance", func(r *taskRow) any { return &r.Allowance }},
	{"coalesce(task.result_attempt::text, '')", func(r *taskRow) any { return &r.Result }},
	{"coalesce(task.failure_reason, '')", func(r *taskRow) any { return &r.failure.Reason }},
	{"coalesce(task.failure_message, '')", func(r *taskRow) any { return &r.failure.Message }},
	{"coalesce(task.failure_payment, '')", func(r *taskRow) any { return &r.failure.Payment }},
	{"task.create_time", func(r *taskRow) any { return &r.CreateTime }},
	{"task.update_time", func(r *taskRow) any { return &r.UpdateTime }},
	{"task.deadline_time", func(r *taskRow) any { return &r.DeadlineTime }},
	{"coalesce(task.trace_parent, '')", func(r *taskRow) any { return &r.TraceParent }},
}

// taskColumns are the columns that scanTask reads, in its order.
var taskColumns = func() string {
	columns := make([]string, len(taskFields))
	for i, f := range taskFields {
		columns[i] = f.sql
	}
	return strings.Join(columns, ", ")
}()

func scanTask(row pgx.CollectableRow) (task.Task, error) {
	return scanTaskAnd(row)
}

// scanTaskAnd scans taskColumns and the columns after them.
func scanTaskAnd(row pgx.CollectableRow, others ...any) (task.Task, error) {
	var r taskRow
	fields := make([]any, len(taskFields), len(taskFields)+len(others))
	for i, f := range taskFields {
		fields[i] = f.dest(&r)
	}
	err := row.Scan(append(fields, others...)...)
	t := r.Task
	if r.failure.Reason != "" {
		t.Failure = &r.failure
	}
	if len(t.Spec.Fallbacks) == 0 {
		t.Spec.Fallbacks = nil // As it was submitted.
	}
	t.Spec.Deadline = time.Duration(r.deadline * float64(time.Second)).Round(time.Microsecond)
	return t, err
}

// attemptColumns are the columns that scanAttempt reads, in its order.
const attemptColumns = `attempt.task_id, attempt.id, attempt.number, attempt.provider, attempt.account, attempt.provider_task_id,
	attempt.hinted_task_id, attempt.remote_model, attempt.provider_handle, attempt.state, attempt.sent, attempt.saved, attempt.blame, attempt.message,
	coalesce(attempt.cost_amount::text, ''), attempt.cost_unit, attempt.create_time`

// attemptRow is an attempt with the task that it belongs to.
type attemptRow struct {
	taskID task.ID
	task.Attempt
}

func scanAttempt(row pgx.CollectableRow) (attemptRow, error) {
	var a attemptRow
	err := row.Scan(&a.taskID, &a.ID, &a.Number, &a.Provider, &a.Account, &a.ProviderTaskID, &a.HintedTaskID, &a.Remote, &a.Handle,
		&a.State, &a.Sent, &a.Saved, &a.Blame, &a.Message, &a.Cost.Amount, &a.Cost.Unit, &a.CreateTime)
	return a, err
}

const selectAttempts = `
SELECT ` + attemptColumns + `
FROM attempt
WHERE task_id = ANY ($1::uuid[])
ORDER BY task_id, number`

// outputColumns are the columns that outputRow.fields names, in its order. An output expires by its own time or with its
// task, and stays expired when the terms change. The parameters are the configuration's times in seconds.
func outputColumns(keepOutputs, keepTasks string) string {
	expire := `least(output.remove_time, output.create_time + ` + expiry.KeptFor("keep_outputs", keepOutputs) + `,
	task.update_time + ` + expiry.KeptFor("keep_tasks", keepTasks) + `)`
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

var selectTasks = `SELECT ` + taskColumns + ` FROM task WHERE id = ANY ($1::uuid[])`

// selectTaskResults reads the outputs of the tasks that succeeded, each with its task.
var selectTaskResults = `
SELECT task.id::text, ` + outputColumns("$2", "$3") + `
FROM task
JOIN output ON output.attempt_id = task.result_attempt` + outputTerms + `
WHERE task.id = ANY ($1::uuid[]) AND task.state = 'SUCCEEDED'
ORDER BY task.id, output.index`

// QueueTasks implements webhooks.Tasks.
func (r outputReader) QueueTasks(batch *pgx.Batch, ids []task.ID) map[task.ID]*task.Task {
	byID := make(map[task.ID]*task.Task, len(ids))
	batch.Queue(selectTasks, ids).Query(func(rows pgx.Rows) error {
		tasks, err := pgx.CollectRows(rows, scanTask)
		for i := range tasks {
			byID[tasks[i].ID] = &tasks[i]
		}
		return err
	})
	batch.Queue(selectAttempts, ids).Query(func(rows pgx.Rows) error {
		attempts, err := pgx.CollectRows(rows, scanAttempt)
		for _, a := range attempts {
			t := byID[a.taskID]
			t.Attempts = append(t.Attempts, a.Attempt)
		}
		return err
	})
	batch.Queue(selectTaskResults, ids, r.periods.Outputs.Seconds(), r.periods.Tasks.Seconds()).Query(func(rows pgx.Rows) error {
		return eachOutput(rows, func(id string, o task.Output) {
			t := byID[task.ID(id)]
			t.Outputs = append(t.Outputs, o)
		})
	})
	return byID
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

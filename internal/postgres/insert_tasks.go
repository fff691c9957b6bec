package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/webhooks"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
)

// newTasks are new tasks. insertTasks takes them column by column: PostgreSQL parses a set of some hundreds in
// a fraction of the time that it needs for JSON.
type newTasks struct {
	tasks   []*task.Task
	message string // Of the first event, which all tasks have in common.
}

func (n *newTasks) add(d *task.Decision) {
	n.tasks = append(n.tasks, &d.Task)
	n.message = d.Event.Message
}

func (n *newTasks) tenants() []string {
	tenants := make([]string, len(n.tasks))
	for i, t := range n.tasks {
		tenants[i] = t.Tenant
	}
	return tenants
}

// args are the arguments of insertTasks: the message, and the values of each column.
func (n *newTasks) args() []any {
	args := []any{n.message}
	for _, c := range newTaskColumns {
		args = append(args, c.values(n.tasks))
	}
	return args
}

// newTaskColumn is a column of a new task.
type newTaskColumn struct {
	name    string
	sqlType string
	written string // The expression that is written; empty means the value itself.
	values  func([]*task.Task) any
}

// newTaskColumns are the columns of a new task that do not follow from others.
var newTaskColumns = []newTaskColumn{
	column("id", "uuid", func(t *task.Task) task.ID { return t.ID }),
	column("tenant", "text", func(t *task.Task) string { return t.Tenant }),
	column("request_id", "text", func(t *task.Task) string { return t.RequestID }),
	column("prompt", "text", func(t *task.Task) string { return t.Spec.Prompt }),
	column("source_uri", "text", func(t *task.Task) string { return t.Spec.SourceURI }),
	column("source_id", "uuid", func(t *task.Task) *string { return dbpool.Optional(string(t.Spec.SourceID)) }),
	column("watermark", "text", func(t *task.Task) string { return t.Spec.Watermark }),
	column("strength", "text", func(t *task.Task) string { return t.Spec.Strength }),
	column("model", "text", func(t *task.Task) string { return t.Spec.Model }),
	column("parameters", "text", func(t *task.Task) string { return t.Spec.Parameters }),
	column("first_frame_uri", "text", func(t *task.Task) string { return t.Spec.FirstFrameURI }),
	column("asked_provider", "text", func(t *task.Task) string { return t.Spec.Provider }),
	listColumn("fallbacks", func(t *task.Task) []string { return t.Spec.Fallbacks }),
	listColumn("route", func(t *task.Task) []string { return t.Route }),
	column("provider", "text", func(t *task.Task) string { return t.Provider }),
	column("labels", "jsonb", func(t *task.Task) map[string]string {
		if t.Spec.Labels == nil {
			return map[string]string{} // And not JSON's null.
		}
		return t.Spec.Labels
	}),
	column("priority", "int", func(t *task.Task) int32 { return t.Spec.Priority }),
	column("max_attempts", "int", func(t *task.Task) int { return t.Spec.MaxAttempts }),
	column("webhook_uri", "text", func(t *task.Task) string { return t.Spec.WebhookURI }),
	column("allowance", "int", func(t *task.Task) int { return t.Allowance }),
	column("deadline", "float8", func(t *task.Task) float64 { return t.Spec.Deadline.Seconds() }).writtenAs("make_interval(secs => deadline)"),
	column("state", "text", func(t *task.Task) task.State { return t.State }),
	column("revision", "bigint", func(t *task.Task) int64 { return t.Revision }),
	column("trace_parent", "text", func(t *task.Task) *string { return dbpool.Optional(t.TraceParent) }),
}

func column[T any](name, sqlType string, value func(*task.Task) T) newTaskColumn {
	return newTaskColumn{name: name, sqlType: sqlType, values: func(tasks []*task.Task) any {
		values := make([]T, len(tasks))
		for i, t := range tasks {
			values[i] = value(t)
		}
		return values
	}}
}

// listColumn is a column of names of providers. They are sent joined by commas, which no name has, since an array of arrays would
// have to be rectangular.
func listColumn(name string, value func(*task.Task) []string) newTaskColumn {
	return column(name, "text", func(t *task.Task) string { return strings.Join(value(t), ",") }).
		writtenAs("string_to_array(" + name + ", ',')")
}

func (c newTaskColumn) writtenAs(expression string) newTaskColumn {
	c.written = expression
	return c
}

// The lists of insertTasks: the arrays that it takes as $2 and following, the names of columns, and what is written.
var (
	newTaskArrays = joinColumns(func(i int, c newTaskColumn) string { return fmt.Sprintf("$%d::%s[]", i+2, c.sqlType) })
	newTaskNames  = joinColumns(func(_ int, c newTaskColumn) string { return c.name })
	newTaskValues = joinColumns(func(_ int, c newTaskColumn) string { return cmp.Or(c.written, c.name) })
)

// joinColumns returns what a function returns for each column of a new task, separated by commas.
func joinColumns(of func(i int, c newTaskColumn) string) string {
	parts := make([]string, len(newTaskColumns))
	for i, c := range newTaskColumns {
		parts[i] = of(i, c)
	}
	return strings.Join(parts, ", ")
}

// lockQuotas makes submissions of a tenant that has a quota follow each other, so that the quota is exact over all
// replicas. Tenants without one do not wait. The locks are taken in the order of their keys, so that sets
// with several tenants can't block each other; DISTINCT keeps PostgreSQL from locking before it sorts.
const lockQuotas = `
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended('refract.tenant.submit.' || asked.tenant, 0) AS key
      FROM unnest($1::text[]) AS asked (tenant)
      CROSS JOIN LATERAL (
          SELECT max_queued, max_per_day FROM tenant WHERE tenant IN (asked.tenant, '') ORDER BY tenant DESC LIMIT 1
      ) AS quota
      WHERE max_queued IS NOT NULL OR max_per_day IS NOT NULL
      ORDER BY key) AS locks`

// insertTasks writes tasks and their first events, but for those whose tenant has used up a quota by then. It returns
// no row for a request id that the tenant has used before; ON CONFLICT waits for a transaction that is using it right
// now, and the order of the rows keeps two sets from waiting for each other. A quota that is used up comes back by its
// name.
//
// Each task that would be new has a turn among those of its tenant. Those whose turn comes while the quotas leave room
// are made. The others get the quota that is spent, and of two the one that lasts longer. OFFSET 0 keeps
// PostgreSQL from looking for the request ids of tenants without quota first.
//
// NOTE: it runs after lockQuotas, in a statement of its own: one that waited for a lock itself would count in a
// snapshot from before.
//
// The webhook deliveries of the first events come with them. A task with a webhook_uri whose tenant has no secret for it is refused, and
// takes no turn.
var insertTasks = `
WITH item AS (
    SELECT *
    FROM unnest(` + newTaskArrays + `)
        WITH ORDINALITY AS item (` + newTaskNames + `, n)
), unsigned AS MATERIALIZED (` + webhooks.UnsignedTasks("item") + `
), quota AS (
    SELECT asked.tenant, max_queued, max_per_day, today,
           max_queued - (SELECT count(*)
                         FROM (SELECT FROM task WHERE tenant = asked.tenant AND state = 'QUEUED' LIMIT max_queued) AS queued
                        ) AS queued_left,
           max_per_day - coalesce((SELECT submissions FROM tenant_day WHERE tenant = asked.tenant AND day = today), 0) AS day_left
    FROM (SELECT DISTINCT tenant, (now() AT TIME ZONE 'UTC')::date AS today FROM item) AS asked
    CROSS JOIN LATERAL (
        SELECT max_queued, max_per_day FROM tenant WHERE tenant IN (asked.tenant, '') ORDER BY tenant DESC LIMIT 1
    ) AS terms
    WHERE max_queued IS NOT NULL OR max_per_day IS NOT NULL
), turn AS (
    SELECT limited.*, greatest(least(queued_left, day_left), 0) AS room,
           row_number() OVER (PARTITION BY limited.tenant ORDER BY n) AS turn
    FROM (SELECT n, id, request_id, quota.* FROM item JOIN quota ON quota.tenant = item.tenant OFFSET 0) AS limited
    WHERE NOT EXISTS (SELECT FROM task WHERE task.tenant = limited.tenant AND task.request_id = limited.request_id)
      AND id NOT IN (SELECT id FROM unsigned)
), spent AS (
    SELECT id, 'max_queued' AS name, max_queued AS most, 10::float8 AS seconds
    FROM turn
    WHERE turn > room AND queued_left <= room
    UNION ALL
    SELECT id, 'max_per_day', max_per_day, extract(epoch FROM ((today + 1)::timestamp AT TIME ZONE 'UTC') - now())
    FROM turn
    WHERE turn > room AND day_left <= room
    UNION ALL
    SELECT id, '` + unsignedTask + `', 0, 0
    FROM unsigned
), created AS (
    INSERT INTO task (` + newTaskNames + `, deadline_time, line_time)
    SELECT ` + newTaskValues + `,
           now() + make_interval(secs => deadline), now() - make_interval(mins => priority)
    FROM item
    WHERE id NOT IN (SELECT id FROM spent)
    ORDER BY tenant, request_id
    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING
    RETURNING id, tenant, state, revision, labels, webhook_uri, create_time, deadline_time
), counted AS (
    INSERT INTO tenant_day (tenant, day, submissions)
    SELECT created.tenant, today, count(*)
    FROM created
    JOIN quota ON quota.tenant = created.tenant
    WHERE max_per_day IS NOT NULL
    GROUP BY created.tenant, today
    ORDER BY created.tenant
    ON CONFLICT ON CONSTRAINT tenant_day_pkey DO UPDATE SET submissions = tenant_day.submissions + excluded.submissions
), event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
    SELECT id, revision, state, 0, $1::text, tenant
    FROM created
), delivery AS (` + webhooks.InsertDeliveries("created", "id", `SELECT created.labels, created.webhook_uri`) + `
)
SELECT id, create_time, deadline_time, '', 0, 0::float8, EXISTS (SELECT FROM delivery)
FROM created
UNION ALL
(SELECT DISTINCT ON (id) id, now(), now(), name, most, seconds, false FROM spent ORDER BY id, seconds DESC)`

// unsignedTask stands in the place of a quota for a task whose events no secret would sign.
const unsignedTask = "webhook_uri"

// insertedTask is what the database returns for a new task: its times, or the quota that is used up.
type insertedTask struct {
	createTime   time.Time
	deadlineTime time.Time
	quota        tenants.Quota
	limit        int
	seconds      float64 // After which submitting again makes sense.
	delivered    bool    // Whether there are deliveries of events of any task of the set.
}

func (r insertedTask) refusal(tenant string) error {
	if r.quota == unsignedTask {
		return notify.ErrSecretMissing
	}
	return &tenants.QuotaError{
		Tenant: tenant, Quota: r.quota, Limit: r.limit, Retry: time.Duration(r.seconds * float64(time.Second)),
	}
}

// insertTasks makes tasks, in one round trip and one commit, and returns the result of each by its id. A task whose request id is
// known has no result.
func (s *Tasks) insertTasks(ctx context.Context, items *newTasks) (map[task.ID]insertedTask, error) {
	inserted := make(map[task.ID]insertedTask, len(items.tasks))
	var batch pgx.Batch // Without BEGIN it is a transaction by itself.
	batch.Queue(lockQuotas, items.tenants())
	batch.Queue(insertTasks, items.args()...).Query(func(rows pgx.Rows) error {
		var id task.ID
		var row insertedTask
		columns := []any{&id, &row.createTime, &row.deadlineTime, &row.quota, &row.limit, &row.seconds, &row.delivered}
		_, err := pgx.ForEachRow(rows, columns, func() error {
			inserted[id] = row
			return nil
		})
		return err
	})
	return inserted, s.pool.SendBatch(ctx, &batch).Close()
}

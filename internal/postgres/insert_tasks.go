package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// newTask is a task that is to be made, as insertTasks takes it.
type newTask struct {
	N             int               `json:"n"` // Its place in the set.
	ID            task.ID           `json:"id"`
	Tenant        string            `json:"tenant"`
	RequestID     string            `json:"request_id"`
	Prompt        string            `json:"prompt"`
	SourceURI     string            `json:"source_uri"`
	SourceID      *string           `json:"source_id"`
	Watermark     string            `json:"watermark"`
	Strength      string            `json:"strength"`
	Model         string            `json:"model"`
	FirstFrameURI string            `json:"first_frame_uri"`
	AskedProvider string            `json:"asked_provider"`
	Fallbacks     []string          `json:"fallbacks"`
	Route         []string          `json:"route"`
	Provider      string            `json:"provider"`
	Priority      int32             `json:"priority"`
	Labels        map[string]string `json:"labels"`
	Deadline      float64           `json:"deadline"` // Seconds.
	MaxAttempts   int               `json:"max_attempts"`
	State         task.State        `json:"state"`
	Revision      int64             `json:"revision"`
	Allowance     int               `json:"allowance"`
	Message       string            `json:"message"` // The event's.
}

func newTaskOf(n int, d *task.Decision) newTask {
	t := &d.Task
	row := newTask{
		N: n, ID: t.ID, Tenant: t.Tenant, RequestID: t.RequestID, Prompt: t.Spec.Prompt, SourceURI: t.Spec.SourceURI,
		SourceID:  optional(string(t.Spec.SourceID)),
		Watermark: t.Spec.Watermark, Strength: t.Spec.Strength, Model: t.Spec.Model, FirstFrameURI: t.Spec.FirstFrameURI,
		AskedProvider: t.Spec.Provider, Fallbacks: t.Spec.Fallbacks, Route: t.Route, Provider: t.Provider,
		Priority: t.Spec.Priority, Labels: t.Spec.Labels, Deadline: t.Spec.Deadline.Seconds(), MaxAttempts: t.Spec.MaxAttempts,
		State: t.State, Revision: t.Revision, Allowance: t.Allowance, Message: d.Event.Message,
	}
	if row.Fallbacks == nil {
		row.Fallbacks = []string{}
	}
	if row.Labels == nil {
		row.Labels = map[string]string{}
	}
	return row
}

// lockQuotas makes submissions of a tenant that has a quota follow each other, so that the quota is exact over all
// replicas. Tenants without one do not wait for anyone. The locks are taken in the order of their keys, so that sets
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
// are made; the others are told which quota then is spent, and of two that which lasts longer. OFFSET 0 keeps
// PostgreSQL from looking for the request ids of tenants without quota first.
//
// NOTE: it runs after lockQuotas, in a statement of its own: one that waited for a lock itself would count in a
// snapshot from before.
const insertTasks = `
WITH item AS (
    SELECT *
    FROM json_to_recordset($1) AS item (
        n integer, id uuid, tenant text, request_id text, prompt text, source_uri text, watermark text, strength text, model text,
        first_frame_uri text, asked_provider text, fallbacks text[], route text[], provider text, priority integer, labels jsonb,
        deadline float8, max_attempts integer, state text, revision bigint, allowance integer, message text,
        source_id uuid)
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
    FROM (SELECT n, request_id, quota.* FROM item JOIN quota ON quota.tenant = item.tenant OFFSET 0) AS limited
    WHERE NOT EXISTS (SELECT FROM task WHERE task.tenant = limited.tenant AND task.request_id = limited.request_id)
), spent AS (
    SELECT n, 'max_queued' AS name, max_queued AS most, 10::float8 AS seconds
    FROM turn
    WHERE turn > room AND queued_left <= room
    UNION ALL
    SELECT n, 'max_per_day', max_per_day, extract(epoch FROM ((today + 1)::timestamp AT TIME ZONE 'UTC') - now())
    FROM turn
    WHERE turn > room AND day_left <= room
), created AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
                      asked_provider, fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision,
                      allowance, deadline_time, line_time, source_id)
    SELECT id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
           asked_provider, fallbacks, route, provider, priority, labels, make_interval(secs => deadline), max_attempts, state, revision,
           allowance, now() + make_interval(secs => deadline), now() - make_interval(mins => priority), source_id
    FROM item
    WHERE n NOT IN (SELECT n FROM spent)
    ORDER BY tenant, request_id
    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING
    RETURNING id, tenant, create_time, deadline_time
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
    SELECT item.id, revision, state, 0, message, item.tenant
    FROM created
    JOIN item ON item.id = created.id
)
SELECT n, create_time, deadline_time, '', 0, 0::float8
FROM created
JOIN item ON item.id = created.id
UNION ALL
(SELECT DISTINCT ON (n) n, now(), now(), name, most, seconds FROM spent ORDER BY n, seconds DESC)`

// insertedTask is what the database answers for a new task: its times, or the quota that is used up.
type insertedTask struct {
	createTime   time.Time
	deadlineTime time.Time
	quota        lifecycle.Quota
	limit        int
	seconds      float64 // When submitting again makes sense.
}

func (r insertedTask) refusal(tenant string) error {
	return &lifecycle.QuotaError{
		Tenant: tenant, Quota: r.quota, Limit: r.limit, Retry: time.Duration(r.seconds * float64(time.Second)),
	}
}

// insertTasks makes tasks, in one round trip and one commit, and returns what became of each by its place in the set.
// Of one whose request id is known nothing is returned.
func (s *Store) insertTasks(ctx context.Context, items []newTask) (map[int]insertedTask, error) {
	tenants := make([]string, len(items))
	for i := range items {
		tenants[i] = items[i].Tenant
	}
	inserted := make(map[int]insertedTask, len(items))
	var batch pgx.Batch // Without BEGIN it is a transaction by itself.
	batch.Queue(lockQuotas, tenants)
	batch.Queue(insertTasks, items).Query(func(rows pgx.Rows) error {
		var n int
		var row insertedTask
		columns := []any{&n, &row.createTime, &row.deadlineTime, &row.quota, &row.limit, &row.seconds}
		_, err := pgx.ForEachRow(rows, columns, func() error {
			inserted[n] = row
			return nil
		})
		return err
	})
	return inserted, s.pool.SendBatch(ctx, &batch).Close()
}

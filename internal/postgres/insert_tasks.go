package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
)

// newTasks are new tasks, column by column as insertTasks takes them: PostgreSQL parses a set of some hundreds in
// a fraction of the time that it needs for JSON.
type newTasks struct {
	ids            []task.ID
	tenants        []string
	requestIDs     []string
	prompts        []string
	sourceURIs     []string
	sourceIDs      []*string
	watermarks     []string
	strengths      []string
	models         []string
	firstFrameURIs []string
	askedProviders []string
	fallbacks      []string // Each joined by commas, which no name of a provider has.
	routes         []string // As well.
	providers      []string
	labels         []map[string]string
	priorities     []int32
	maxAttempts    []int
	allowances     []int
	deadlines      []float64 // Seconds.
	states         []task.State
	revisions      []int64
	message        string // Of the first event, which all tasks have alike.
}

func (n *newTasks) add(d *task.Decision) {
	t := &d.Task
	labels := t.Spec.Labels
	if labels == nil {
		labels = map[string]string{} // And not JSON's null.
	}
	n.ids = append(n.ids, t.ID)
	n.tenants = append(n.tenants, t.Tenant)
	n.requestIDs = append(n.requestIDs, t.RequestID)
	n.prompts = append(n.prompts, t.Spec.Prompt)
	n.sourceURIs = append(n.sourceURIs, t.Spec.SourceURI)
	n.sourceIDs = append(n.sourceIDs, optional(string(t.Spec.SourceID)))
	n.watermarks = append(n.watermarks, t.Spec.Watermark)
	n.strengths = append(n.strengths, t.Spec.Strength)
	n.models = append(n.models, t.Spec.Model)
	n.firstFrameURIs = append(n.firstFrameURIs, t.Spec.FirstFrameURI)
	n.askedProviders = append(n.askedProviders, t.Spec.Provider)
	n.fallbacks = append(n.fallbacks, strings.Join(t.Spec.Fallbacks, ","))
	n.routes = append(n.routes, strings.Join(t.Route, ","))
	n.providers = append(n.providers, t.Provider)
	n.labels = append(n.labels, labels)
	n.priorities = append(n.priorities, t.Spec.Priority)
	n.maxAttempts = append(n.maxAttempts, t.Spec.MaxAttempts)
	n.allowances = append(n.allowances, t.Allowance)
	n.deadlines = append(n.deadlines, t.Spec.Deadline.Seconds())
	n.states = append(n.states, t.State)
	n.revisions = append(n.revisions, t.Revision)
	n.message = d.Event.Message
}

// columns are in the order of insertTasks.
func (n *newTasks) columns() []any {
	return []any{
		n.ids, n.tenants, n.requestIDs, n.prompts, n.sourceURIs, n.sourceIDs, n.watermarks, n.strengths, n.models, n.firstFrameURIs,
		n.askedProviders, n.fallbacks, n.routes, n.providers, n.labels, n.priorities, n.maxAttempts, n.allowances, n.deadlines,
		n.states, n.revisions, n.message,
	}
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
const insertTasks = `
WITH item AS (
    SELECT *
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[],
                $11::text[], $12::text[], $13::text[], $14::text[], $15::jsonb[], $16::int[], $17::int[], $18::int[], $19::float8[],
                $20::text[], $21::bigint[]) WITH ORDINALITY AS item (
        id, tenant, request_id, prompt, source_uri, source_id, watermark, strength, model, first_frame_uri,
        asked_provider, fallbacks, route, provider, labels, priority, max_attempts, allowance, deadline,
        state, revision, n)
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
), spent AS (
    SELECT id, 'max_queued' AS name, max_queued AS most, 10::float8 AS seconds
    FROM turn
    WHERE turn > room AND queued_left <= room
    UNION ALL
    SELECT id, 'max_per_day', max_per_day, extract(epoch FROM ((today + 1)::timestamp AT TIME ZONE 'UTC') - now())
    FROM turn
    WHERE turn > room AND day_left <= room
), created AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
                      asked_provider, fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision,
                      allowance, deadline_time, line_time, source_id)
    SELECT id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri,
           asked_provider, string_to_array(fallbacks, ','), string_to_array(route, ','), provider, priority, labels,
           make_interval(secs => deadline), max_attempts, state, revision,
           allowance, now() + make_interval(secs => deadline), now() - make_interval(mins => priority), source_id
    FROM item
    WHERE id NOT IN (SELECT id FROM spent)
    ORDER BY tenant, request_id
    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING
    RETURNING id, tenant, state, revision, create_time, deadline_time
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
    SELECT id, revision, state, 0, $22::text, tenant
    FROM created
)
SELECT id, create_time, deadline_time, '', 0, 0::float8
FROM created
UNION ALL
(SELECT DISTINCT ON (id) id, now(), now(), name, most, seconds FROM spent ORDER BY id, seconds DESC)`

// insertedTask is what the database returns for a new task: its times, or the quota that is used up.
type insertedTask struct {
	createTime   time.Time
	deadlineTime time.Time
	quota        tenants.Quota
	limit        int
	seconds      float64 // After which submitting again makes sense.
}

func (r insertedTask) refusal(tenant string) error {
	return &tenants.QuotaError{
		Tenant: tenant, Quota: r.quota, Limit: r.limit, Retry: time.Duration(r.seconds * float64(time.Second)),
	}
}

// insertTasks makes tasks, in one round trip and one commit, and returns the result of each by its id. A task whose request id is
// known has no result.
func (s *Tasks) insertTasks(ctx context.Context, items *newTasks) (map[task.ID]insertedTask, error) {
	inserted := make(map[task.ID]insertedTask, len(items.ids))
	var batch pgx.Batch // Without BEGIN it is a transaction by itself.
	batch.Queue(lockQuotas, items.tenants)
	batch.Queue(insertTasks, items.columns()...).Query(func(rows pgx.Rows) error {
		var id task.ID
		var row insertedTask
		columns := []any{&id, &row.createTime, &row.deadlineTime, &row.quota, &row.limit, &row.seconds}
		_, err := pgx.ForEachRow(rows, columns, func() error {
			inserted[id] = row
			return nil
		})
		return err
	})
	return inserted, s.pool.SendBatch(ctx, &batch).Close()
}

package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// selectTenantQueues finds the tenants that have queued tasks at a provider. It steps from tenant to tenant through the index, so
// that its cost grows with the number of tenants and not with that of tasks. "not_before_time IS DISTINCT FROM 'infinity'" looks
// redundant, but it is a column of index task_place: with it the scan skips tasks that wait for their source.
//
// A tenant with a quota in flight is locked, because another provider's round may spend the same quota at the same time. A tenant
// that is locked already is left out, and its tasks wait for the next round. Tenants share 256 locks, because a database has room
// for some thousands in all. So a tenant may also wait for the round of another tenant.
var selectTenantQueues = `
WITH RECURSIVE waiting AS (
    (SELECT tenant FROM task WHERE state = 'QUEUED' ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM task WHERE state = 'QUEUED' AND tenant > waiting.tenant ORDER BY tenant LIMIT 1)
    FROM waiting
    WHERE waiting.tenant IS NOT NULL
), queue AS MATERIALIZED (
    SELECT waiting.tenant, first.line_time
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT line_time
        FROM task
        WHERE tenant = waiting.tenant AND provider = $1 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
          AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now() AND model <> ALL ($2::text[])
        ORDER BY line_time, id
        LIMIT 1
    ) AS first
)
SELECT queue.tenant, coalesce(limits.weight, 1), coalesce(limits.max_in_flight, 0), queue.line_time
FROM queue
LEFT JOIN LATERAL (` + tenantLimits("queue.tenant") + `) AS limits ON true
WHERE limits.max_in_flight IS NULL
   OR pg_try_advisory_xact_lock(hashtext('refract.tenant.in_flight'), hashtext(queue.tenant) & 255)`

// tenantLimits selects the share and the quota in flight of a tenant: from its own row, or else from the default's.
func tenantLimits(tenant string) string {
	return `
    SELECT weight, max_in_flight
    FROM tenant
    WHERE tenant IN (` + tenant + `, '')
    ORDER BY tenant DESC
    LIMIT 1`
}

// countTenants counts the attempts of tenants at a provider, as countUsage does for accounts, and those that they have open
// anywhere. The subquery looks tasks up one by one. With a join PostgreSQL estimates that a window has a third of all attempts,
// and reads the whole table of tasks.
//
// NOTE: it runs after selectTenantQueues, in a statement of its own, for the reason that countUsage gives.
const countTenants = `
SELECT tenant, count(*) FILTER (WHERE provider = $1), count(*) FILTER (WHERE open)
FROM (SELECT (SELECT tenant FROM task WHERE id = used.task_id) AS tenant, used.provider, used.open
      FROM provider_account
      CROSS JOIN LATERAL (
          SELECT task_id, provider, true AS open
          FROM attempt
          WHERE account = provider_account.account AND state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
          UNION ALL
          SELECT task_id, provider, false
          FROM attempt
          WHERE account = provider_account.account AND answer_time > now() - make_interval(secs => $2) AND sent
            AND state NOT IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
      ) AS used) AS counted
GROUP BY tenant`

const selectQueuedTasks = `
SELECT queue.tenant, queued.id, queued.model, queued.line_time
FROM unnest($2::text[]) AS queue (tenant)
CROSS JOIN LATERAL (
    SELECT id, model, line_time
    FROM task
    WHERE tenant = queue.tenant AND provider = $1 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
      AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now() AND model <> ALL ($4::text[])
    ORDER BY line_time, id
    LIMIT $3
) AS queued
ORDER BY queue.tenant, queued.line_time, queued.id`

// readTenantQueues reads the queues that can get one of n permits, each with its first n tasks.
// window is the longest rate window of the provider's accounts. Tasks that ask for a model by one of the names in skip are left out.
func readTenantQueues(ctx context.Context, tx pgx.Tx, provider string, skip []string, window time.Duration, n int) ([]admission.TenantQueue, error) {
	queues, err := readQueueHeads(ctx, tx, provider, skip, window)
	if err != nil {
		return nil, err
	}
	queues = admission.Contenders(queues, n)
	tenants, byTenant := indexQueues(queues)
	rows, err := tx.Query(ctx, selectQueuedTasks, provider, tenants, n, skip)
	if err != nil {
		return nil, err
	}
	var tenant string
	var t admission.QueuedTask
	_, err = pgx.ForEachRow(rows, []any{&tenant, &t.Task, &t.Model, &t.Time}, func() error {
		byTenant[tenant].Tasks = append(byTenant[tenant].Tasks, t)
		return nil
	})
	return queues, err
}

// indexQueues returns the tenants of queues, and where the queue of each is.
func indexQueues(queues []admission.TenantQueue) ([]string, map[string]*admission.TenantQueue) {
	tenants := make([]string, len(queues))
	byTenant := make(map[string]*admission.TenantQueue, len(queues))
	for i := range queues {
		tenants[i] = queues[i].Tenant
		byTenant[queues[i].Tenant] = &queues[i]
	}
	return tenants, byTenant
}

// refusedTasks are the tasks that account $1 refused since its trouble began, and those that are at fault for a refusal.
const refusedTasks = `
WITH refused AS MATERIALIZED (
    SELECT attempt.task_id, max(attempt.answer_time) AS refuse_time, bool_or(attempt.blame <> 'TASK') AS in_row
    FROM provider_account
    JOIN attempt ON attempt.account = provider_account.account AND attempt.blame <> ''
        AND attempt.create_time >= least(provider_account.trouble_time, now() - interval '1 day')
        AND (attempt.create_time >= provider_account.trouble_time OR attempt.blame = 'TASK')
    WHERE provider_account.account = $1
    GROUP BY attempt.task_id
)`

// selectProbers finds, in the queue of each tenant, the first task that was not refused, and those that were.
const selectProbers = refusedTasks + `
SELECT queue.tenant, queued.id, queued.line_time, NULL
FROM unnest($3::text[]) AS queue (tenant)
CROSS JOIN LATERAL (
    SELECT id, line_time
    FROM task
    WHERE tenant = queue.tenant AND provider = $2 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
      AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now() AND model <> ALL ($4::text[])
      AND id NOT IN (SELECT task_id FROM refused)
    ORDER BY line_time, id
    LIMIT 1
) AS queued
UNION ALL
SELECT task.tenant, task.id, task.line_time, refused.refuse_time
FROM refused
JOIN task ON task.id = refused.task_id
WHERE task.tenant = ANY ($3) AND task.provider = $2 AND task.state = 'QUEUED' AND task.not_before_time IS DISTINCT FROM 'infinity'
  AND (task.not_before_time IS NULL OR task.not_before_time <= now()) AND task.deadline_time > now() AND task.model <> ALL ($4::text[])
ORDER BY 1, 4 NULLS FIRST, 2`

// selectRefusedTenants finds the tenants of which the account refused a task since its trouble began. The task may have ended since.
const selectRefusedTenants = refusedTasks + `
SELECT DISTINCT task.tenant
FROM refused
JOIN task ON task.id = refused.task_id
WHERE refused.in_row`

// readProbers reads the queues from which a task may probe an account.
func readProbers(ctx context.Context, tx pgx.Tx, provider string, skip []string, account string, window time.Duration) ([]admission.TenantQueue, error) {
	queues, err := readQueueHeads(ctx, tx, provider, skip, window)
	if err != nil || len(queues) == 0 {
		return nil, err
	}
	tenants, byTenant := indexQueues(queues)
	var batch pgx.Batch
	batch.Queue(selectProbers, account, provider, tenants, skip).Query(func(rows pgx.Rows) error {
		var tenant string
		var t admission.QueuedTask
		var refused *time.Time
		_, err := pgx.ForEachRow(rows, []any{&tenant, &t.Task, &t.Time, &refused}, func() error {
			t.Refused = orZero(refused)
			byTenant[tenant].Tasks = append(byTenant[tenant].Tasks, t)
			return nil
		})
		return err
	})
	batch.Queue(selectRefusedTenants, account).Query(func(rows pgx.Rows) error {
		refused, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, tenant := range refused {
			if q, waits := byTenant[tenant]; waits {
				q.Refused = true
			}
		}
		return err
	})
	return queues, tx.SendBatch(ctx, &batch).Close()
}

// orZero returns a time that may be NULL.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// readQueueHeads reads which tenants have queued tasks, and what permits each has, without the tasks.
func readQueueHeads(ctx context.Context, tx pgx.Tx, provider string, skip []string, window time.Duration) ([]admission.TenantQueue, error) {
	rows, err := tx.Query(ctx, selectTenantQueues, provider, skip)
	if err != nil {
		return nil, err
	}
	queues, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q admission.TenantQueue, err error) {
		err = row.Scan(&q.Tenant, &q.Weight, &q.Left, &q.First)
		if q.Left == 0 {
			q.Left = math.MaxInt
		}
		return q, err
	})
	if err != nil || len(queues) == 0 {
		return nil, err
	}
	used, open, err := tenantUsage(ctx, tx, provider, window)
	for i := range queues {
		queues[i].Used = used[queues[i].Tenant]
		queues[i].Left -= open[queues[i].Tenant]
	}
	return queues, err
}

// tenantUsage counts what each tenant has at a provider, and has open anywhere.
func tenantUsage(ctx context.Context, tx pgx.Tx, provider string, window time.Duration) (used, open map[string]int, err error) {
	rows, err := tx.Query(ctx, countTenants, provider, window.Seconds())
	if err != nil {
		return nil, nil, err
	}
	used, open = map[string]int{}, map[string]int{}
	var tenant string
	var here, anywhere int
	_, err = pgx.ForEachRow(rows, []any{&tenant, &here, &anywhere}, func() error {
		used[tenant], open[tenant] = here, anywhere
		return nil
	})
	return used, open, err
}

// selectFull selects those of tenants whose open attempts use their quota up.
var selectFull = `
SELECT used.tenant
FROM unnest($1::text[], $2::integer[]) AS used (tenant, open)
CROSS JOIN LATERAL (` + tenantLimits("used.tenant") + `) AS limits
WHERE used.open >= limits.max_in_flight`

// fullTenants returns the tenants that may have no more attempts in flight.
func fullTenants(ctx context.Context, tx pgx.Tx, provider string) ([]string, error) {
	_, open, err := tenantUsage(ctx, tx, provider, 0)
	if err != nil {
		return nil, err
	}
	tenants, counts := make([]string, 0, len(open)), make([]int, 0, len(open))
	for tenant, n := range open {
		tenants, counts = append(tenants, tenant), append(counts, n)
	}
	rows, err := tx.Query(ctx, selectFull, tenants, counts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// lockTenantQuota locks the quota in flight of a tenant, if it has one and no other round holds it, as selectTenantQueues does.
var lockTenantQuota = `
SELECT coalesce(limits.max_in_flight, 0),
       limits.max_in_flight IS NULL OR pg_try_advisory_xact_lock(hashtext('refract.tenant.in_flight'), hashtext($1) & 255)
FROM (VALUES ($1)) AS this (tenant)
LEFT JOIN LATERAL (` + tenantLimits("this.tenant") + `) AS limits ON true`

// countOpen counts the open attempts of a tenant.
const countOpen = `
SELECT count(*)
FROM provider_account
JOIN attempt ON attempt.account = provider_account.account AND attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
JOIN task ON task.id = attempt.task_id AND task.tenant = $1`

// holdTenantQuota reports whether a tenant may have one more attempt in flight, which stays true until the transaction ends. It is false
// too while another round holds the quota of the tenant.
//
// NOTE: it counts after it has locked, for the reason that countUsage gives.
func holdTenantQuota(ctx context.Context, tx pgx.Tx, tenant string) (bool, error) {
	var quota, open int
	var held bool
	if err := tx.QueryRow(ctx, lockTenantQuota, tenant).Scan(&quota, &held); err != nil || !held || quota == 0 {
		return held, err
	}
	err := tx.QueryRow(ctx, countOpen, tenant).Scan(&open)
	return open < quota, err
}

// maxPosition bounds how many tasks ahead of another are counted.
const maxPosition = 10_000

// selectQueuePosition reads how many tasks of the tenant go before a task, and how many attempts the tenant has open. A task that
// waits for its source does not count as one that goes before others.
var selectQueuePosition = `
SELECT (SELECT count(*)
        FROM (SELECT
              FROM task AS ahead
              WHERE ahead.tenant = this.tenant AND ahead.provider = this.provider AND ahead.state = 'QUEUED'
                AND (ahead.line_time, ahead.id) < (this.line_time, this.id)
                AND ahead.not_before_time IS DISTINCT FROM 'infinity'
              LIMIT $2) AS counted),
       CASE WHEN this.not_before_time > now() AND isfinite(this.not_before_time) THEN this.not_before_time END,
       coalesce(this.not_before_time = 'infinity', false),
       coalesce(limits.max_in_flight, 0),
       (SELECT count(*)
        FROM provider_account
        JOIN attempt ON attempt.account = provider_account.account AND attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
        JOIN task AS other ON other.id = attempt.task_id AND other.tenant = this.tenant),
       coalesce(` + storageCause + `, '')
FROM task AS this
LEFT JOIN LATERAL (` + tenantLimits("this.tenant") + `) AS limits ON true
WHERE this.id = $1`

// QueuePosition implements lifecycle.Store.
func (s *Tasks) QueuePosition(ctx context.Context, t task.Task, limits admission.AccountLimits) (admission.QueuePosition, error) {
	var p admission.QueuePosition
	var notBefore *time.Time
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		if p.Usages, err = accountUsages(ctx, tx, selectAccounts, t.Provider, limits); err != nil {
			return err
		}
		var held bool
		err = tx.QueryRow(ctx, selectQueuePosition, t.ID, maxPosition).Scan(&p.Ahead, &notBefore, &held, &p.TenantMax, &p.TenantOpen, &p.Storage)
		if err == nil && held {
			p.Source, err = sourceWait(ctx, tx, t.ID)
		}
		return err
	})
	p.NotBefore = orZero(notBefore)
	return p, dbpool.NotFound(err, lifecycle.ErrTaskNotFound)
}

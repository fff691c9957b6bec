package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// selectLines finds who waits at a provider: it steps from tenant to tenant through the index, so that its cost
// grows with the tenants that wait and not with their tasks. That not_before_time is not infinity, which the next condition
// says too, is a column of index task_place: it passes over the tasks that wait for their source without a look at them.
//
// A tenant with a quota in flight is held, without waiting, since another provider's round may be spending the
// same quota right now; then the tenant's tasks wait for the next round. Tenants share 256 locks, since a database has
// room for some thousands in all: the worst of that is that a tenant waits for a round of which another tenant is.
const selectLines = `
WITH RECURSIVE waiting AS (
    (SELECT tenant FROM task WHERE state = 'QUEUED' ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM task WHERE state = 'QUEUED' AND tenant > waiting.tenant ORDER BY tenant LIMIT 1)
    FROM waiting
    WHERE waiting.tenant IS NOT NULL
), line AS MATERIALIZED (
    SELECT waiting.tenant, first.line_time
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT line_time
        FROM task
        WHERE tenant = waiting.tenant AND provider = $1 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
          AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now()
        ORDER BY line_time, id
        LIMIT 1
    ) AS first
)
SELECT line.tenant, coalesce(terms.weight, 1), coalesce(terms.max_in_flight, 0), line.line_time
FROM line
LEFT JOIN LATERAL (` + selectTerms + `) AS terms ON true
WHERE terms.max_in_flight IS NULL
   OR pg_try_advisory_xact_lock(hashtext('refract.tenant.in_flight'), hashtext(line.tenant) & 255)`

// selectTerms are the share and the quotas of line.tenant: its own row, or else that of tenants without one.
const selectTerms = `
    SELECT weight, max_in_flight
    FROM tenant
    WHERE tenant IN (line.tenant, '')
    ORDER BY tenant DESC
    LIMIT 1`

// countTenants counts what tenants have at a provider, as countUsage does for accounts, and what they have open
// anywhere. Tasks are looked up one by one: PostgreSQL takes the attempts of a window for a third of all, and would rather
// read the whole table of tasks than look up so many.
//
// NOTE: it runs after selectLines, in a statement of its own, for the reason that countUsage gives.
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

const selectPlaces = `
SELECT line.tenant, place.id, place.line_time
FROM unnest($2::text[]) AS line (tenant)
CROSS JOIN LATERAL (
    SELECT id, line_time
    FROM task
    WHERE tenant = line.tenant AND provider = $1 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
      AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now()
    ORDER BY line_time, id
    LIMIT $3
) AS place
ORDER BY line.tenant, place.line_time, place.id`

// readLines reads the lines that can get one of n permits, each with its first n tasks.
// window is the longest rate window of the provider's accounts.
func readLines(ctx context.Context, tx pgx.Tx, provider string, window time.Duration, n int) ([]admission.Line, error) {
	lines, err := standingLines(ctx, tx, provider, window)
	if err != nil {
		return nil, err
	}
	lines = admission.Contenders(lines, n)
	names := make([]string, len(lines))
	byTenant := make(map[string]*admission.Line, len(lines))
	for i := range lines {
		names[i] = lines[i].Tenant
		byTenant[lines[i].Tenant] = &lines[i]
	}
	rows, err := tx.Query(ctx, selectPlaces, provider, names, n)
	if err != nil {
		return nil, err
	}
	var tenant string
	var p admission.Place
	_, err = pgx.ForEachRow(rows, []any{&tenant, &p.Task, &p.Time}, func() error {
		l := byTenant[tenant]
		l.Tasks = append(l.Tasks, p)
		return nil
	})
	return lines, err
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

// selectProbers finds, in the line of each tenant, the first task that was not refused, and those that were.
const selectProbers = refusedTasks + `
SELECT line.tenant, place.id, place.line_time, NULL
FROM unnest($3::text[]) AS line (tenant)
CROSS JOIN LATERAL (
    SELECT id, line_time
    FROM task
    WHERE tenant = line.tenant AND provider = $2 AND state = 'QUEUED' AND not_before_time IS DISTINCT FROM 'infinity'
      AND (not_before_time IS NULL OR not_before_time <= now()) AND deadline_time > now()
      AND id NOT IN (SELECT task_id FROM refused)
    ORDER BY line_time, id
    LIMIT 1
) AS place
UNION ALL
SELECT task.tenant, task.id, task.line_time, refused.refuse_time
FROM refused
JOIN task ON task.id = refused.task_id
WHERE task.tenant = ANY ($3) AND task.provider = $2 AND task.state = 'QUEUED' AND task.not_before_time IS DISTINCT FROM 'infinity'
  AND (task.not_before_time IS NULL OR task.not_before_time <= now()) AND task.deadline_time > now()
ORDER BY 1, 4 NULLS FIRST, 2`

// selectRefusedTenants finds the tenants of which the account refused a task since its trouble began. The task may have ended since.
const selectRefusedTenants = refusedTasks + `
SELECT DISTINCT task.tenant
FROM refused
JOIN task ON task.id = refused.task_id
WHERE refused.in_row`

// readProbers reads the lines of which a task may probe an account.
func readProbers(ctx context.Context, tx pgx.Tx, provider, account string, window time.Duration) ([]admission.Line, error) {
	lines, err := standingLines(ctx, tx, provider, window)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	names := make([]string, len(lines))
	byTenant := make(map[string]*admission.Line, len(lines))
	for i := range lines {
		names[i] = lines[i].Tenant
		byTenant[lines[i].Tenant] = &lines[i]
	}
	var batch pgx.Batch
	batch.Queue(selectProbers, account, provider, names).Query(func(rows pgx.Rows) error {
		var tenant string
		var p admission.Place
		var refused *time.Time
		_, err := pgx.ForEachRow(rows, []any{&tenant, &p.Task, &p.Time, &refused}, func() error {
			p.Refused = time.Time{}
			if refused != nil {
				p.Refused = *refused
			}
			l := byTenant[tenant]
			l.Tasks = append(l.Tasks, p)
			return nil
		})
		return err
	})
	batch.Queue(selectRefusedTenants, account).Query(func(rows pgx.Rows) error {
		tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, tenant := range tenants {
			if l, waits := byTenant[tenant]; waits {
				l.Refused = true
			}
		}
		return err
	})
	return lines, tx.SendBatch(ctx, &batch).Close()
}

// standingLines reads who waits, and what each has, without the tasks.
func standingLines(ctx context.Context, tx pgx.Tx, provider string, window time.Duration) ([]admission.Line, error) {
	rows, err := tx.Query(ctx, selectLines, provider)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l admission.Line, err error) {
		err = row.Scan(&l.Tenant, &l.Weight, &l.Left, &l.First)
		if l.Left == 0 {
			l.Left = math.MaxInt
		}
		return l, err
	})
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	used, open, err := tenantUsage(ctx, tx, provider, window)
	for i := range lines {
		lines[i].Used = used[lines[i].Tenant]
		lines[i].Left -= open[lines[i].Tenant]
	}
	return lines, err
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

// placesCounted bounds how far a place in line is counted.
const placesCounted = 10_000

// selectStanding tells where a task stands in its tenant's line and what its tenant has open. Tasks that wait for their
// source are passed over by those behind them.
const selectStanding = `
SELECT (SELECT count(*)
        FROM (SELECT
              FROM task AS ahead
              WHERE ahead.tenant = line.tenant AND ahead.provider = line.provider AND ahead.state = 'QUEUED'
                AND (ahead.line_time, ahead.id) < (line.line_time, line.id)
                AND ahead.not_before_time IS DISTINCT FROM 'infinity'
              LIMIT $2) AS counted),
       CASE WHEN line.not_before_time > now() AND isfinite(line.not_before_time) THEN line.not_before_time END,
       coalesce(line.not_before_time = 'infinity', false),
       coalesce(terms.max_in_flight, 0),
       (SELECT count(*)
        FROM provider_account
        JOIN attempt ON attempt.account = provider_account.account AND attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
        JOIN task AS other ON other.id = attempt.task_id AND other.tenant = line.tenant),
       coalesce(` + storageCause + `, '')
FROM task AS line
LEFT JOIN LATERAL (` + selectTerms + `) AS terms ON true
WHERE line.id = $1`

// Standing implements lifecycle.Store.
func (s *Store) Standing(ctx context.Context, t task.Task, r admission.Round) (lifecycle.Standing, error) {
	var st lifecycle.Standing
	var notBefore *time.Time
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		if st.Usages, err = accountUsages(ctx, tx, selectAccounts, r.Provider, r.Limits); err != nil {
			return err
		}
		var held bool
		err = tx.QueryRow(ctx, selectStanding, t.ID, placesCounted).Scan(&st.Ahead, &notBefore, &held, &st.TenantMax, &st.TenantOpen, &st.Storage)
		if err == nil && held {
			st.Source, err = sourceWait(ctx, tx, t.ID)
		}
		return err
	})
	if notBefore != nil {
		st.NotBefore = *notBefore
	}
	return st, notFound(err, lifecycle.ErrTaskNotFound)
}

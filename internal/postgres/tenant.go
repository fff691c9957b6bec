package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/expiry"
	"github.com/refract-video/refract/internal/postgres/uploads"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/tenants"
)

// Tenants has the limits and the retention periods of tenants. A tenant without a row has those of the default, which has the empty
// name. A method that fails has changed nothing, unless the answer to its commit was lost. Limits hold from the next submission,
// upload or round of admission on.
type Tenants struct {
	pool    *pgxpool.Pool
	periods retention.Periods // For tenants without periods of their own.
}

// selectTenantNames finds the default, the tenants that have limits or a live token, and those of which a task
// waits. It finds the last as selectTenantQueues does.
const selectTenantNames = `
WITH RECURSIVE waiting AS (
    (SELECT tenant FROM task WHERE state = 'QUEUED' ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM task WHERE state = 'QUEUED' AND tenant > waiting.tenant ORDER BY tenant LIMIT 1)
    FROM waiting
    WHERE waiting.tenant IS NOT NULL
)
SELECT name
FROM (SELECT '' AS name
      UNION SELECT tenant FROM tenant
      UNION SELECT tenant FROM api_token WHERE revoke_time IS NULL
      UNION SELECT tenant FROM waiting WHERE tenant IS NOT NULL) AS names
WHERE $1::text IS NULL OR name > $1
ORDER BY name
LIMIT $2`

// selectTenants reads the limits in force and the usage of tenants. Submissions are counted only for those with a
// daily quota. Times are in seconds.
var selectTenants = `
WITH open AS (
    SELECT task.tenant, count(*) AS attempts
    FROM provider_account
    JOIN attempt ON attempt.account = provider_account.account AND attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
    JOIN task ON task.id = attempt.task_id
    WHERE task.tenant = ANY ($1::text[])
    GROUP BY task.tenant
)
SELECT line.tenant, coalesce(terms.tenant = line.tenant, false), coalesce(terms.weight, 1), coalesce(terms.max_queued, 0),
       coalesce(terms.max_in_flight, 0), coalesce(terms.max_per_day, 0),
       coalesce(terms.max_source_bytes, 0), coalesce(terms.max_sources, 0), coalesce(terms.max_unfinished_uploads, 0),
       coalesce(terms.max_calls_per_second, 0),
       (SELECT count(*) FROM (SELECT FROM task WHERE tenant = line.tenant AND state = 'QUEUED' LIMIT $2) AS queued),
       coalesce(open.attempts, 0), coalesce(today.submissions, 0), used.bytes, used.sources, used.uploads, ` + keptSeconds("keep_outputs", "$3") + `,
       ` + keptSeconds("keep_sources", "$4") + `, ` + keptSeconds("keep_callbacks", "$5") + `, ` + keptSeconds("keep_tasks", "$6") + `
FROM unnest($1::text[]) AS line (tenant)
LEFT JOIN LATERAL (
    SELECT tenant, weight, max_queued, max_in_flight, max_per_day, max_source_bytes, max_sources, max_unfinished_uploads,
           max_calls_per_second
    FROM tenant
    WHERE tenant IN (line.tenant, '')
    ORDER BY tenant DESC
    LIMIT 1
) AS terms ON true
CROSS JOIN LATERAL (` + uploads.SelectUsage("line.tenant", "true") + `) AS used
LEFT JOIN tenant AS own ON own.tenant = line.tenant
LEFT JOIN tenant AS shared ON shared.tenant = ''
LEFT JOIN open ON open.tenant = line.tenant
LEFT JOIN tenant_day AS today
    ON today.tenant = line.tenant AND today.day = (now() AT TIME ZONE 'UTC')::date AND terms.max_per_day IS NOT NULL
ORDER BY line.tenant`

// keptSeconds is for how long something is kept, in seconds; 0 means without an end.
func keptSeconds(column, parameter string) string {
	return `coalesce(extract(epoch FROM ` + expiry.KeptFor(column, parameter) + `), 0)::float8`
}

// Tenants returns tenants by name, at most limit of them after one; nil means from the beginning. The default,
// which has the empty name, is the first.
func (s *Tenants) Tenants(ctx context.Context, after *string, limit int) ([]tenants.Tenant, error) {
	rows, err := s.pool.Query(ctx, selectTenantNames, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return s.tenants(ctx, names)
}

// Tenant returns one tenant. An unknown one has the default's limits and no usage.
func (s *Tenants) Tenant(ctx context.Context, name string) (tenants.Tenant, error) {
	found, err := s.tenants(ctx, []string{name})
	if err != nil {
		return tenants.Tenant{}, err
	}
	return found[0], nil
}

func (s *Tenants) tenants(ctx context.Context, names []string) ([]tenants.Tenant, error) {
	rows, err := s.pool.Query(ctx, selectTenants, names, maxPosition+1,
		s.periods.Outputs.Seconds(), s.periods.Sources.Seconds(), s.periods.Callbacks.Seconds(), s.periods.Tasks.Seconds())
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tenants.Tenant, err error) {
		err = row.Scan(&t.Name, &t.Own, &t.Limits.Weight, &t.Limits.MaxQueued, &t.Limits.MaxInFlight, &t.Limits.MaxPerDay,
			&t.Limits.Sources.Bytes, &t.Limits.Sources.Sources, &t.Limits.Sources.Uploads, &t.Limits.MaxCallsPerSecond,
			&t.Queued, &t.Open, &t.Today, &t.Used.Bytes, &t.Used.Sources, &t.Used.Uploads,
			seconds{&t.Keep.Outputs}, seconds{&t.Keep.Sources}, seconds{&t.Keep.Callbacks}, seconds{&t.Keep.Tasks})
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	return found, nil
}

// seconds scans a number of seconds.
type seconds struct{ d *time.Duration }

// ScanFloat64 implements pgtype.Float64Scanner.
func (s seconds) ScanFloat64(f pgtype.Float8) error {
	*s.d = time.Duration(f.Float64 * float64(time.Second))
	return nil
}

const upsertTenant = `
INSERT INTO tenant (tenant, weight, max_queued, max_in_flight, max_per_day, max_source_bytes, max_sources, max_unfinished_uploads,
                    max_calls_per_second)
VALUES ($1, $2, nullif($3::integer, 0), nullif($4::integer, 0), nullif($5::integer, 0),
        nullif($6::bigint, 0), nullif($7::integer, 0), nullif($8::integer, 0), nullif($9::integer, 0))
ON CONFLICT ON CONSTRAINT tenant_pkey DO UPDATE
SET weight = excluded.weight, max_queued = excluded.max_queued, max_in_flight = excluded.max_in_flight,
    max_per_day = excluded.max_per_day, max_source_bytes = excluded.max_source_bytes, max_sources = excluded.max_sources,
    max_unfinished_uploads = excluded.max_unfinished_uploads, max_calls_per_second = excluded.max_calls_per_second`

// copyDefault gives a tenant without limits of its own a copy of the default's.
const copyDefault = `
INSERT INTO tenant (tenant, weight, max_queued, max_in_flight, max_per_day, max_source_bytes, max_sources, max_unfinished_uploads,
                    max_calls_per_second)
SELECT line.tenant, coalesce(shared.weight, 1), shared.max_queued, shared.max_in_flight, shared.max_per_day,
       shared.max_source_bytes, shared.max_sources, shared.max_unfinished_uploads, shared.max_calls_per_second
FROM (VALUES ($1::text)) AS line (tenant)
LEFT JOIN tenant AS shared ON shared.tenant = ''
ON CONFLICT ON CONSTRAINT tenant_pkey DO NOTHING`

// setPeriods changes the periods for which $2, $4, $6 and $8 are true. NULL is the default's.
const setPeriods = `
UPDATE tenant
SET keep_outputs   = CASE WHEN $2 THEN make_interval(secs => $3::float8) ELSE keep_outputs END,
    keep_sources   = CASE WHEN $4 THEN make_interval(secs => $5::float8) ELSE keep_sources END,
    keep_callbacks = CASE WHEN $6 THEN make_interval(secs => $7::float8) ELSE keep_callbacks END,
    keep_tasks     = CASE WHEN $8 THEN make_interval(secs => $9::float8) ELSE keep_tasks END
WHERE tenant = $1`

// SetLimits sets the limits of a tenant, or of the default under the empty name, and changes retention periods.
func (s *Tenants) SetLimits(ctx context.Context, name string, l tenants.Limits, keep retention.PeriodChanges) error {
	return s.changeTenant(ctx, name, keep, upsertTenant, l.Weight, l.MaxQueued, l.MaxInFlight, l.MaxPerDay,
		l.Sources.Bytes, l.Sources.Sources, l.Sources.Uploads, l.MaxCallsPerSecond)
}

// SetRetention changes retention periods of a tenant, and leaves share and quotas as they are: a tenant without limits of its own
// gets a copy of the default's.
func (s *Tenants) SetRetention(ctx context.Context, name string, keep retention.PeriodChanges) error {
	return s.changeTenant(ctx, name, keep, copyDefault)
}

// changeTenant inserts or updates the row of a tenant by a statement with the name and more arguments, and then its periods.
func (s *Tenants) changeTenant(ctx context.Context, name string, keep retention.PeriodChanges, statement string, limits ...any) error {
	args := []any{name}
	for _, kind := range []retention.Kind{
		retention.OutputKind, retention.SourceKind, retention.CallbackKind, retention.TaskKind,
	} {
		kept, change := keep[kind]
		var seconds *float64
		if kept != nil {
			seconds = new(kept.Seconds())
		}
		args = append(args, change, seconds)
	}
	err := s.record(ctx, name, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, statement, append([]any{name}, limits...)...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, setPeriods, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("set the limits of tenant %q: %w", name, err)
	}
	return nil
}

const deleteTenant = `DELETE FROM tenant WHERE tenant = $1`

// DropLimits removes a tenant's own limits and periods, so that the default's hold. Under the empty name it removes the
// default's.
func (s *Tenants) DropLimits(ctx context.Context, name string) error {
	err := s.record(ctx, name, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, deleteTenant, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop the limits of tenant %q: %w", name, err)
	}
	return nil
}

// selectTenantValues reads what the audit log records of a tenant: what is set of its own. Times are in seconds.
const selectTenantValues = `
SELECT jsonb_strip_nulls(jsonb_build_object(
    'weight', weight, 'max_queued', max_queued, 'max_in_flight', max_in_flight, 'max_per_day', max_per_day,
    'max_source_bytes', max_source_bytes, 'max_sources', max_sources, 'max_unfinished_uploads', max_unfinished_uploads,
    'max_calls_per_second', max_calls_per_second,
    'keep_outputs_seconds', extract(epoch FROM keep_outputs)::bigint, 'keep_sources_seconds', extract(epoch FROM keep_sources)::bigint,
    'keep_callbacks_seconds', extract(epoch FROM keep_callbacks)::bigint, 'keep_tasks_seconds', extract(epoch FROM keep_tasks)::bigint))
FROM tenant
WHERE tenant = $1
FOR UPDATE`

// record changes the row of a tenant, and records the change.
func (s *Tenants) record(ctx context.Context, name string, change func(pgx.Tx) error) error {
	c := audit.Change{Action: "tenant.update", Target: cmp.Or(name, "-"), Tenant: name}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return auditlog.Row(ctx, tx, c, selectTenantValues, func() error { return change(tx) }, name)
	})
}

const selectCallRates = `SELECT tenant, coalesce(max_calls_per_second, 0) FROM tenant`

// CallRates implements identity.CallRates.
func (s *Tenants) CallRates(ctx context.Context, add func(tenant string, perSecond int)) error {
	rows, err := s.pool.Query(ctx, selectCallRates)
	if err != nil {
		return fmt.Errorf("read the call rates of tenants: %w", err)
	}
	var tenant string
	var perSecond int
	_, err = pgx.ForEachRow(rows, []any{&tenant, &perSecond}, func() error {
		add(tenant, perSecond)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the call rates of tenants: %w", err)
	}
	return nil
}

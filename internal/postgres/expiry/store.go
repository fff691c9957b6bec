package expiry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/retention"
)

// Store finds and removes what has expired, and finds files without a row. It implements retention.Store.
type Store struct {
	pool    *pgxpool.Pool
	direct  *pgxpool.Pool     // For the lock of HoldRetention.
	periods retention.Periods // For tenants without periods of their own.
}

// New returns the store of a database, with the configured periods. The connections of direct have sessions of their own; it may be
// the same pool.
func New(pool, direct *pgxpool.Pool, periods retention.Periods) *Store {
	return &Store{pool, direct, periods}
}

// KeptFor returns SQL for the interval for which something is kept: by its column in the rows own and shared of table tenant, or
// else by the configuration in a parameter, in seconds. NULL means without an end.
func KeptFor(column, parameter string) string {
	return `nullif(coalesce(own.` + column + `, shared.` + column + `, make_interval(secs => ` + parameter + `::float8)), interval '0')`
}

// Batch is how many candidates ExpiryCandidates returns at most.
const Batch = 200

// expiring selects the next rows of a kind in the order in which they expire, and whether each is to be removed. The
// candidates come from one index, in which a walk goes on where the batch before ended; rows that some tenant keeps
// for longer are passed over. The parameters are where the batch before ended (time, id, part) and the
// configuration's time in seconds.
//
// NOTE: the tenant is found by a subquery for each candidate, which no plan can turn into a read of all tasks.
func expiring(keep, candidates string) string {
	return `
WITH strictest AS MATERIALIZED (
    SELECT min(kept) AS kept
    FROM (SELECT ` + keep + ` AS kept FROM tenant UNION ALL SELECT make_interval(secs => $4::float8)) AS terms
    WHERE kept > interval '0'
), candidate AS MATERIALIZED (` + candidates + `
)
SELECT candidate.at, candidate.id::text, candidate.part, candidate.tenant, candidate.bytes,
       coalesce(candidate.born <= now() - strictest.kept, false),
       candidate.unused AND coalesce(candidate.at <= now() - ` + KeptFor(keep, "$4") + `, false)
FROM candidate
CROSS JOIN strictest
LEFT JOIN tenant AS own ON own.tenant = candidate.tenant
LEFT JOIN tenant AS shared ON shared.tenant = ''
ORDER BY candidate.place`
}

var expiringOutputs = expiring("keep_outputs", `
    SELECT row_number() OVER () AS place, create_time AS at, create_time AS born, attempt_id AS id, index::bigint AS part, size_bytes AS bytes,
           true AS unused,
           (SELECT task.tenant FROM attempt JOIN task ON task.id = attempt.task_id WHERE attempt.id = attempt_id) AS tenant
    FROM (SELECT create_time, attempt_id, index, size_bytes
          FROM output
          WHERE remove_time IS NULL AND (create_time, attempt_id, index) > ($1, $2::uuid, $3::bigint)
          ORDER BY create_time, attempt_id, index
          LIMIT 200) AS next`)

// sourceInUse finds the tasks that may yet hand a source to a provider.
const sourceInUse = `EXISTS (
        SELECT FROM task WHERE task.source_id = source.id AND task.state IN ('QUEUED', 'SUBMITTING', 'RUNNING', 'SAVING'))`

var expiringSources = expiring("keep_sources", `
    SELECT row_number() OVER () AS place, last_use_time AS at, last_use_time AS born, id, $3::bigint AS part, size_bytes AS bytes,
           NOT `+sourceInUse+` AS unused, tenant
    FROM (SELECT last_use_time, id, size_bytes, tenant
          FROM source
          WHERE state = 'READY' AND (last_use_time, id) > ($1, $2::uuid)
          ORDER BY last_use_time, id
          LIMIT 200) AS source`)

var expiringUploads = expiring("keep_sources", `
    SELECT row_number() OVER () AS place, update_time AS at, update_time AS born, id, $3::bigint AS part, true AS unused, tenant,
           (SELECT coalesce(sum(size_bytes), 0)::bigint
            FROM source_part
            WHERE source_part.tenant = next.tenant AND upload_id = next.id) AS bytes
    FROM (SELECT update_time, id, tenant
          FROM source_upload
          WHERE (update_time, id) > ($1, $2::uuid)
          ORDER BY update_time, id
          LIMIT 200) AS next`)

// expiringCallbacks walks the primary key, whose numbers grow with time, so that the inbox needs no index more.
var expiringCallbacks = expiring("keep_callbacks", `
    SELECT row_number() OVER () AS place, receive_time AS at, receive_time AS born, $2::uuid AS id, id AS part, bytes,
           $1::timestamptz IS NOT NULL AS unused,
           (SELECT task.tenant FROM attempt JOIN task ON task.id = attempt.task_id WHERE attempt.id = attempt_id) AS tenant
    FROM (SELECT id, attempt_id, receive_time, length(body)::bigint AS bytes
          FROM callback
          WHERE id > $3::bigint
          ORDER BY id
          LIMIT 200) AS next`)

// hasOpenAttempt finds the attempts that are still followed.
const hasOpenAttempt = `EXISTS (
        SELECT FROM attempt WHERE attempt.task_id = task.id AND attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING'))`

// hasPendingDelivery finds the webhook deliveries that are still attempted. A disabled endpoint must not keep tasks without an end, and an
// endpoint that fails for five days is disabled. A subquery without EXISTS is an index probe for each task in every plan.
const hasPendingDelivery = `(
        SELECT delivery.task_id
        FROM webhook_delivery AS delivery
        WHERE delivery.task_id = task.id AND delivery.next_attempt_time IS NOT NULL AND delivery.event_time > now() - interval '5 days'
        LIMIT 1) IS NOT NULL`

// expiringTasks walks the primary key too: ids grow with the time of submission.
var expiringTasks = expiring("keep_tasks", `
    SELECT row_number() OVER () AS place, update_time AS at, create_time AS born, id, $3::bigint AS part, tenant,
           $1::timestamptz IS NOT NULL AND state IN ('SUCCEEDED', 'FAILED', 'CANCELED') AND NOT `+hasOpenAttempt+`
               AND NOT (`+hasPendingDelivery+`) AS unused,
           (SELECT coalesce(sum(size_bytes), 0)::bigint
            FROM attempt JOIN output ON output.attempt_id = attempt.id
            WHERE attempt.task_id = task.id AND output.remove_time IS NULL) AS bytes
    FROM (SELECT id, tenant, state, create_time, update_time
          FROM task
          WHERE id > $2::uuid
          ORDER BY id
          LIMIT 200) AS task`)

// noID comes before every id.
const noID = "00000000-0000-0000-0000-000000000000"

// ExpiryCandidates returns the next things of a kind in the order in which they expire, up to Batch of them, after the one at
// which the batch before ended; the zero value stands for the beginning.
func (s *Store) ExpiryCandidates(ctx context.Context, kind retention.Kind, after retention.Candidate) ([]retention.Candidate, error) {
	if after.ID == "" {
		after.ID, after.Part = noID, -1
	}
	var keep time.Duration
	var sql string
	switch kind {
	case retention.OutputKind:
		sql, keep = expiringOutputs, s.periods.Outputs
	case retention.SourceKind:
		sql, keep = expiringSources, s.periods.Sources
	case retention.UploadKind:
		sql, keep = expiringUploads, s.periods.Sources
	case retention.CallbackKind:
		sql, keep = expiringCallbacks, s.periods.Callbacks
	case retention.TaskKind:
		sql, keep = expiringTasks, s.periods.Tasks
	case retention.DeliveryKind, retention.AuditKind, retention.UnreferencedKind:
		return nil, nil // RemoveDeliveries and RemoveAuditEvents find the first two. The others have no rows.
	}
	rows, err := s.pool.Query(ctx, sql, after.At, after.ID, after.Part, keep.Seconds())
	if err != nil {
		return nil, fmt.Errorf("look for a %s that has expired: %w", kind, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[retention.Candidate])
	if err != nil {
		return nil, fmt.Errorf("look for a %s that has expired: %w", kind, err)
	}
	return found, nil
}

package expiry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/retention"
)

// The statements that remove look again at each row, under its lock: it may have been used,
// changed or removed since it was found. Keys of files move to unkept_file in the same statement.

// due are the rows to remove.
const due = `
WITH due AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[]) AS due (id, part, at, tenant)
)`

// pendingDeletion moves the keys of a step to unkept_file, the list of files to delete.
const pendingDeletion = `unkept AS (
    INSERT INTO unkept_file (key) SELECT key FROM gone WHERE key IS NOT NULL ON CONFLICT ON CONSTRAINT unkept_file_pkey DO NOTHING
)`

const removeOutputs = due + `, gone AS (
    UPDATE output
    SET remove_time = now()
    FROM due
    WHERE output.attempt_id = due.id AND output.index = due.part AND output.create_time = due.at AND output.remove_time IS NULL
    RETURNING output.key, output.size_bytes
), ` + pendingDeletion + `
SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM gone`

const removeSources = due + `, gone AS (
    UPDATE source
    SET state = 'EXPIRED'
    FROM due
    WHERE source.id = due.id AND source.state = 'READY' AND source.last_use_time = due.at AND NOT ` + sourceInUse + `
    RETURNING source.key, source.size_bytes
), ` + pendingDeletion + `
SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM gone`

// removeUploads takes no upload that a call appends to: that holds the row, and then changes its time.
const removeUploads = due + `, held AS MATERIALIZED (
    SELECT source_upload.tenant, source_upload.id
    FROM source_upload JOIN due USING (tenant, id)
    WHERE source_upload.update_time = due.at
    FOR UPDATE OF source_upload SKIP LOCKED
), gone AS MATERIALIZED (
    SELECT key, size_bytes FROM source_part JOIN held ON held.tenant = source_part.tenant AND held.id = source_part.upload_id
), ` + pendingDeletion + `, removed AS (
    DELETE FROM source_upload USING held
    WHERE source_upload.tenant = held.tenant AND source_upload.id = held.id
    RETURNING source_upload.id
)
SELECT (SELECT count(*) FROM removed), coalesce(sum(size_bytes), 0)::bigint FROM gone`

const removeCallbacks = due + `, gone AS (
    DELETE FROM callback USING due WHERE callback.id = due.part RETURNING length(body) AS size_bytes
)
SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM gone`

// recordKey is the key under which the bucket has the record of a send, as package fence computes it: each attempt that was sent has the
// next number of its task. It is NULL if no service has started on the database yet.
const recordKey = `'sent/' || (SELECT id FROM installation) || '/' || left(encode(` + workHash + `, 'hex'), 2) || '/' || encode(` + workHash + `, 'hex') || '-'
           || row_number() OVER (PARTITION BY attempt.task_id ORDER BY attempt.number)`

const workHash = `sha256(convert_to(held.tenant, 'UTF8') || '\x00'::bytea || convert_to(held.request_id, 'UTF8'))`

// removeTasks takes no task that another transaction holds, which is about to change it. A transaction that waits for the row does
// not find it. Attempts, events, outputs and callbacks go with it.
const removeTasks = due + `, held AS MATERIALIZED (
    SELECT task.id, task.tenant, task.request_id
    FROM task JOIN due ON due.id = task.id
    WHERE task.update_time = due.at AND task.state IN ('SUCCEEDED', 'FAILED', 'CANCELED') AND NOT ` + hasOpenAttempt + `
      AND NOT (` + hasPendingDelivery + `)
    FOR UPDATE OF task SKIP LOCKED
), gone AS MATERIALIZED (
    SELECT output.key, output.size_bytes
    FROM held
    JOIN attempt ON attempt.task_id = held.id
    JOIN output ON output.attempt_id = attempt.id AND output.remove_time IS NULL
    UNION ALL
    SELECT ` + recordKey + `, 0
    FROM held
    JOIN attempt ON attempt.task_id = held.id AND attempt.sent
), ` + pendingDeletion + `, removed AS (
    DELETE FROM task USING held WHERE task.id = held.id RETURNING task.id
)
SELECT (SELECT count(*) FROM removed), coalesce(sum(size_bytes), 0)::bigint FROM gone`

// RemoveExpired removes things of a kind that ExpiryCandidates found due, but not those that were used since or that another
// replica removed. PendingDeletions then lists their files.
func (s *Store) RemoveExpired(ctx context.Context, kind retention.Kind, things []retention.Candidate) (retention.Removed, error) {
	sql := map[retention.Kind]string{
		retention.OutputKind: removeOutputs, retention.SourceKind: removeSources, retention.UploadKind: removeUploads,
		retention.CallbackKind: removeCallbacks, retention.TaskKind: removeTasks,
	}[kind]
	ids, parts := make([]string, len(things)), make([]int64, len(things))
	times, tenants := make([]time.Time, len(things)), make([]string, len(things))
	for i, a := range things {
		ids[i], parts[i], times[i], tenants[i] = a.ID, a.Part, a.At, a.Tenant
	}
	var r retention.Removed
	if err := s.pool.QueryRow(ctx, sql, ids, parts, times, tenants).Scan(&r.Rows, &r.Bytes); err != nil {
		return retention.Removed{}, fmt.Errorf("remove %d expired rows of kind %s: %w", len(things), kind, err)
	}
	return r, nil
}

const selectPendingDeletions = `SELECT key FROM unkept_file WHERE key > $1 ORDER BY key LIMIT $2`

// PendingDeletions returns keys of files that are to be deleted, in order, after one.
func (s *Store) PendingDeletions(ctx context.Context, after string, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, selectPendingDeletions, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list the files to delete: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

const deletePendingDeletions = `DELETE FROM unkept_file WHERE key = ANY ($1::text[])`

// ForgetFiles notes that files are deleted.
func (s *Store) ForgetFiles(ctx context.Context, keys []string) error {
	if _, err := s.pool.Exec(ctx, deletePendingDeletions, keys); err != nil {
		return fmt.Errorf("note that %d files are deleted: %w", len(keys), err)
	}
	return nil
}

// deleteDays removes a bounded number of counts of days that no quota looks at any more.
const deleteDays = `
DELETE FROM tenant_day
WHERE (tenant, day) IN (
    SELECT tenant, day FROM tenant_day WHERE day < (now() AT TIME ZONE 'UTC')::date - 7 LIMIT 1000 FOR UPDATE SKIP LOCKED)`

// ForgetDays removes the submissions of past days that were counted for quotas.
func (s *Store) ForgetDays(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, deleteDays); err != nil {
		return fmt.Errorf("remove the counts of past days: %w", err)
	}
	return nil
}

// HoldRetention lets one replica at a time remove things, which is no more than a courtesy: two at once would only get
// in each other's way. The lock lives on a connection of its own and goes with it.
func (s *Store) HoldRetention(ctx context.Context) (release func(), held bool, err error) {
	conn, err := s.direct.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("connect for retention: %w", err)
	}
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('refract.retention', 0))`).Scan(&held)
	if err != nil || !held {
		conn.Release()
		if err != nil {
			err = fmt.Errorf("take the lock of retention: %w", err)
		}
		return nil, false, err
	}
	return func() {
		// A connection that may still hold the lock must not go back to the pool.
		ctx := context.WithoutCancel(ctx)
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtextextended('refract.retention', 0))`); err != nil {
			_ = conn.Conn().Close(ctx)
		}
		conn.Release()
	}, true, nil
}

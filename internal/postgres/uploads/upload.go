package uploads

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

const selectUpload = `
SELECT size_bytes, sha256, received_bytes, parts, coalesce(source_id::text, ''), duplicate, true
FROM source_upload
WHERE tenant = $1 AND id = $2`

// Upload implements source.Store.
func (s *Store) Upload(ctx context.Context, tenant string, id task.UploadID) (source.Upload, error) {
	rows, err := s.pool.Query(ctx, selectUpload, tenant, id)
	if err != nil {
		return source.Upload{}, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[source.Upload])
	if err != nil || len(found) == 0 {
		return source.Upload{}, err
	}
	return found[0], nil
}

// lockSources makes what takes room of a tenant's quotas follow each other, so that they are exact over all replicas.
const lockSources = `SELECT pg_advisory_xact_lock(hashtextextended('refract.tenant.sources.' || $1, 0))`

// selectSourceUsage reads what tenants have uploaded and may upload, by their own terms or else the default's; upload $2 does
// not count.
//
// NOTE: it runs after lockSources, in a statement of its own: one that waited for a lock itself would count in a snapshot from
// before.
var selectSourceUsage = `
SELECT coalesce(max_source_bytes, 0), coalesce(max_sources, 0), coalesce(max_unfinished_uploads, 0), bytes, sources, uploads
FROM (` + SelectUsage("$1", "source_upload.id <> $2") + `) AS used
LEFT JOIN LATERAL (
    SELECT max_source_bytes, max_sources, max_unfinished_uploads
    FROM tenant
    WHERE tenant IN ($1, '')
    ORDER BY tenant DESC
    LIMIT 1
) AS terms ON true`

// SelectUsage returns SQL that selects a source.Usage: what a tenant has uploaded, with the unfinished uploads that meet a
// condition. Both parameters are SQL expressions.
func SelectUsage(tenant, counted string) string {
	return `
    SELECT kept.bytes + unfinished.bytes AS bytes, kept.n AS sources, unfinished.n AS uploads
    FROM (SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes, count(*) AS n
          FROM source
          WHERE source.tenant = ` + tenant + ` AND state = 'READY') AS kept
    CROSS JOIN (SELECT coalesce(sum(greatest(size_bytes, received_bytes)), 0)::bigint AS bytes, count(*) AS n
                FROM source_upload
                WHERE source_upload.tenant = ` + tenant + ` AND source_id IS NULL AND ` + counted + `) AS unfinished`
}

// takeRoom lets an upload have so many bytes in all, for the rest of the transaction, or returns a *source.QuotaError.
func takeRoom(ctx context.Context, tx pgx.Tx, tenant string, id task.UploadID, bytes int64) error {
	if _, err := tx.Exec(ctx, lockSources, tenant); err != nil {
		return err
	}
	var limits source.Limits
	var used source.Usage
	err := tx.QueryRow(ctx, selectSourceUsage, tenant, id).
		Scan(&limits.Bytes, &limits.Sources, &limits.Uploads, &used.Bytes, &used.Sources, &used.Uploads)
	if err != nil {
		return err
	}
	return limits.Admit(tenant, used, bytes)
}

// upsertUpload begins an upload with nothing in it, or notes its size.
const upsertUpload = `
INSERT INTO source_upload (tenant, id, size_bytes, sha256, received_bytes, parts)
VALUES ($1, $2, $3, '', 0, 0)
ON CONFLICT ON CONSTRAINT source_upload_pkey DO UPDATE
SET size_bytes = EXCLUDED.size_bytes
WHERE source_upload.size_bytes = 0 AND source_upload.source_id IS NULL`

// BeginUpload implements source.Store. What arrived of an upload counts where that is more than its size.
func (s *Store) BeginUpload(ctx context.Context, tenant string, id task.UploadID, u source.Upload) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := takeRoom(ctx, tx, tenant, id, max(u.SizeBytes, u.Received, 1)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, upsertUpload, tenant, id, u.SizeBytes)
		return err
	})
}

// extendUpload appends for one of two calls that append to an upload at the same time: the second waits for the first one's
// commit, then finds more bytes than it expects, and changes nothing.
const extendUpload = `
UPDATE source_upload
SET size_bytes = $3, sha256 = coalesce($4, ''::bytea), received_bytes = received_bytes + $6, parts = parts + 1, update_time = now()
WHERE tenant = $1 AND id = $2 AND received_bytes = $5 AND source_id IS NULL`

const insertPart = `INSERT INTO source_part (tenant, upload_id, start_byte, size_bytes, key) VALUES ($1, $2, $3, $4, $5)`

// AddPart implements source.Store.
func (s *Store) AddPart(ctx context.Context, tenant string, id task.UploadID, u source.Upload, p source.Part) (bool, error) {
	added := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if u.SizeBytes == 0 {
			if err := takeRoom(ctx, tx, tenant, id, p.Start+p.SizeBytes); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, extendUpload, tenant, id, u.SizeBytes, u.SHA256, p.Start, p.SizeBytes)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		added = true
		_, err = tx.Exec(ctx, insertPart, tenant, id, p.Start, p.SizeBytes, p.Key)
		return err
	})
	return added && err == nil, err
}

const selectParts = `
SELECT start_byte, size_bytes, key
FROM source_part
WHERE tenant = $1 AND upload_id = $2
ORDER BY start_byte`

// Parts implements source.Store.
func (s *Store) Parts(ctx context.Context, tenant string, id task.UploadID) ([]source.Part, error) {
	rows, err := s.pool.Query(ctx, selectParts, tenant, id)
	if err != nil {
		return nil, fmt.Errorf("read the parts of upload %s: %w", id, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[source.Part])
}

// lockUpload keeps a second call from finishing the same upload meanwhile.
const lockUpload = `SELECT coalesce(source_id::text, ''), duplicate FROM source_upload WHERE tenant = $1 AND id = $2 FOR UPDATE`

// upsertSource adds a source, or returns the one with these bytes; one whose file is gone gets the new file. The
// row is the inserted one when it has the new id, and holds the new file when it has the new key.
const upsertSource = `
INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT ON CONSTRAINT source_sha256_key DO UPDATE
SET last_use_time = now(), state = 'READY', key = CASE source.state WHEN 'EXPIRED' THEN EXCLUDED.key ELSE source.key END
RETURNING ` + sourceColumns

const finishUpload = `UPDATE source_upload SET source_id = $3, duplicate = $4, update_time = now() WHERE tenant = $1 AND id = $2`

// FinishUpload implements source.Store. It locks the upload's row and then the source's.
func (s *Store) FinishUpload(ctx context.Context, id task.UploadID, n task.Source) (stored task.Source, duplicate bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var finished task.SourceID
		if err := tx.QueryRow(ctx, lockUpload, n.Tenant, id).Scan(&finished, &duplicate); err != nil {
			return err
		}
		if finished != "" {
			stored, err = oneSource(ctx, tx, useTenantSource, n.Tenant, finished)
			return err
		}
		stored, err = oneSource(ctx, tx, upsertSource, n.ID, n.Tenant, n.SHA256, n.SizeBytes, n.ContentType, n.Duration.Microseconds(),
			n.Width, n.Height, n.Flaw, n.Key)
		if err != nil {
			return err
		}
		duplicate = stored.Key != n.Key
		_, err = tx.Exec(ctx, finishUpload, n.Tenant, id, stored.ID, duplicate)
		return err
	})
	return stored, duplicate, err
}

const deleteParts = `DELETE FROM source_part WHERE tenant = $1 AND upload_id = $2`

// DropParts implements source.Store.
func (s *Store) DropParts(ctx context.Context, tenant string, id task.UploadID) error {
	_, err := s.pool.Exec(ctx, deleteParts, tenant, id)
	return err
}

const deleteUpload = `DELETE FROM source_upload WHERE tenant = $1 AND id = $2`

// DropUpload implements source.Store.
func (s *Store) DropUpload(ctx context.Context, tenant string, id task.UploadID) error {
	_, err := s.pool.Exec(ctx, deleteUpload, tenant, id)
	return err
}

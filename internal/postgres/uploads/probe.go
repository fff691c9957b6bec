package uploads

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
)

const selectProbe = `
SELECT size_bytes, content_type, duration_us, width, height, flaw
FROM source_probe
WHERE uri_sha256 = $1 AND expire_time > now()`

// Probed returns what was found behind a URI, and reports whether a probe is on record.
func (s *Store) Probed(ctx context.Context, uri string) (task.Clip, bool, error) {
	sum := sha256.Sum256([]byte(uri))
	rows, err := s.pool.Query(ctx, selectProbe, sum[:])
	if err != nil {
		return task.Clip{}, false, fmt.Errorf("look for a probe: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (task.Clip, error) {
		var c task.Clip
		var micros int64
		err := row.Scan(&c.SizeBytes, &c.ContentType, &micros, &c.Width, &c.Height, &c.Flaw)
		c.Duration = time.Duration(micros) * time.Microsecond
		return c, err
	})
	if err != nil || len(found) == 0 {
		return task.Clip{}, false, err
	}
	return found[0], true, nil
}

// upsertProbe also removes a few probes that have expired, which keeps the table as small as its use.
const upsertProbe = `
WITH expired AS (
    DELETE FROM source_probe
    WHERE uri_sha256 IN (
        SELECT uri_sha256 FROM source_probe WHERE expire_time < now() AND uri_sha256 <> $1 LIMIT 10 FOR UPDATE SKIP LOCKED)
)
INSERT INTO source_probe (uri_sha256, size_bytes, content_type, duration_us, width, height, flaw, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
ON CONFLICT ON CONSTRAINT source_probe_pkey DO UPDATE
SET size_bytes = EXCLUDED.size_bytes, content_type = EXCLUDED.content_type, duration_us = EXCLUDED.duration_us,
    width = EXCLUDED.width, height = EXCLUDED.height, flaw = EXCLUDED.flaw, expire_time = EXCLUDED.expire_time`

// KeepProbe records for a while what was found behind a URI.
func (s *Store) KeepProbe(ctx context.Context, uri string, c task.Clip, lifetime time.Duration) error {
	sum := sha256.Sum256([]byte(uri))
	_, err := s.pool.Exec(ctx, upsertProbe, sum[:], c.SizeBytes, c.ContentType, c.Duration.Microseconds(), c.Width, c.Height, c.Flaw,
		lifetime.Seconds())
	if err != nil {
		return fmt.Errorf("keep a probe: %w", err)
	}
	return nil
}

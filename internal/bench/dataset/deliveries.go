package dataset

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// insertOutputs inserts an output for each ended task of insertEnded.
const insertOutputs = `
INSERT INTO output (attempt_id, index, key, content_type, size_bytes, sha256, duration_ms, width, height, video_codec)
SELECT attempt, 0, 'outputs/' || attempt || '/0.mp4', 'video/mp4', 12345678, sha256('result'), 8000, 1280, 720, 'avc1.64001f'
FROM (SELECT ('00000000-0000-7000-c000-' || lpad(n::text, 12, '0'))::uuid AS attempt FROM generate_series($1::int, $2::int - 1) AS n) AS ended`

// insertDeliveries makes the last event of each ended task of tenant bench due for a webhook endpoint.
const insertDeliveries = `
INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
SELECT id, 5, $3, 'SUCCEEDED'
FROM (SELECT n, ('00000000-0000-7000-b000-' || lpad(n::text, 12, '0'))::uuid AS id FROM generate_series($1::int, $2::int - 1) AS n) AS ended
WHERE n % 2 = 0`

// GrowDeliverable inserts ended tasks as Grow does, each with an output, and the pool must be as there. Deliver makes the events of
// half of them due.
func GrowDeliverable(ctx context.Context, pool *pgxpool.Pool, from, to int) error {
	if err := Grow(ctx, pool, from, to); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, insertOutputs, from, to); err != nil {
		return fmt.Errorf("insert outputs: %w", err)
	}
	return nil
}

// Deliver makes the last events of the ended tasks with the even numbers from from to to-1 due for a webhook endpoint.
func Deliver(ctx context.Context, pool *pgxpool.Pool, endpoint string, from, to int) error {
	if _, err := pool.Exec(ctx, insertDeliveries, from, to, endpoint); err != nil {
		return fmt.Errorf("insert webhook deliveries: %w", err)
	}
	return nil
}

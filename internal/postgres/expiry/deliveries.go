package expiry

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// removeDeliveries removes webhook deliveries with their attempts, a bounded number: those that ended and whose event happened $1 seconds
// ago, and all of deleted endpoints. The index has those of an endpoint and a state in the order of their events. It passes over those
// that another transaction holds. The last condition lets the index find them again.
const removeDeliveries = `
WITH old AS MATERIALIZED (
    SELECT delivery.task_id, delivery.revision, endpoint.id AS endpoint_id
    FROM webhook_endpoint AS endpoint
    CROSS JOIN unnest(ARRAY['SUCCEEDED', 'FAILED', 'PENDING']) AS asked (state)
    CROSS JOIN LATERAL (
        SELECT task_id, revision
        FROM webhook_delivery
        WHERE endpoint_id = endpoint.id AND state = asked.state
          AND event_time < CASE WHEN endpoint.delete_time IS NULL THEN now() - make_interval(secs => $1) ELSE 'infinity' END
        ORDER BY event_time
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ) AS delivery
    WHERE asked.state <> 'PENDING' OR endpoint.delete_time IS NOT NULL
    LIMIT 1000
)
DELETE FROM webhook_delivery AS delivery
USING old
WHERE delivery.task_id = old.task_id AND delivery.revision = old.revision AND delivery.endpoint_id = old.endpoint_id
  AND delivery.task_id = ANY (ARRAY(SELECT task_id FROM old))`

// removeEndpoints removes endpoints that were deleted and have no deliveries left. A transaction that began before the deletion may still
// write one, but not for an hour. The order makes PostgreSQL look into the index.
const removeEndpoints = `
DELETE FROM webhook_endpoint
WHERE delete_time < now() - interval '1 hour'
  AND (SELECT endpoint_id FROM webhook_delivery WHERE endpoint_id = webhook_endpoint.id ORDER BY state LIMIT 1) IS NULL`

// keptDeliveries is for how long webhook deliveries are kept after their events, in hours.
const keptDeliveries = 30 * 24

// RemoveDeliveries implements retention.Store. It also removes deleted endpoints that have no deliveries left.
func (s *Store) RemoveDeliveries(ctx context.Context) (rows int64, err error) {
	var batch pgx.Batch
	batch.Queue(removeDeliveries, keptDeliveries*3600)
	batch.Queue(removeEndpoints)
	results := s.pool.SendBatch(ctx, &batch)
	tag, err := results.Exec()
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, fmt.Errorf("remove webhook deliveries: %w", err)
	}
	return tag.RowsAffected(), nil
}

package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/notify"
)

// selectBacklog walks from one endpoint with pending deliveries to the next, as selectDueEndpoints does, for the oldest event.
const selectBacklog = `
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_delivery WHERE state = 'PENDING' ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id
            FROM webhook_delivery
            WHERE state = 'PENDING' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id
            LIMIT 1)
    FROM waiting
    WHERE waiting.endpoint_id IS NOT NULL
)
SELECT (SELECT count(*) FROM (SELECT FROM webhook_delivery WHERE state = 'PENDING' LIMIT 1000001) AS pending),
       (SELECT min(oldest.event_time)
        FROM waiting
        JOIN webhook_endpoint AS endpoint ON endpoint.id = waiting.endpoint_id AND endpoint.disabled IS NULL AND endpoint.delete_time IS NULL
        CROSS JOIN LATERAL (
            SELECT event_time FROM webhook_delivery WHERE endpoint_id = endpoint.id AND state = 'PENDING' ORDER BY event_time LIMIT 1
        ) AS oldest),
       (SELECT count(*) FROM webhook_endpoint WHERE disabled IN ('GONE', 'FAILING') AND delete_time IS NULL)`

// Backlog implements notify.Deliveries. It counts up to a million rows, so it is not for each request.
func (s *Store) Backlog(ctx context.Context) (notify.Backlog, error) {
	var b notify.Backlog
	var oldest *time.Time
	if err := s.pool.QueryRow(ctx, selectBacklog).Scan(&b.Pending, &oldest, &b.Disabled); err != nil {
		return b, fmt.Errorf("read the backlog of webhooks: %w", err)
	}
	b.OldestEvent = value(oldest)
	return b, nil
}

package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// again begins the schedule of a delivery again. It ends a lease: what the request that is in progress brings no longer changes the
// delivery.
const again = `state = 'PENDING', attempts = 0, next_attempt_time = now(), lease_time = NULL`

// redeliver begins a delivery again, unless $5. It returns a row if there is one.
const redeliver = `
WITH found AS MATERIALIZED (
    SELECT delivery.task_id, delivery.revision, delivery.endpoint_id
    FROM webhook_delivery AS delivery
    JOIN webhook_endpoint AS endpoint ON endpoint.id = delivery.endpoint_id
    WHERE delivery.task_id = $3 AND delivery.revision = $4 AND delivery.endpoint_id = $2 AND endpoint.tenant = $1
      AND endpoint.delete_time IS NULL
), begun AS (
    UPDATE webhook_delivery AS delivery
    SET ` + again + `
    FROM found
    WHERE delivery.task_id = found.task_id AND delivery.revision = found.revision AND delivery.endpoint_id = found.endpoint_id AND NOT $5
)
SELECT FROM found`

// Redeliver implements api.WebhookDeliveries. The event may be sent twice if it is being sent now.
func (s *Store) Redeliver(ctx context.Context, tenant string, id notify.EndpointID, event notify.EventID, dryRun bool) error {
	err := s.pool.QueryRow(ctx, redeliver, tenant, id, event.Task, event.Revision, dryRun).Scan()
	if err = dbpool.NotFound(err, notify.ErrDeliveryNotFound); err != nil {
		return fmt.Errorf("redeliver %s to webhook endpoint %s: %w", event, id, err)
	}
	if !dryRun {
		s.wake()
	}
	return nil
}

// redeliverFailed begins the oldest failed deliveries of an endpoint again, at most $3, unless $4. It returns their number, and whether
// there are more. Each index leads to one row by all the columns that are compared.
const redeliverFailed = `
WITH found AS MATERIALIZED (
    SELECT task_id, revision, endpoint_id, event_time
    FROM webhook_delivery
    WHERE endpoint_id = $1 AND state = 'FAILED' AND event_time >= coalesce($2::timestamptz, '-infinity')
    ORDER BY event_time, task_id, revision
    LIMIT $3 + 1
), chosen AS MATERIALIZED (
    SELECT * FROM found LIMIT $3
), begun AS (
    UPDATE webhook_delivery AS delivery
    SET ` + again + `
    FROM chosen
    WHERE delivery.task_id = chosen.task_id AND delivery.revision = chosen.revision AND delivery.endpoint_id = chosen.endpoint_id
      AND delivery.event_time = chosen.event_time AND delivery.state = 'FAILED' AND NOT $4
    RETURNING 1
)
SELECT CASE WHEN $4 THEN (SELECT count(*) FROM chosen) ELSE (SELECT count(*) FROM begun) END,
       (SELECT count(*) FROM found) > $3`

// RedeliverFailed implements api.WebhookDeliveries.
func (s *Store) RedeliverFailed(
	ctx context.Context, tenant string, id notify.EndpointID, since time.Time, dryRun bool,
) (n int, more bool, err error) {
	if _, err := s.Endpoint(ctx, tenant, id); err != nil {
		return 0, false, err
	}
	err = dbpool.Transact(ctx, timeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, redeliverFailed, id, dbpool.Optional(since), notify.MaxRedeliveries, dryRun).Scan(&n, &more)
	})
	if err != nil {
		return 0, false, fmt.Errorf("redeliver the failed deliveries of webhook endpoint %s: %w", id, err)
	}
	if n > 0 && !dryRun {
		s.wake()
	}
	return n, more, nil
}

const lockTask = `SELECT state FROM task WHERE id = $1 AND tenant = $2 FOR SHARE`

// redeliverTask makes deliveries of the newest event of a task to all endpoints that it matches, or begins them again, unless $2.
var redeliverTask = `
WITH event AS MATERIALIZED (
    SELECT task.id, task.tenant, task.labels, task.webhook_uri, event.revision, event.state, event.create_time
    FROM task
    CROSS JOIN LATERAL (
        SELECT revision, state, create_time FROM task_event WHERE task_id = task.id ORDER BY revision DESC LIMIT 1
    ) AS event
    WHERE task.id = $1
), matching AS MATERIALIZED (
    SELECT event.id AS task_id, event.revision, endpoint.id AS endpoint_id, event.state, event.create_time
    FROM event` + subscribed("event", `SELECT event.labels, event.webhook_uri`) + `
), begun AS (
    INSERT INTO webhook_delivery AS delivery (task_id, revision, endpoint_id, task_state, event_time)
    SELECT task_id, revision, endpoint_id, state, create_time
    FROM matching
    WHERE NOT $2
    ORDER BY endpoint_id
    ON CONFLICT ON CONSTRAINT webhook_delivery_pkey DO UPDATE SET ` + again + `
)
SELECT count(*) FROM matching`

// RedeliverTask implements api.WebhookDeliveries. The transaction locks the task against changes, so that the event is its newest.
func (s *Store) RedeliverTask(ctx context.Context, tenant string, id task.ID, dryRun bool) (n int, err error) {
	err = dbpool.Transact(ctx, timeout, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var state task.State
			if err := tx.QueryRow(ctx, lockTask, id, tenant).Scan(&state); err != nil {
				return &lifecycle.TaskError{Task: id, Err: dbpool.NotFound(err, lifecycle.ErrTaskNotFound)}
			}
			if !state.Terminal() {
				return &notify.TaskStateError{State: state}
			}
			return tx.QueryRow(ctx, redeliverTask, id, dryRun).Scan(&n)
		})
	})
	if err != nil {
		return 0, fmt.Errorf("redeliver the last event of task %s: %w", id, err)
	}
	if n > 0 && !dryRun {
		s.wake()
	}
	return n, nil
}

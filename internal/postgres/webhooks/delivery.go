package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// listEndpointDeliveries reads a page by key: the newest of each state that is asked for, and then the newest of these. One index thus
// serves every filter, and the cost does not grow with the number of deliveries.
const listEndpointDeliveries = `
SELECT ` + deliveryColumns + `
FROM webhook_endpoint AS endpoint
CROSS JOIN unnest($3::text[]) AS asked (state)
CROSS JOIN LATERAL (
    SELECT *
    FROM webhook_delivery
    WHERE endpoint_id = endpoint.id AND state = asked.state
      AND (event_time, task_id, revision) < (coalesce($4::timestamptz, 'infinity'), $5::uuid, $6::bigint)
    ORDER BY event_time DESC, task_id DESC, revision DESC
    LIMIT $7
) AS delivery
WHERE endpoint.id = $2 AND endpoint.tenant = $1 AND endpoint.delete_time IS NULL
ORDER BY delivery.event_time DESC, delivery.task_id DESC, delivery.revision DESC
LIMIT $7`

// listTaskDeliveries reads a page of the deliveries of one task, which are few.
const listTaskDeliveries = `
SELECT ` + deliveryColumns + `
FROM webhook_delivery AS delivery
JOIN webhook_endpoint AS endpoint ON endpoint.id = delivery.endpoint_id
WHERE delivery.task_id = $2 AND endpoint.tenant = $1 AND endpoint.delete_time IS NULL AND delivery.state = ANY ($3::text[])
  AND (delivery.event_time, delivery.task_id, delivery.revision, delivery.endpoint_id)
      < (coalesce($4::timestamptz, 'infinity'), $5::uuid, $6::bigint, $7::uuid)
  AND ($8::uuid IS NULL OR delivery.endpoint_id = $8)
ORDER BY delivery.event_time DESC, delivery.task_id DESC, delivery.revision DESC, delivery.endpoint_id DESC
LIMIT $9`

// Deliveries implements api.WebhookDeliveries. It returns none for an endpoint or a task of another tenant.
func (s *Store) Deliveries(ctx context.Context, f notify.DeliveryFilter) ([]notify.Delivery, error) {
	states := f.States
	if len(states) == 0 {
		states = []notify.DeliveryState{notify.DeliveryPending, notify.DeliverySucceeded, notify.DeliveryFailed}
	}
	before := notify.DeliveryPlace{Event: notify.EventID{Task: noID}, Endpoint: noID}
	if f.Before != nil {
		before = *f.Before
	}
	sql := listEndpointDeliveries
	args := []any{f.Tenant, f.Endpoint, states, dbpool.Optional(before.EventTime), before.Event.Task, before.Event.Revision, f.Limit}
	if f.Task != "" {
		sql = listTaskDeliveries
		args = []any{
			f.Tenant, f.Task, states, dbpool.Optional(before.EventTime), before.Event.Task, before.Event.Revision, before.Endpoint,
			dbpool.Optional(f.Endpoint), f.Limit,
		}
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list webhook deliveries: %w", err)
	}
	deliveries, err := pgx.CollectRows(rows, scanDelivery)
	if err != nil {
		return nil, fmt.Errorf("list webhook deliveries: %w", err)
	}
	return deliveries, nil
}

const selectDelivery = `
SELECT ` + deliveryColumns + `
FROM webhook_delivery AS delivery
JOIN webhook_endpoint AS endpoint ON endpoint.id = delivery.endpoint_id
WHERE delivery.task_id = $3 AND delivery.revision = $4 AND delivery.endpoint_id = $2 AND endpoint.tenant = $1
  AND endpoint.delete_time IS NULL`

const selectDeliveryAttempts = `
SELECT start_time, duration_ms, status, error, answer
FROM webhook_attempt
WHERE task_id = $1 AND revision = $2 AND endpoint_id = $3
ORDER BY start_time DESC`

// Delivery implements api.WebhookDeliveries.
func (s *Store) Delivery(ctx context.Context, tenant string, id notify.EndpointID, event notify.EventID) (notify.Delivery, []notify.Attempt, error) {
	var d notify.Delivery
	var attempts []notify.Attempt
	var batch pgx.Batch
	batch.Queue(selectDelivery, tenant, id, event.Task, event.Revision).Query(func(rows pgx.Rows) (err error) {
		d, err = pgx.CollectExactlyOneRow(rows, scanDelivery)
		return err
	})
	batch.Queue(selectDeliveryAttempts, event.Task, event.Revision, id).Query(func(rows pgx.Rows) (err error) {
		attempts, err = pgx.CollectRows(rows, scanAttempt)
		return err
	})
	err := s.pool.SendBatch(ctx, &batch).Close()
	if err = dbpool.NotFound(err, notify.ErrDeliveryNotFound); err != nil {
		return notify.Delivery{}, nil, fmt.Errorf("read the delivery of %s to webhook endpoint %s: %w", event, id, err)
	}
	return d, attempts, nil
}

func scanAttempt(row pgx.CollectableRow) (notify.Attempt, error) {
	var a notify.Attempt
	var milliseconds int64
	err := row.Scan(&a.StartTime, &milliseconds, &a.Status, &a.Error, &a.Answer)
	a.Duration = time.Duration(milliseconds) * time.Millisecond
	return a, err
}

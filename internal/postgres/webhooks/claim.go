package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// sendable is whether requests may be made to an endpoint now.
const sendable = `endpoint.delete_time IS NULL AND endpoint.disabled IS NULL AND coalesce(endpoint.paused_until, '-infinity') <= now()
    AND (endpoint.rate_limit = 0 OR coalesce(endpoint.slot_time, '-infinity') <= now())`

// selectDueEndpoints walks from one endpoint with pending deliveries to the next by the index, so neither the number of its deliveries
// nor that of the endpoints that have none matters. PostgreSQL walks no further than the limit needs.
const selectDueEndpoints = `
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id FROM webhook_delivery WHERE state = 'PENDING' AND endpoint_id > $1 ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id
            FROM webhook_delivery
            WHERE state = 'PENDING' AND endpoint_id > waiting.endpoint_id
            ORDER BY endpoint_id
            LIMIT 1)
    FROM waiting
    WHERE waiting.endpoint_id IS NOT NULL
)
SELECT due.id::text, due.tenant, due.failures
FROM waiting
CROSS JOIN LATERAL (
    SELECT id, tenant, failures
    FROM webhook_endpoint AS endpoint
    WHERE id = waiting.endpoint_id AND ` + sendable + `
      AND (SELECT next_attempt_time
           FROM webhook_delivery
           WHERE endpoint_id = waiting.endpoint_id AND state = 'PENDING'
           ORDER BY next_attempt_time
           LIMIT 1) <= now()
    OFFSET 0
) AS due
LIMIT $2`

// DueEndpoints implements notify.Deliveries. It leaves out an endpoint whose rate limit permits no request now.
func (s *Store) DueEndpoints(ctx context.Context, after notify.EndpointID, limit int) ([]notify.DueEndpoint, error) {
	if after == "" {
		after = noID
	}
	rows, err := s.pool.Query(ctx, selectDueEndpoints, after, limit)
	if err != nil {
		return nil, fmt.Errorf("look for webhook endpoints with deliveries: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[notify.DueEndpoint])
	if err != nil {
		return nil, fmt.Errorf("look for webhook endpoints with deliveries: %w", err)
	}
	return due, nil
}

// noID comes before every id.
const noID = "00000000-0000-0000-0000-000000000000"

// The rate limit of an endpoint is a GCRA: slot_time is when the next request may be made. What was not used before remains for up to a
// quarter of a second, so that a claim can take several requests of a high limit.
const (
	// slotPause is the time between two requests.
	slotPause = `(interval '1 s' / endpoint.rate_limit)`
	// slotStart is the slot from which requests count.
	slotStart = `greatest(endpoint.slot_time, now() - ` + slotPause + ` * (greatest(endpoint.rate_limit / 4, 1) - 1))`
	// slotsFree is how many requests may be made now.
	slotsFree = `(1 + floor(extract(epoch FROM now() - ` + slotStart + `) / extract(epoch FROM ` + slotPause + `)))::integer`
)

// lockDue locks deliveries that are due, up to a quota for each endpoint. It passes over rows that another transaction holds: a claim
// never waits. The row of an endpoint with a rate limit is locked first, so that one claim at a time counts its slots.
//
// The number of rows that it reads does not depend on the number of deliveries that wait: the index has those of an endpoint in the
// order of their times.
const lockDue = `
WITH quota AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[]) AS quota (endpoint_id, quota)
), limited AS MATERIALIZED (
    SELECT endpoint.id, ` + slotsFree + ` AS free
    FROM webhook_endpoint AS endpoint
    WHERE id = ANY ($1::uuid[]) AND rate_limit > 0 AND ` + sendable + `
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), allowed AS MATERIALIZED (
    SELECT endpoint_id, least(quota, free) AS quota FROM quota JOIN limited ON limited.id = endpoint_id
    UNION ALL
    SELECT endpoint_id, quota
    FROM quota JOIN webhook_endpoint AS endpoint ON endpoint.id = endpoint_id
    WHERE rate_limit = 0 AND ` + sendable + `
)
SELECT due.task_id::text, due.revision, allowed.endpoint_id::text
FROM allowed
CROSS JOIN LATERAL (
    SELECT task_id, revision
    FROM webhook_delivery
    WHERE endpoint_id = allowed.endpoint_id AND state = 'PENDING' AND next_attempt_time <= now()
    ORDER BY next_attempt_time
    LIMIT allowed.quota
    FOR UPDATE SKIP LOCKED
) AS due`

// pending is whether a delivery of a task is pending. The state would say so too, and offer PostgreSQL an index with all pending deliveries
// of the endpoint.
func pending(delivery string) string { return delivery + `.next_attempt_time IS NOT NULL` }

// leaseDue leases the locked deliveries that are heads, and defers the others. A delivery is no head while another one of its task and
// endpoint is pending with a lower revision, or is leased. It is deferred until that one is due, but not for less than the lease, so that
// it is read once in the meantime; when that one ends, Finish makes it due. The slots of leased deliveries are used up.
//
// NOTE: it is a statement of its own, with a snapshot from after the locks. A delivery that ended before is seen here. One that ends
// later makes the next one due when the lock on that is free.
var leaseDue = `
WITH locked AS MATERIALIZED (
    SELECT task_id, revision, endpoint_id,
           (SELECT max(other.next_attempt_time)
            FROM webhook_delivery AS other
            WHERE other.task_id = due.task_id AND other.endpoint_id = due.endpoint_id AND other.revision <> due.revision
              AND ` + pending("other") + `
              AND (other.revision < due.revision OR other.lease_time IS NOT NULL AND other.next_attempt_time > now())) AS blocked
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS due (task_id, revision, endpoint_id)
), leased AS (
    UPDATE webhook_delivery AS delivery
    SET lease_time = CASE WHEN blocked IS NULL THEN now() END,
        next_attempt_time = greatest(blocked, now() + make_interval(secs => $4))
    FROM locked
    WHERE delivery.task_id = locked.task_id AND delivery.revision = locked.revision AND delivery.endpoint_id = locked.endpoint_id
    RETURNING delivery.endpoint_id, delivery.task_id, delivery.revision, delivery.task_state, delivery.state, delivery.attempts,
              delivery.next_attempt_time, delivery.event_time, delivery.lease_time
), used AS (
    UPDATE webhook_endpoint AS endpoint
    SET slot_time = ` + slotStart + ` + ` + slotPause + ` * requests
    FROM (SELECT endpoint_id, count(*) AS requests FROM leased WHERE lease_time IS NOT NULL GROUP BY endpoint_id) AS taken
    WHERE endpoint.id = taken.endpoint_id AND endpoint.rate_limit > 0
)
SELECT endpoint_id::text, task_id::text, revision, task_state, state, attempts, next_attempt_time, event_time
FROM leased
WHERE lease_time IS NOT NULL
ORDER BY event_time, task_id`

const selectTargets = `
SELECT ` + endpointColumns + `
FROM webhook_endpoint AS endpoint
WHERE id = ANY ($1::uuid[])`

// selectClaimedEvents reads events, each with the number of the newest attempt at its revision.
const selectClaimedEvents = `
SELECT event.task_id::text, event.revision, event.state, event.attempt, event.message, coalesce(event.failure_reason, ''),
       coalesce(event.failure_message, ''), coalesce(event.failure_payment, ''), event.create_time,
       (SELECT max(attempt) FROM task_event AS earlier WHERE earlier.task_id = event.task_id AND earlier.revision <= event.revision)
FROM unnest($1::uuid[], $2::bigint[]) AS claimed (task_id, revision)
JOIN task_event AS event ON event.task_id = claimed.task_id AND event.revision = claimed.revision`

// Claim implements notify.Deliveries. The transaction that leases runs at READ COMMITTED and waits for no lock. The bodies are read after
// its commit, in a snapshot.
func (s *Store) Claim(ctx context.Context, quotas []notify.Quota, lease time.Duration) ([]notify.Claimed, error) {
	var leased []notify.Delivery
	var deferred int
	err := dbpool.Transact(ctx, timeout, func(ctx context.Context) (err error) {
		leased, deferred, err = s.leaseDeliveries(ctx, quotas, lease)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease webhook deliveries: %w", err)
	}
	if len(leased) == 0 {
		if deferred > 0 {
			s.wake() // There may be heads behind the deferred ones.
		}
		return nil, nil
	}
	claimed, err := s.complete(ctx, leased)
	if err != nil {
		return nil, fmt.Errorf("read the events of webhook deliveries: %w", err)
	}
	return claimed, nil
}

// leaseDeliveries is the transaction of Claim, in two round trips. It also returns how many deliveries it deferred.
func (s *Store) leaseDeliveries(
	ctx context.Context, quotas []notify.Quota, lease time.Duration,
) (leased []notify.Delivery, deferred int, err error) {
	endpoints, limits := make([]notify.EndpointID, len(quotas)), make([]int, len(quotas))
	for i, q := range quotas {
		endpoints[i], limits[i] = q.Endpoint, q.Limit
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Release() // It closes a connection that is still in a transaction, which ends that.
	var locked keys
	var batch pgx.Batch
	batch.Queue(`BEGIN`)
	batch.Queue(repeatable)
	batch.Queue(lockDue, endpoints, limits).Query(func(rows pgx.Rows) error {
		var key deliveryKey
		_, err := pgx.ForEachRow(rows, []any{&key.task, &key.revision, &key.endpoint}, func() error {
			locked.add(key)
			return nil
		})
		return err
	})
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, 0, err
	}
	batch = pgx.Batch{}
	if len(locked.tasks) > 0 {
		batch.Queue(leaseDue, locked.tasks, locked.revisions, locked.endpoints, lease.Seconds()).Query(func(rows pgx.Rows) (err error) {
			leased, err = pgx.CollectRows(rows, scanDelivery)
			return err
		})
	}
	batch.Queue(`COMMIT`)
	err = conn.SendBatch(ctx, &batch).Close()
	return leased, len(locked.tasks) - len(leased), err
}

// deliveryKey names a delivery.
type deliveryKey struct {
	task     task.ID
	revision int64
	endpoint notify.EndpointID
}

// keys are the names of deliveries, column by column.
type keys struct {
	tasks     []task.ID
	revisions []int64
	endpoints []notify.EndpointID
}

func (k *keys) add(d deliveryKey) {
	k.tasks = append(k.tasks, d.task)
	k.revisions = append(k.revisions, d.revision)
	k.endpoints = append(k.endpoints, d.endpoint)
}

// deliveryColumns are the columns that scanDelivery reads, in its order.
const deliveryColumns = `delivery.endpoint_id::text, delivery.task_id::text, delivery.revision, delivery.task_state, delivery.state,
	delivery.attempts, delivery.next_attempt_time, delivery.event_time`

func scanDelivery(row pgx.CollectableRow) (notify.Delivery, error) {
	var d notify.Delivery
	var next *time.Time
	err := row.Scan(&d.Endpoint, &d.Event.Task, &d.Event.Revision, &d.TaskState, &d.State, &d.Attempts, &next, &d.EventTime)
	d.NextAttempt = value(next)
	return d, err
}

// claimedEvent is an event as a claim reads it.
type claimedEvent struct {
	id notify.EventID
	task.Event
	newest int
}

func scanClaimedEvent(row pgx.CollectableRow) (claimedEvent, error) {
	var e claimedEvent
	var f task.Failure
	err := row.Scan(&e.id.Task, &e.Revision, &e.State, &e.Attempt, &e.Message, &f.Reason, &f.Message, &f.Payment, &e.CreateTime, &e.newest)
	e.id.Revision = e.Revision
	if f.Reason != "" {
		e.Failure = &f
	}
	return e, err
}

// complete reads what leased deliveries need to be sent. A delivery whose task was removed since is left out.
func (s *Store) complete(ctx context.Context, leased []notify.Delivery) ([]notify.Claimed, error) {
	var ids []task.ID
	var named keys
	known := map[task.ID]bool{}
	for _, d := range leased {
		named.add(deliveryKey{d.Event.Task, d.Event.Revision, d.Endpoint})
		if !known[d.Event.Task] {
			known[d.Event.Task] = true
			ids = append(ids, d.Event.Task)
		}
	}
	targets := map[notify.EndpointID]notify.Endpoint{}
	events := map[notify.EventID]claimedEvent{}
	var batch pgx.Batch
	batch.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	batch.Queue(byIndex)
	batch.Queue(selectTargets, named.endpoints).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scanEndpoint)
		for _, e := range all {
			targets[e.ID] = e
		}
		return err
	})
	batch.Queue(selectClaimedEvents, named.tasks, named.revisions).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scanClaimedEvent)
		for _, e := range all {
			events[e.id] = e
		}
		return err
	})
	tasks := s.tasks.QueueTasks(&batch, ids)
	batch.Queue(`COMMIT`)
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	claimed := make([]notify.Claimed, 0, len(leased))
	for _, d := range leased {
		t, hasTask := tasks[d.Event.Task]
		event, hasEvent := events[d.Event]
		target, hasTarget := targets[d.Endpoint]
		if !hasTask || !hasEvent || !hasTarget {
			continue
		}
		perTask := target.URL == ""
		if perTask {
			target.URL = t.Spec.WebhookURI
		}
		claimed = append(claimed, notify.Claimed{
			Delivery: d, Target: target, PerTask: perTask, Task: *t, TaskEvent: event.Event, NewestAttempt: event.newest,
		})
	}
	return claimed, nil
}

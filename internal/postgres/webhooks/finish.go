package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// resultRow is the result of an attempt for finishDeliveries.
type resultRow struct {
	Task     task.ID              `json:"task_id"`
	Revision int64                `json:"revision"`
	Endpoint notify.EndpointID    `json:"endpoint_id"`
	Lease    time.Time            `json:"lease_end"`
	State    notify.DeliveryState `json:"new_state"`
	Retry    float64              `json:"retry"` // Seconds.
	Start    time.Time            `json:"start_time"`
	Duration int64                `json:"duration_ms"`
	Status   int                  `json:"status"`
	Error    string               `json:"error"`
	Answer   string               `json:"answer"`
}

// finishDeliveries stores attempts, and what they did to deliveries. A delivery is only changed while the claim has its lease: another claim
// gives it a lease with another end. It locks the rows in the order of the set. An attempt that is stored already stays as it is, so that
// the set can be repeated. The last condition lets the index find the rows, of which PostgreSQL expects a hundred.
const finishDeliveries = `
WITH new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset($1) AS new (
        task_id uuid, revision bigint, endpoint_id uuid, lease_end timestamptz, new_state text, retry float8, start_time timestamptz,
        duration_ms bigint, status integer, error text, answer text)
), held AS MATERIALIZED (
    SELECT new.*, delivery.leased
    FROM new
    CROSS JOIN LATERAL (
        SELECT lease_time IS NOT NULL AND next_attempt_time = new.lease_end AS leased
        FROM webhook_delivery
        WHERE task_id = new.task_id AND revision = new.revision AND endpoint_id = new.endpoint_id
        FOR UPDATE
    ) AS delivery
), attempt AS (
    INSERT INTO webhook_attempt (task_id, revision, endpoint_id, start_time, duration_ms, status, error, answer)
    SELECT task_id, revision, endpoint_id, start_time, duration_ms, status, error, answer
    FROM held
    ON CONFLICT ON CONSTRAINT webhook_attempt_pkey DO NOTHING
)
UPDATE webhook_delivery AS delivery
SET state = held.new_state, attempts = attempts + 1, lease_time = NULL,
    next_attempt_time = CASE WHEN held.new_state = 'PENDING' THEN now() + make_interval(secs => held.retry) END
FROM held
WHERE held.leased AND delivery.task_id = held.task_id AND delivery.revision = held.revision AND delivery.endpoint_id = held.endpoint_id
  AND delivery.task_id = ANY (ARRAY(SELECT task_id FROM held))`

// wakeNext makes the next deliveries of tasks to endpoints due.
//
// NOTE: it runs after the commit of the results. A claim that locks the next delivery in between sees that the one before has ended; the
// claims before have the row locked, or have deferred it. Within the transaction it would miss a delivery that is committed meanwhile,
// and that a claim defers before the results are committed.
//
// It writes the row even if it is due in the snapshot: a claim may hold the row, and is about to defer it.
var wakeNext = `
UPDATE webhook_delivery AS delivery
SET next_attempt_time = now()
FROM unnest($1::uuid[], $2::uuid[]) AS ended (task_id, endpoint_id)
CROSS JOIN LATERAL (
    SELECT revision
    FROM webhook_delivery AS other
    WHERE task_id = ended.task_id AND endpoint_id = ended.endpoint_id AND ` + pending("other") + `
    ORDER BY revision
    LIMIT 1
) AS next
WHERE delivery.task_id = ended.task_id AND delivery.revision = next.revision AND delivery.endpoint_id = ended.endpoint_id
  AND ` + pending("delivery") + ` AND delivery.attempts = 0 AND delivery.lease_time IS NULL`

// endpointChange is what the results of a set do to an endpoint.
type endpointChange struct {
	Endpoint notify.EndpointID    `json:"id"`
	Healthy  bool                 `json:"healthy"`  // Whether its failures in a row ended.
	Failures int                  `json:"failures"` // How many followed.
	Pause    float64              `json:"pause"`    // Seconds.
	Disable  notify.DisableReason `json:"disable"`
	Updated  time.Time            `json:"updated"` // The update_time of the endpoint to which the requests went.
}

func (c *endpointChange) add(r *notify.Result) {
	if r.Healthy {
		c.Healthy, c.Failures = true, 0
	} else {
		c.Failures++
	}
	c.Pause = max(c.Pause, r.Pause.Seconds())
	c.Disable = cmp.Or(c.Disable, r.Disable)
	if r.EndpointUpdate.After(c.Updated) {
		c.Updated = r.EndpointUpdate
	}
}

// updateEndpoints writes only endpoints for which something changes, which a healthy one is not. The one without a URL belongs to many
// receivers, so the failures of one are not held against it. Requests to an endpoint that a caller has changed since they were claimed say
// nothing about how it is now: its URL may be another one, or it was enabled again. An endpoint that has failed for the time of the second parameter is
// disabled. It locks the rows in the order of the set, and returns those that it has disabled.
const updateEndpoints = `
WITH new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset($1) AS new (id uuid, healthy boolean, failures integer, pause float8, disable text, updated timestamptz)
), held AS MATERIALIZED (
    SELECT new.*, endpoint.since, endpoint.before
    FROM new
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT new.healthy THEN failing_time END AS since, CASE WHEN new.healthy THEN 0 ELSE endpoint.failures END AS before
        FROM webhook_endpoint AS endpoint
        WHERE id = new.id AND url <> '' AND disabled IS NULL AND delete_time IS NULL AND update_time <= new.updated
          AND (new.failures > 0 OR endpoint.failures > 0 OR new.pause > 0 OR new.disable <> '')
        FOR UPDATE
    ) AS endpoint
), decided AS (
    SELECT id, pause, before + failures AS failures, CASE WHEN before + failures > 0 THEN coalesce(since, now()) END AS failing_time,
           CASE WHEN disable <> '' THEN disable WHEN failures > 0 AND since <= now() - make_interval(secs => $2) THEN 'FAILING' END AS disabled
    FROM held
)
UPDATE webhook_endpoint AS endpoint
SET failures = decided.failures, failing_time = decided.failing_time,
    paused_until = CASE WHEN pause > 0 THEN greatest(paused_until, now() + make_interval(secs => pause)) ELSE paused_until END,
    disabled = decided.disabled, disable_time = CASE WHEN decided.disabled IS NOT NULL THEN now() END,
    update_time = CASE WHEN decided.disabled IS NOT NULL THEN now() ELSE update_time END
FROM decided
WHERE endpoint.id = decided.id
RETURNING ` + endpointColumns

// Finish implements notify.Deliveries. The transaction runs at READ COMMITTED. It locks the deliveries of the results, then their endpoints,
// both in the order of their keys. A second one makes the deliveries due that follow those that ended.
func (s *Store) Finish(ctx context.Context, results []notify.Result) ([]notify.Endpoint, error) {
	if len(results) == 0 {
		return nil, nil
	}
	sorted := slices.SortedStableFunc(slices.Values(results), func(a, b notify.Result) int {
		return cmp.Or(cmp.Compare(a.Delivery.Event.Task, b.Delivery.Event.Task),
			cmp.Compare(a.Delivery.Event.Revision, b.Delivery.Event.Revision), cmp.Compare(a.Delivery.Endpoint, b.Delivery.Endpoint))
	})
	rows := make([]resultRow, len(sorted))
	var ended keys
	for i, r := range sorted {
		d := r.Delivery
		rows[i] = resultRow{
			d.Event.Task, d.Event.Revision, d.Endpoint, d.NextAttempt, r.State, r.Retry.Seconds(),
			r.Attempt.StartTime, r.Attempt.Duration.Milliseconds(), r.Attempt.Status, storable(r.Attempt.Error), storable(r.Attempt.Answer),
		}
		if r.State != notify.DeliveryPending {
			ended.add(deliveryKey{d.Event.Task, d.Event.Revision, d.Endpoint})
		}
	}
	var disabled []notify.Endpoint
	err := s.write(ctx, repeatable, func(batch *pgx.Batch) {
		disabled = nil
		batch.Queue(finishDeliveries, rows)
		batch.Queue(updateEndpoints, endpointChanges(results), notify.MaxFailing.Seconds()).Query(func(rows pgx.Rows) error {
			changed, err := pgx.CollectRows(rows, scanEndpoint)
			for _, e := range changed {
				if e.Disabled != "" {
					disabled = append(disabled, e)
				}
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store the results of %d webhook deliveries: %w", len(results), err)
	}
	if len(ended.tasks) > 0 {
		// The results are stored, so an error must not make the caller repeat them. Without this the next deliveries are due after the
		// time for which they were deferred.
		_ = s.write(ctx, repeatable, func(batch *pgx.Batch) { batch.Queue(wakeNext, ended.tasks, ended.endpoints) })
	}
	return disabled, nil
}

// storable returns what a column of type text can hold: one text of a stranger must not spoil the whole set.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// endpointChanges returns what results, in the order in which they came, do to endpoints, in the order of the ids of these.
func endpointChanges(results []notify.Result) []endpointChange {
	byID := map[notify.EndpointID]*endpointChange{}
	for i := range results {
		id := results[i].Delivery.Endpoint
		if byID[id] == nil {
			byID[id] = &endpointChange{Endpoint: id}
		}
		byID[id].add(&results[i])
	}
	changes := make([]endpointChange, 0, len(byID))
	for _, c := range byID {
		changes = append(changes, *c)
	}
	slices.SortFunc(changes, func(a, b endpointChange) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return changes
}

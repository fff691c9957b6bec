package promises_test

import (
	"context"
	"slices"
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestPromise17_DeadEndpointsDelayNoOther has twenty thousand events for endpoints that never answer. Their requests must leave slots for
// another tenant, whose event must arrive. TestSoak_AMillionUndeliveredEvents has a million.
//
// It fails when the requests of a tenant may take every slot of a replica.
func TestPromise17_DeadEndpointsDelayNoOther(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Unlimited)
	films, h := ts.As(t, "films"), e2etest.StartHooks(t)
	dead := startDeadEndpoints(t, ts, 20_000)
	watching, stop := context.WithCancel(ts.Ctx(t))
	most := make(chan int, 1)
	go func() { most <- mostAtOnce(watching, dead) }()
	films.DeliverTo(t, h, "films")
	stop()
	if n := <-most; n >= slots {
		t.Errorf("%d requests of others were in progress at once, and a replica has %d slots: others had all", n, slots)
	}
}

// slots is how many requests a replica has in progress at the most.
const slots = 512

// mostAtOnce returns how many requests to endpoints that never answer were in progress at once, until the first is given up or ctx ends:
// after that, the receiver may learn late which requests have ended.
func mostAtOnce(ctx context.Context, dead *e2etest.Hooks) int {
	most := 0
	_ = dead.Await(ctx, func() bool { // It fails when ctx ends.
		requests := dead.Requests("")
		if slices.ContainsFunc(requests, func(q receiver.Request) bool { return q.Gone }) {
			return true
		}
		most = max(most, len(requests))
		return false
	})
	return most
}

// deadTenants are tenants with as many endpoints as they may have, all of which accept connections and never answer. Each endpoint may
// have four requests at first, so together they could take all slots of a replica.
var deadTenants = []string{"dead-1", "dead-2", "dead-3", "dead-4", "dead-5"}

// deadEndpoints is how many endpoints each of them has.
const deadEndpoints = 32

// startDeadEndpoints inserts undelivered events of tenants whose endpoints never answer, and waits until requests to all of these tenants
// hang.
func startDeadEndpoints(t *testing.T, ts *e2etest.Service, events int) *e2etest.Hooks {
	t.Helper()
	h := e2etest.StartHooks(t)
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Stall })
	for _, tenant := range deadTenants {
		one := h.Subscribe(t, ts.As(t, tenant), tenant, tenant)
		postgrestest.Exec(t, ts.Pool, `
			INSERT INTO webhook_endpoint (id, tenant, url, description, states, labels, rate_limit, secret)
			SELECT gen_random_uuid(), tenant, url, '', states, labels, 0, secret
			FROM webhook_endpoint, generate_series(2, $2)
			WHERE id = $1`, one.ID, deadEndpoints)
		// Half of the events are of tasks with one event, the others of five tasks with many. In each of these only the earliest may be
		// sent, and the others are in its way.
		perEndpoint := events / len(deadTenants) / deadEndpoints / 2
		postgrestest.Exec(t, ts.Pool, insertUndelivered, tenant, perEndpoint, 1)
		postgrestest.Exec(t, ts.Pool, insertUndelivered, tenant, 5, perEndpoint/5)
	}
	postgrestest.Exec(t, ts.Pool, `ANALYZE webhook_delivery, webhook_endpoint, task, task_event`)
	hanging := func() int {
		tenants := map[string]bool{}
		for _, q := range h.Requests("") {
			if q.Body != nil && !q.Gone {
				tenants[q.Endpoint] = true
			}
		}
		return len(tenants)
	}
	if err := h.Await(ts.Ctx(t), func() bool { return hanging() == len(deadTenants) }); err != nil {
		t.Fatalf("no requests hang: %v", err)
	}
	return h
}

// insertUndelivered inserts canceled tasks with a number of events each, all of which wait for every endpoint of the tenant.
const insertUndelivered = `
WITH ended AS (
    INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider, fallbacks,
                      route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time)
    SELECT gen_random_uuid(), $1, gen_random_uuid(), '', '', '', '', '', '', '', '{}', '{kie}', 'kie', 0, '{}', '1 hour', 1, 'CANCELED', $3, 1, now()
    FROM generate_series(1, $2::int)
    RETURNING id
), happened AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
    SELECT id, revision, 'CANCELED', 0, '', $1
    FROM ended, generate_series(1, $3::int) AS revision
)
INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
SELECT ended.id, revision, endpoint.id, 'CANCELED'
FROM ended, generate_series(1, $3::int) AS revision, webhook_endpoint AS endpoint
WHERE endpoint.tenant = $1`

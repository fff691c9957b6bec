package webhooks_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// receiver checks what arrives: of a task one event at a time, in order, and none again after it was received.
type receiver struct {
	mu   sync.Mutex
	busy map[stream]bool
	next map[stream]int64 // The revision that comes next.
	errs []error
}

// stream is the events of a task at an endpoint.
type stream struct {
	endpoint notify.EndpointID
	task     task.ID
}

func (r *receiver) begin(c notify.Claimed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := stream{c.Endpoint, c.Event.Task}
	if r.busy[s] || c.Event.Revision != r.next[s]+1 {
		r.errs = append(r.errs, fmt.Errorf("revision %d of %v is claimed, busy %t, after %d", c.Event.Revision, s, r.busy[s], r.next[s]))
	}
	r.busy[s] = true
}

func (r *receiver) end(c notify.Claimed, received bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := stream{c.Endpoint, c.Event.Task}
	r.busy[s] = false
	if received {
		r.next[s] = c.Event.Revision
	}
}

const insertTestEvents = `
WITH event AS (
    INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
    SELECT id, $1, 'RUNNING', 0, '', tenant FROM task
    ON CONFLICT DO NOTHING
    RETURNING task_id, revision
)
INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
SELECT task_id, revision, endpoint.id, 'RUNNING' FROM event, webhook_endpoint AS endpoint`

// Several claimers take, fail, repeat and end deliveries at the same time, while further events come. Each event is received once, and
// those of a task in order.
func TestClaim_ConcurrentClaimersKeepTheOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		tasks, revisions := rapid.IntRange(1, 4).Draw(rt, "tasks"), rapid.IntRange(2, 5).Draw(rt, "revisions")
		claimers, limit := rapid.IntRange(2, 4).Draw(rt, "claimers"), rapid.IntRange(1, 6).Draw(rt, "limit")
		failures := rapid.SliceOfN(rapid.Bool(), 16, 16).Draw(rt, "failures")
		postgrestest.Exec(t, f.pool, `TRUNCATE task, webhook_endpoint CASCADE`)
		endpoints := []notify.Endpoint{f.endpoint("films", nil), f.endpoint("films", nil)}
		for range tasks {
			postgrestest.InsertTask(t, f.pool, "films", task.Queued, 0)
		}
		postgrestest.Exec(t, f.pool, `INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
			SELECT task.id, 1, webhook_endpoint.id, 'QUEUED' FROM task, webhook_endpoint`)
		r := &receiver{busy: map[stream]bool{}, next: map[stream]int64{}}
		ctx, cancel := context.WithTimeout(t.Context(), postgrestest.Hung)
		defer cancel()
		errs := postgrestest.AtOnce(ctx, claimers+1, func(ctx context.Context, i int) error {
			if i == claimers {
				for revision := 2; revision <= revisions; revision++ {
					if _, err := f.pool.Exec(ctx, insertTestEvents, revision); err != nil {
						return err
					}
				}
				return nil
			}
			return f.claimAll(ctx, r, endpoints, limit, failures[i:], tasks*revisions*len(endpoints))
		})
		if errs = append(errs, r.errs...); len(errs) > 0 {
			rt.Fatal(errs)
		}
	})
}

// claimAll claims and finishes deliveries until so many have ended.
func (f *fixture) claimAll(ctx context.Context, r *receiver, endpoints []notify.Endpoint, limit int, failures []bool, total int) error {
	var quotas []notify.Quota
	for _, e := range endpoints {
		quotas = append(quotas, notify.Quota{Endpoint: e.ID, Limit: limit})
	}
	idle := time.Now()
	for n := 0; ; {
		claimed, err := f.Claim(ctx, quotas, lease)
		if err != nil {
			return err
		}
		results := make([]notify.Result, len(claimed))
		for i, c := range claimed {
			r.begin(c)
			results[i] = received
			if n++; n < len(failures) && failures[n] {
				results[i] = refused
				results[i].Retry = 0
			}
			results[i].Delivery, results[i].Attempt.StartTime = c.Delivery, time.Now()
		}
		for i, c := range claimed {
			r.end(c, results[i].State == notify.DeliverySucceeded)
		}
		if _, err := f.Finish(ctx, results); err != nil {
			return err
		}
		var ended int
		err = f.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_delivery WHERE state <> 'PENDING'`).Scan(&ended)
		if err != nil || ended == total {
			return err
		}
		if len(claimed) > 0 {
			idle = time.Now()
		}
		if time.Since(idle) > postgrestest.Hung/10 { // The leases and the deferrals are longer.
			return fmt.Errorf("%d of %d have ended, and nothing is due", ended, total)
		}
	}
}

// A claim holds the second event of a task and finds the first one pending; then the first one ends. The second is due all the same.
func TestFinish_MakesTheNextDueThatAClaimIsAboutToDefer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	id := f.create("films", task.Spec{}).ID
	first := f.claim(1, e)
	f.cancel(id)
	tx := postgrestest.Begin(t, f.pool)
	if _, err := tx.Exec(t.Context(), `SELECT FROM webhook_delivery WHERE revision = 2 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		r := received
		r.Delivery, r.Attempt.StartTime = first[0].Delivery, time.Now()
		_, err := f.Finish(t.Context(), []notify.Result{r})
		done <- err
	}()
	postgrestest.Until(t, func() bool {
		return postgrestest.Value[bool](t, f.pool, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	})
	if _, err := tx.Exec(t.Context(), `UPDATE webhook_delivery SET next_attempt_time = now() + interval '1 hour' WHERE revision = 2`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := f.claim(1, e); len(got) != 1 || got[0].Event.Revision != 2 {
		t.Errorf("claimed %v, want revision 2", revisions(got))
	}
}

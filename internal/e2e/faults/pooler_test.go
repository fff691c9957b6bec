package faults_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
)

// TestFaults_AKillWhileSaving kills a replica that saves a result, with connections straight to PostgreSQL and through a pooler of
// transactions. Another replica must take the save over because the lock of the killed one is gone, and not because the time of the
// save is over. How fast that is depends on the lock alone, so a pooler must not change it.
//
// It fails when the lock of a replica is held on the pool (internal/server/server.go): with a pooler, a living replica then looks like a dead one.
func TestFaults_AKillWhileSaving(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"direct", "through a pooler"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			databaseURL, pooler := postgrestest.URL(t), ""
			if way != "direct" {
				postgrestest.Inherit(t, databaseURL, "statement_timeout = '15s'", "idle_in_transaction_session_timeout = '15s'", "jit = off", "synchronous_commit = on")
				pooler = postgrestest.PgBouncer(t, databaseURL, "pool_mode = transaction\ndefault_pool_size = 10\nserver_round_robin = 1")
			}
			killWhileSaving(t, databaseURL, pooler)
		})
	}
}

func killWhileSaving(t *testing.T, databaseURL, pooler string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	limits := map[string]audit.Limit{}
	for _, p := range providers {
		limits[p] = audit.Limit{Submissions: 20, Window: time.Second, InFlight: 50}
	}
	f := newFleet(t, fleetConfig{replicas: 2, databaseURL: databaseURL, pooler: pooler, limits: limits})
	began, killed := make(chan struct{}), make(chan struct{})
	beginning := sync.OnceFunc(func() { close(began) })
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		beginning()
		select { // No download ends before the replica is dead, however often a slow one is repeated.
		case <-killed:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write(sim.ResultClip(f.provider.Ledger()[0].TaskID, 0))
	}))
	t.Cleanup(host.Close)
	saving, other := f.replicas[0], f.replicas[1]
	if err := saving.start(ctx); err != nil {
		t.Fatal(err)
	}
	client := f.dial()
	id, err := f.submit(ctx, client, order{
		requestID: "saved-late", provider: "kie", maxAttempts: 1, prompt: "save [sim:redirect=" + host.URL + "]", outcomes: []string{"SUCCEEDED"},
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-began:
	case <-ctx.Done():
		t.Fatal("the save did not begin")
	}
	if err := other.start(ctx); err != nil {
		t.Fatal(err)
	}
	_ = saving.stop(syscall.SIGKILL)
	close(killed)
	f.done.add("kills while saving", 1)
	f.watched(id, true)
	if !f.watch(ctx, client, id) {
		t.Fatal("the task did not end")
	}
	f.watched(id, false)
	checkRescue(ctx, t, databaseURL)
	f.drain()
	f.audit(ctx)
}

// selectRescue returns how often the save was worked on, whether the last time began before the time of the first was over, which is 15
// minutes and more, and whether another replica than the first worked on it then.
const selectRescue = `
SELECT cardinality(attempted_by), attempted_at < created_at + interval '15 minutes', attempted_by[1] <> attempted_by[cardinality(attempted_by)]
FROM river_job
WHERE kind = 'save_outputs'`

func checkRescue(ctx context.Context, t *testing.T, databaseURL string) {
	t.Helper()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		t.Fatal("open the database")
	}
	defer pool.Close()
	var runs int
	var early, another bool
	if err := pool.QueryRow(ctx, selectRescue).Scan(&runs, &early, &another); err != nil {
		t.Fatal(err)
	}
	if runs < 2 || !early || !another { // A slow machine repeats a save that stalls.
		t.Errorf("the save ran %d times, within its time: %t, on another replica: %t; want twice or more, rescued by the lock", runs, early, another)
	}
}

package dbpool_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/metrictest"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestObserve_ShowsWhoHasAConnectionAndWhoWaits takes all connections of a pool, and gives up on another one.
func TestObserve_ShowsWhoHasAConnectionAndWhoWaits(t *testing.T) {
	t.Parallel()
	metrics := metrictest.New(t)
	pool := openPool(t, postgrestest.WithPool(postgrestest.URL(t), "2"))
	if err := dbpool.Observe(metrics, pool); err != nil {
		t.Fatal(err)
	}
	conns := pool.AcquireAllIdle(t.Context())
	for len(conns) < 2 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := pool.Acquire(ctx); err == nil {
		t.Fatal("a pool of two connections gave three")
	}
	want := map[string]float64{
		"refract_database_connections_max":                   2,
		`refract_database_connections{state="acquired"}`:     2,
		`refract_database_connections{state="constructing"}`: 0,
		`refract_database_connections{state="idle"}`:         0,
	}
	if diff := cmp.Diff(want, metrics.Values(t, "refract_database_connections")); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	if got := metrics.Values(t, "refract_database_acquires")[`refract_database_acquires_total{outcome="canceled"}`]; got != 1 {
		t.Errorf("%v acquires were canceled, want 1", got)
	}
	for _, conn := range conns {
		conn.Release()
	}
	pool.Close() // A scrape needs no connection.
	if n := len(metrics.Values(t, "refract_database_acquire")); n != 4 {
		t.Errorf("%d series are left when the pool is closed, want the 4 counters", n)
	}
}

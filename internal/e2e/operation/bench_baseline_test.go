package operation_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// TestBench_BaselineWritesWhatTheServiceWrites compares the rows that the service writes for one callback and one
// submission with the rows of each shape of the baseline. Each set of rows comes from one transaction.
func TestBench_BaselineWritesWhatTheServiceWrites(t *testing.T) {
	t.Parallel()
	const key = "a key of callback tokens for the baseline"
	f := e2etest.StartFleet(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.CallbackKeys, f.Luma, f.LumaAgents = []redact.Secret{key}, server.Upstream{}, server.Upstream{}
	})
	stores, err := postgres.NewStores(postgres.Config{Pool: f.Pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dataset.HoldSaves(t.Context(), f.Pool), dataset.Prepare(t.Context(), stores.Tasks, f.Pool, 0, 10)); err != nil {
		t.Fatal(err)
	}
	ts := f.Start(t)
	if err := ts.Store(t).Accounts.HoldAccount(t.Context(), "kie", "the submission is compared"); err != nil {
		t.Fatal(err)
	}
	pgbench, err := bench.FindPgbench(f.Config.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}

	ts.PostPrepared(t, key, 1)
	submits := bench.Submits{Address: ts.GRPCAddr(), Token: ts.Token, Callers: 1, For: time.Millisecond}
	if _, err := submits.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var submitted string
	if err := f.Pool.QueryRow(t.Context(), "SELECT id FROM task WHERE tenant = 'acme' LIMIT 1").Scan(&submitted); err != nil {
		t.Fatal(err)
	}
	callbackRows, submitRows := ts.RowsOf(t, bench.TaskID(1)), ts.RowsOf(t, submitted)
	if len(callbackRows) != 5 || len(submitRows) != 2 {
		t.Fatalf("the service wrote %d and %d rows, want 5 and 2", len(callbackRows), len(submitRows))
	}
	for i, script := range bench.CallbackScripts() {
		if _, err := pgbench.Run(t.Context(), bench.PgbenchRun{Script: script, Clients: 1, FirstRow: 2 + i}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(callbackRows, ts.RowsOf(t, bench.TaskID(2+i))); diff != "" {
			t.Errorf("callback as %s (-service +pgbench):\n%s", script.Shape, diff)
		}
	}
	for i, script := range bench.SubmitScripts() {
		if _, err := pgbench.Run(t.Context(), bench.PgbenchRun{Script: script, Clients: 1, FirstRow: 1 + i}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(submitRows, ts.RowsOf(t, fmt.Sprintf("00000000-0000-7000-a000-%012d", 1+i))); diff != "" {
			t.Errorf("submission as %s (-service +pgbench):\n%s", script.Shape, diff)
		}
	}
}

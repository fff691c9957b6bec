package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/bench/dataset"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/task"
)

// TestBench_BaselineWritesWhatTheServiceWrites compares the rows that the service writes for one callback and one
// submission with the rows of each shape of the baseline. Each set of rows comes from one transaction.
func TestBench_BaselineWritesWhatTheServiceWrites(t *testing.T) {
	t.Parallel()
	const key = "a key of callback tokens for the baseline"
	f := startFleet(t, func(f *server.Config, _ *simConfig) {
		f.CallbackKeys, f.Luma, f.LumaAgents = []redact.Secret{key}, server.Upstream{}, server.Upstream{}
	})
	stores, err := postgres.NewStores(postgres.Config{Pool: f.pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dataset.HoldSaves(t.Context(), f.pool), dataset.Prepare(t.Context(), stores.Tasks, f.pool, 0, 10)); err != nil {
		t.Fatal(err)
	}
	ts := f.start(t)
	if err := ts.store(t).Accounts.HoldAccount(t.Context(), "kie", "the submission is compared"); err != nil {
		t.Fatal(err)
	}
	pgbench, err := bench.FindPgbench(strings.TrimSuffix(f.flags.DatabaseURL.Reveal(), fewConnections))
	if err != nil {
		t.Fatal(err)
	}

	ts.postPrepared(t, key, 1)
	submits := bench.Submits{Address: ts.GRPCAddr(), Token: ts.token, Callers: 1, For: time.Millisecond}
	if _, err := submits.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var submitted string
	if err := f.pool.QueryRow(t.Context(), "SELECT id FROM task WHERE tenant = 'acme' LIMIT 1").Scan(&submitted); err != nil {
		t.Fatal(err)
	}
	callbackRows, submitRows := ts.rowsOf(t, bench.TaskID(1)), ts.rowsOf(t, submitted)
	if len(callbackRows) != 5 || len(submitRows) != 2 {
		t.Fatalf("the service wrote %d and %d rows, want 5 and 2", len(callbackRows), len(submitRows))
	}
	for i, script := range bench.CallbackScripts() {
		if _, err := pgbench.Run(t.Context(), bench.PgbenchRun{Script: script, Clients: 1, FirstRow: 2 + i}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(callbackRows, ts.rowsOf(t, bench.TaskID(2+i))); diff != "" {
			t.Errorf("callback as %s (-service +pgbench):\n%s", script.Shape, diff)
		}
	}
	for i, script := range bench.SubmitScripts() {
		if _, err := pgbench.Run(t.Context(), bench.PgbenchRun{Script: script, Clients: 1, FirstRow: 1 + i}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(submitRows, ts.rowsOf(t, fmt.Sprintf("00000000-0000-7000-a000-%012d", 1+i))); diff != "" {
			t.Errorf("submission as %s (-service +pgbench):\n%s", script.Shape, diff)
		}
	}
}

// postPrepared posts the callback about a prepared row.
func (ts *testService) postPrepared(t *testing.T, key string, n int) {
	t.Helper()
	tokens, err := callback.NewTokens([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Make("kie", task.AttemptID(bench.AttemptID(n)))
	if err != nil {
		t.Fatal(err)
	}
	id, now := bench.ProviderTaskID(n), strconv.FormatInt(time.Now().Unix(), 10)
	status, _, answer := request(t, http.MethodPost, "http://"+ts.IngressAddr()+"/v1/callbacks/kie/"+token, bench.CallbackBody(id),
		"Content-Type", "application/json", "X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(testWebhookKey, id, now))
	if status != http.StatusOK {
		t.Fatalf("the callback was answered %d: %s", status, answer)
	}
}

// rowsOf returns the rows that the last change of a task wrote in one transaction, by table, without values that differ
// from task to task. Of a time it keeps only whether it is set.
func (ts *testService) rowsOf(t *testing.T, id string) map[string]map[string]any {
	t.Helper()
	var text []byte
	err := ts.pool.QueryRow(t.Context(), `
		WITH changed AS (SELECT *, xmin FROM task WHERE id = $1)
		SELECT jsonb_strip_nulls(jsonb_build_object(
			'task', (SELECT to_jsonb(changed) FROM changed),
			'task_event', (SELECT to_jsonb(e) FROM task_event AS e, changed WHERE e.task_id = changed.id AND e.xmin = changed.xmin),
			'attempt', (SELECT to_jsonb(a) FROM attempt AS a, changed WHERE a.task_id = changed.id AND a.xmin = changed.xmin),
			'callback', (SELECT to_jsonb(c) FROM callback AS c, changed
			             WHERE c.attempt_id = changed.result_attempt AND c.xmin = changed.xmin),
			'river_job', (SELECT to_jsonb(j) FROM river_job AS j, changed
			              WHERE j.args ->> 'attempt_id' = changed.result_attempt::text AND j.xmin = changed.xmin)))`, id).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	var rows map[string]map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), id[len(id)-12:], "n")), &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		maps.DeleteFunc(row, func(column string, _ any) bool {
			switch column {
			case "id", "task_id", "xmin", "tenant", "request_id", "position", "body":
				return true
			}
			return false
		})
		for column := range row {
			if strings.HasSuffix(column, "_time") || strings.HasSuffix(column, "_at") {
				row[column] = true
			}
		}
	}
	return rows
}

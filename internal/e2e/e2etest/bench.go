package e2etest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/callback"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/task"
)

// PostPrepared posts the callback about a prepared row.
func (ts *Service) PostPrepared(t *testing.T, key string, n int) {
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
	status, _, answer := Request(t, http.MethodPost, "http://"+ts.IngressAddr()+"/v1/callbacks/kie/"+token, bench.CallbackBody(id),
		"Content-Type", "application/json", "X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(WebhookKey, id, now))
	if status != http.StatusOK {
		t.Fatalf("the callback was answered %d: %s", status, answer)
	}
}

// RowsOf returns the rows that the last change of a task wrote in one transaction, by table, without values that differ
// from task to task. Of a time it keeps only whether it is set.
func (ts *Service) RowsOf(t *testing.T, id string) map[string]map[string]any {
	t.Helper()
	var text []byte
	err := ts.Pool.QueryRow(t.Context(), `
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

// Quantile returns the time below which a share q of the times lies.
func Quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

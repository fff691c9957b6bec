package operation_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestBench_MeasuresBudgets runs two small sections on the database of the tests. Each row must appear with its
// baseline; the figures mean nothing. It skips the sections that need many rows, seconds of pgbench, a large file or
// their own database. The rules of those rows are tested in internal/bench.
func TestBench_MeasuresBudgets(t *testing.T) {
	t.Parallel()
	short := new(bench.ShortError).ExitStatus()
	cmd := e2etest.Refract(t.Context(), t, "bench", "--json", "--for=50ms", "--rounds=1", "--streams=20", "--only=idle,watch", "--database-url="+e2etest.FewConnections(postgrestest.EmptyURL(t)))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != short {
		t.Fatalf("bench: %v\n%s", err, &errs)
	}
	var report bench.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("bench printed no report: %v\n%s", err, &out)
	}
	if isShort := report.Check() != nil; isShort != (cmd.ProcessState.ExitCode() == short) {
		t.Errorf("exit status %d, with budgets that are short: %t", cmd.ProcessState.ExitCode(), isShort)
	}
	if report.Fsync == "" || report.SyncCommit == "" || report.PostgreSQL == "" {
		t.Errorf("measured on %+v, want a description of the server", report)
	}
	for _, want := range []string{
		"SubmitTask to provider's POST", "callback to watcher's message", "peak memory", "event to watcher, p99", "notification lost", "drain",
	} {
		if !slices.ContainsFunc(report.Rows, func(row bench.Row) bool { return strings.Contains(row.Budget, want) }) {
			t.Errorf("no row is about %q", want)
		}
	}
	for _, row := range report.Rows {
		if row.Figure <= 0 || row.Need == "" || (row.Unit != "MiB" && (row.By == "" || row.Baseline <= 0)) {
			t.Errorf("the row %+v lacks a figure or its baseline", row)
		}
	}
}

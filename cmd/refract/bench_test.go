package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/bench"
)

// TestBench_MeasuresBudgets runs measurements small, where no figure means anything: each must come, with its baseline.
// Those that need many rows, seconds of pgbench or a large file are left out.
func TestBench_MeasuresBudgets(t *testing.T) {
	t.Parallel()
	cmd := program(t.Context(), "bench", "--json", "--for=300ms", "--rounds=1", "--streams=50", "--only=start,idle,watch")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("bench: %v\n%s", err, &errs)
	}
	var report bench.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("bench printed no report: %v\n%s", err, &out)
	}
	if report.Fsync != "on" || report.SyncCommit != "on" || report.PostgreSQL == "" {
		t.Errorf("measured on %+v, want a PostgreSQL that syncs", report)
	}
	for _, want := range []string{
		"start of the program", "SubmitTask to provider's POST", "callback to watcher's message", "peak memory", "event to watcher, 1000", "notification lost", "drain",
	} {
		found := false
		for _, row := range report.Rows {
			found = found || strings.Contains(row.Budget, want)
		}
		if !found {
			t.Errorf("no row is about %q", want)
		}
	}
	for _, row := range report.Rows {
		if row.Figure <= 0 || row.Need == "" || (row.By != "" && row.Baseline <= 0) {
			t.Errorf("the row %+v lacks a figure", row)
		}
	}
}

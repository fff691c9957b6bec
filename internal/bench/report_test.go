package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/bench"
)

func TestRow_PassesAtItsBound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		row   bench.Row
		ratio float64
		pass  bool
	}{
		"rate at the bound":   {bench.AtLeast("b", "/s", 70, 100, "pgbench", 0.7), 0.7, true},
		"rate below":          {bench.AtLeast("b", "/s", 69, 100, "pgbench", 0.7), 0.69, false},
		"cost at the bound":   {bench.WithinTimes("b", "ms", 13, 10, "with 10", 1.3), 1.3, true},
		"cost above":          {bench.WithinTimes("b", "ms", 14, 10, "with 10", 1.3), 1.4, false},
		"memory at the bound": {bench.AtMost("b", "MiB", 50, 50), 0, true},
		"memory above":        {bench.AtMost("b", "MiB", 51, 50), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.row.Ratio != tc.ratio || tc.row.Pass != tc.pass {
				t.Errorf("ratio %g, pass %t; want %g, %t", tc.row.Ratio, tc.row.Pass, tc.ratio, tc.pass)
			}
		})
	}
}

func TestRow_PassesWithoutItsGoal(t *testing.T) {
	t.Parallel()
	if row := bench.AtLeast("b", "/s", 85, 100, "pgbench", 0.8).Aiming(1); !row.Pass || row.Goal != 1 {
		t.Errorf("the row %+v, want one that passes and shows the goal 1", row)
	}
}

func TestReport_CheckNamesTheBudgetsThatAreShort(t *testing.T) {
	t.Parallel()
	met, short := bench.AtLeast("callbacks", "/s", 80, 100, "x", 0.8), bench.AtLeast("submits", "/s", 79, 100, "x", 0.8)
	if err := (bench.Report{Rows: []bench.Row{met, met}}).Check(); err != nil {
		t.Errorf("a report that meets its budgets: %v, want no error", err)
	}
	err := bench.Report{Rows: []bench.Row{met, short, met}}.Check()
	var shortErr *bench.ShortError
	if !errors.As(err, &shortErr) || !slices.Equal(shortErr.Short, []string{"submits"}) || shortErr.Rows != 3 {
		t.Errorf("a report with a short budget: %v, want a *ShortError that names submits", err)
	}
}

func TestMedian_IsByRatio(t *testing.T) {
	t.Parallel()
	turns := []bench.Row{
		bench.AtLeast("b", "/s", 900, 300, "x", 1), bench.AtLeast("b", "/s", 100, 100, "x", 1), bench.AtLeast("b", "/s", 50, 25, "x", 1),
	}
	if m := bench.Median(turns); m.Ratio != 2 || m.Figure != 50 {
		t.Errorf("the median turn is %+v, want the one with ratio 2", m)
	}
}

func TestReport_Prints(t *testing.T) {
	t.Parallel()
	r := bench.Report{CPUs: 2, PostgreSQL: "15", Fsync: "on", SyncCommit: "on", Rows: []bench.Row{
		bench.AtLeast("callbacks", "/s", 3000, 2500, "pgbench, 8 clients", 1).Noting("p99 %d ms", 40),
		bench.AtLeast("submits", "/s", 900, 1000, "pgbench, 8 clients", 0.8).Aiming(1), bench.AtMost("memory", "MiB", 51.23, 50),
	}}
	var table, encoded bytes.Buffer
	if err := r.Print(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3000 /s", "2500 /s (pgbench, 8 clients)", "1.20", "ratio ≥ 1", "ratio ≥ 0.8 (goal 1)", "pass (p99 40 ms)", "51.2 MiB", "≤ 50 MiB", "SHORT", "fsync on"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is missing in the table:\n%s", want, &table)
		}
	}
	if err := r.PrintJSON(&encoded); err != nil {
		t.Fatal(err)
	}
	var back bench.Report
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("the JSON says something else (-want +got):\n%s", diff)
	}
}

func TestMemory_OfThisProcessIsRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		if _, err := bench.ResidentMiB(os.Getpid()); err == nil {
			t.Error("no error on a system that does not tell")
		}
		return
	}
	now, err := bench.ResidentMiB(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	peak, err := bench.PeakMiB(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if now < 1 || peak < 1 {
		t.Errorf("%g MiB are in use and %g were, want some", now, peak)
	}
}

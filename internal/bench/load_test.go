package bench_test

import (
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/bench"
)

// turn is one turn of pgbench, with 1000 a second, and of a load with few callers and one with many.
func turn(few, many float64, p99 time.Duration) bench.Turn {
	script := bench.CallbackScripts()[1]
	return bench.Turn{
		Baseline: bench.Trial{Script: script, Clients: 16, Rate: bench.Rate{PerSecond: 1000}},
		Rates:    []bench.Rate{{PerSecond: few, P50: 2 * time.Millisecond, P99: 9 * time.Millisecond}, {PerSecond: many, P99: p99}},
	}
}

func TestLoadRows_MeasureFewCallersByPgbenchAndManyByFew(t *testing.T) {
	t.Parallel()
	loads := []bench.Load{
		{Name: "64 connections", Callers: 64, Floor: 0.8, Goal: 1},
		{Name: "512 connections", Callers: 512, Floor: 1.3, Goal: 1.5, Than: "64 connections"},
	}
	for name, tt := range map[string]struct {
		turns  []bench.Turn
		passes []bool // Few callers, many callers, and their 99th percentile.
		ratios []float64
	}{
		// 1024 a second by 512 callers are 500 ms on average.
		"at the floors":     {[]bench.Turn{turn(800, 1040, 1476*time.Millisecond)}, []bool{true, true, true}, []float64{0.8, 1.3, 3}},
		"few are too slow":  {[]bench.Turn{turn(790, 1040, time.Second)}, []bool{false, true, true}, []float64{0.79, 1.32, 2.03}},
		"many are too slow": {[]bench.Turn{turn(900, 1024, time.Second)}, []bool{true, false, true}, []float64{0.9, 1.14, 2}},
		"long waits":        {[]bench.Turn{turn(700, 1024, 1600*time.Millisecond)}, []bool{false, true, false}, []float64{0.7, 1.46, 3.2}},
		"the median counts": {
			[]bench.Turn{turn(100, 1024, time.Minute), turn(850, 1190, time.Second), turn(900, 1024, time.Millisecond)},
			[]bool{true, true, true},
			[]float64{0.85, 1.4, 2.32},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := bench.LoadRows("callbacks", loads, tt.turns)
			if len(rows) != 3 {
				t.Fatalf("%d rows, want 3: %+v", len(rows), rows)
			}
			for i, row := range rows {
				if d := row.Ratio - tt.ratios[i]; row.Pass != tt.passes[i] || d < -0.006 || d > 0.006 {
					t.Errorf("%s: ratio %.2f, pass %t; want %.2f, %t", row.Budget, row.Ratio, row.Pass, tt.ratios[i], tt.passes[i])
				}
			}
		})
	}
}

func TestLoadRows_NameTheShapeThatWonAndTheGoals(t *testing.T) {
	t.Parallel()
	rows := bench.LoadRows("callbacks", []bench.Load{
		{Name: "64 connections", Callers: 64, Floor: 0.8, Goal: 1},
		{Name: "512 connections", Callers: 512, Floor: 1.3, Goal: 1.5, Than: "64 connections"},
	}, []bench.Turn{turn(900, 1300, time.Second)})
	if few := rows[0]; few.By != "pgbench, one statement, 16 clients" || few.Goal != 1 || few.Note != "p50 2.0 ms, p99 9.0 ms" {
		t.Errorf("the row of few callers is %+v", few)
	}
	if many := rows[1]; many.By != "64 connections" || many.Goal != 0 || !strings.HasPrefix(many.Note, "1.30 × pgbench, goal 1.5; ") {
		t.Errorf("the row of many callers is %+v", many)
	}
	if tail := rows[2]; tail.Budget != "callbacks, 512 connections, p99" || tail.By != "callers / rate" {
		t.Errorf("the row of their latency is %+v", tail)
	}
}

package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/bench"
)

// passes returns which rows pass.
func passes(rows []bench.Row) (passed []bool) {
	for _, row := range rows {
		passed = append(passed, row.Pass)
	}
	return passed
}

func TestPath_ComparesWithCommitsAndOnePost(t *testing.T) {
	t.Parallel()
	path := bench.Path{Commits: 3, P50: 2, P99: 4, Goal: 1}
	call := func(d time.Duration) bench.Call {
		return func(context.Context, int) (time.Duration, error) { return d, nil }
	}
	if d, err := path.Baseline(call(2*time.Millisecond), call(time.Millisecond))(t.Context(), 0); err != nil || d != 7*time.Millisecond {
		t.Errorf("3 commits of 2 ms and a POST of 1 ms took %s, %v; want 7ms", d, err)
	}
	baseline := bench.Latency{P50: 10 * time.Millisecond, P99: 20 * time.Millisecond}
	// A machine that is twice as slow has a baseline that is twice as slow, and the same ratios.
	for name, tt := range map[string]struct {
		p50, p99 time.Duration
		want     []bool
	}{
		"at the bounds":     {20 * time.Millisecond, 80 * time.Millisecond, []bool{true, true}},
		"a slow median":     {21 * time.Millisecond, 80 * time.Millisecond, []bool{false, true}},
		"a slow percentile": {20 * time.Millisecond, 81 * time.Millisecond, []bool{true, false}},
	} {
		for _, slower := range []time.Duration{1, 2} {
			rows := path.Rows("b", bench.Latency{P50: slower * tt.p50, P99: slower * tt.p99}, bench.Latency{P50: slower * baseline.P50, P99: slower * baseline.P99})
			if diff := cmp.Diff(tt.want, passes(rows)); diff != "" {
				t.Errorf("%s, %d times slower (-want +got):\n%s", name, slower, diff)
			}
			if rows[0].By != "3 durable commits + 1 POST" || rows[0].Goal != 1 {
				t.Errorf("%s: the row is %+v", name, rows[0])
			}
		}
	}
}

func TestMeasure_LetsCallsTakeTurns(t *testing.T) {
	t.Parallel()
	var order strings.Builder
	call := func(name string, d time.Duration) bench.Call {
		return func(context.Context, int) (time.Duration, error) {
			order.WriteString(name)
			return d, nil
		}
	}
	got, err := bench.Measure(t.Context(), 2, call("a", time.Second), call("b", time.Minute))
	want := []bench.Latency{{time.Second, time.Second, time.Second}, {time.Minute, time.Minute, time.Minute}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("measured %v (-want +got):\n%s", err, diff)
	}
	if order.String() != "abababab" {
		t.Errorf("the calls came as %q, want them in turn, and as many to warm up", &order)
	}
	down := errors.New("down")
	if _, err := bench.Measure(t.Context(), 2, bench.Timed(func(context.Context) error { return down })); !errors.Is(err, down) {
		t.Errorf("a call that fails: %v, want %v", err, down)
	}
}

// watched is a result of streams that is at all bounds.
func watched() bench.WatchResult {
	return bench.WatchResult{
		Streams: 1000, PeakMiB: 2048, Opened: 8 * time.Second, Drained: 2 * time.Second, Sweep: 500 * time.Millisecond,
		Notified: bench.FanOut{Latency: bench.Latency{P99: 80 * time.Millisecond}, Commit: bench.Latency{P99: 10 * time.Millisecond}},
		Lost:     bench.FanOut{Latency: bench.Latency{P99: 1020 * time.Millisecond}, Commit: bench.Latency{P50: 10 * time.Millisecond}},
	}
}

func TestWatchResult_IsMeasuredByTheSameRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*bench.WatchResult)
		want   []bool // Memory, fan-out, lost notifications, drain.
	}{
		"at the bounds":         {func(*bench.WatchResult) {}, []bool{true, true, true, true}},
		"more memory":           {func(w *bench.WatchResult) { w.PeakMiB++ }, []bool{false, true, true, true}},
		"a slow fan-out":        {func(w *bench.WatchResult) { w.Notified.P99 += time.Millisecond }, []bool{true, false, true, true}},
		"a slow database":       {func(w *bench.WatchResult) { w.Notified.P99 *= 2; w.Notified.Commit.P99 *= 2 }, []bool{true, true, true, true}},
		"a slow sweep":          {func(w *bench.WatchResult) { w.Lost.P99 += time.Millisecond }, []bool{true, true, false, true}},
		"a slow drain":          {func(w *bench.WatchResult) { w.Drained += time.Millisecond }, []bool{true, true, true, false}},
		"a slow drain and open": {func(w *bench.WatchResult) { w.Drained *= 2; w.Opened *= 2 }, []bool{true, true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watched()
			tt.change(&w)
			if diff := cmp.Diff(tt.want, passes(w.Rows())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package watch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/metrictest"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// TestMetrics_MeasureStreamsThatWait has a stream of each kind, an event that both were waiting for, and an outage.
func TestMetrics_MeasureStreamsThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := metrictest.New(t)
		m, err := watch.NewMetrics(metrics, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		r := setup(t, watch.Config{Metrics: m})
		value := func(series string) float64 { return metrics.Values(t, series)[series] }
		r.append(id, task.Queued)
		pass(time.Minute)
		s, _ := r.watch(t, 0, nil), r.follow(t, nil) // The first event is history to both.
		pass(time.Second)
		want := map[string]float64{`refract_watch_streams{kind="task"}`: 1, `refract_watch_streams{kind="tenant"}`: 1}
		if diff := cmp.Diff(want, metrics.Values(t, "refract_watch_streams")); diff != "" {
			t.Errorf("streams (-want +got):\n%s", diff)
		}
		if n := value("refract_watch_lag_seconds_count"); n != 0 {
			t.Errorf("%v events of the history are measured", n)
		}
		r.append(id, task.Running) // Without a wake: the next sweep finds it.
		pass(time.Second)
		s.wantRevisions(t, 1, 2)
		if n, sum := value("refract_watch_lag_seconds_count"), value("refract_watch_lag_seconds_sum"); n != 2 || sum > 2*0.51 {
			t.Errorf("%v events took %v seconds, want 2 that took half a second at most", n, sum)
		}
		if age := value("refract_watch_sweep_age_seconds"); age > 0.51 {
			t.Errorf("the log was read %v seconds ago, want half a second at most", age)
		}
		r.setDown(true)
		pass(10 * time.Second)
		if age := value("refract_watch_sweep_age_seconds"); age < 9 {
			t.Errorf("during an outage the log was read %v seconds ago, want ten", age)
		}
		if n := value(`refract_watch_read_seconds_count{outcome="failed",reader="sweep"}`); n == 0 {
			t.Error("no read of a sweep failed")
		}
		s.cancel()
		synctest.Wait()
		if n := value(`refract_watch_streams{kind="task"}`); n != 0 {
			t.Errorf("%v streams are left after the end of the only one", n)
		}
	})
}

package notify

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/refract-video/refract/internal/task"
)

// values returns the values of counters and gauges by name and label, and the counts of histograms.
func values(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					for _, label := range p.Attributes.ToSlice() {
						got[m.Name+" "+label.Value.AsString()] = p.Value
					}
				}
			case metricdata.Gauge[int64]:
				got[m.Name] = data.DataPoints[0].Value
			case metricdata.Histogram[float64]:
				got[m.Name] = int64(data.DataPoints[0].Count)
			}
		}
	}
	return got
}

func TestMetrics_CountAttemptsAndTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(endpointOf(idA, "a"), endpointOf(idB, "b"))
		endpoints := &receiver{answer: func(_ context.Context, r request) (int, error) {
			if r.url == store.endpoints[idA].URL {
				return 200, nil
			}
			return 0, errors.New("broken")
		}}
		cfg, _, secrets := config(t, store, &http.Client{Transport: endpoints})
		reader := sdkmetric.NewManualReader()
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		cfg.Meter = provider.Meter("refract")
		for _, e := range store.endpoints {
			e.Secrets = secrets
		}
		store.add(idA, "good", task.Running, task.Succeeded)
		store.add(idB, "bad", task.Succeeded)
		s := newSender(t, cfg)
		run(t, s)
		wait(3 * time.Second)
		for name, want := range map[string]int64{
			"refract_webhook_attempts succeeded": 2, "refract_webhook_attempts malformed": 1, "refract_webhook_deliveries SUCCEEDED": 2,
			"refract_webhook_first_attempt_lag": 3, "refract_webhook_delivery_lag": 2,
			"refract_webhook_backlog": 1, "refract_webhook_oldest_event": 3, "refract_webhook_disabled_endpoints": 0,
		} {
			if got := values(t, reader)[name]; got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
		store.mu.Lock()
		store.endpoints[idB].Disabled = DisabledFailing
		store.mu.Unlock()
		if got := values(t, reader)["refract_webhook_disabled_endpoints"]; got != 0 {
			t.Errorf("%d disabled endpoints, want the value of before: two scrapes cost one query", got)
		}
		wait(backlogAge)
		if got := values(t, reader)["refract_webhook_disabled_endpoints"]; got != 1 {
			t.Errorf("%d disabled endpoints after %v, want 1", got, backlogAge)
		}
	})
}

func TestBacklogs_AFailureCostsOneTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := true
		b := &backlogs{now: time.Now, read: func(ctx context.Context) (Backlog, error) {
			if slow {
				<-ctx.Done()
				return Backlog{}, ctx.Err()
			}
			return Backlog{Pending: 7}, nil
		}}
		began := time.Now()
		for range 3 {
			if _, err := b.recent(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the backlog of a slow database: %v", err)
			}
		}
		if took := time.Since(began); took != backlogTimeout {
			t.Errorf("three metrics took %v, want %v", took, backlogTimeout)
		}
		slow = false
		wait(backlogAge)
		if got, err := b.recent(t.Context()); err != nil || got.Pending != 7 {
			t.Errorf("later the backlog is %+v, %v", got, err)
		}
	})
}

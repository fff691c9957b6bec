package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/metrictest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// counter counts one fleet, or fails.
type counter struct {
	census admission.Census

	mu    sync.Mutex
	err   error
	calls int
}

func (c *counter) Census(context.Context, admission.AccountLimits) (admission.Census, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return c.census, c.err
}

// fail makes counts fail with an error, or succeed with nil.
func (c *counter) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *counter) counted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// runCensus runs a census, and calls a function with its metrics.
func runCensus(t *testing.T, c *counter, log *strings.Builder, look func(*metrictest.Metrics)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		metrics := metrictest.New(t)
		census, err := dispatch.NewCensus(dispatch.CensusConfig{
			Counter: c, Providers: []string{"kie"}, Meter: metrics, Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- census.Run(ctx) }()
		synctest.Wait()
		look(metrics)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

func TestCensus_ShowsWhatWasCounted(t *testing.T) {
	t.Parallel()
	c := &counter{census: admission.Census{
		Groups: []admission.TaskGroup{
			{Provider: "kie", State: task.Queued, Tasks: 3, Oldest: time.Minute},
			{Provider: "kie", State: task.Queued, Cause: task.WaitSource, Tasks: 2, Oldest: time.Hour},
			{Provider: "gone", State: task.Running, Tasks: 1, Oldest: time.Second},
		},
		Accounts: []admission.Account{{Provider: "kie", Unknown: 4, Usage: admission.Usage{
			Account: "kie", Limits: provider.Limits{Submissions: 20, InFlight: 100}, Unanswered: 2, Recent: 18, InFlight: 30, Paused: true, Held: true,
		}}},
	}}
	runCensus(t, c, &strings.Builder{}, func(metrics *metrictest.Metrics) {
		for range 3 { // However often it is scraped.
			want := map[string]float64{
				`refract_tasks{provider="kie",state="QUEUED"}`: 5, `refract_tasks{provider="kie",state="SUBMITTING"}`: 0,
				`refract_tasks{provider="kie",state="RUNNING"}`: 0, `refract_tasks{provider="kie",state="SAVING"}`: 0,
				`refract_tasks{provider="gone",state="RUNNING"}`: 1,
			}
			if diff := cmp.Diff(want, metrics.Values(t, "refract_tasks{")); diff != "" {
				t.Errorf("tasks (-want +got):\n%s", diff)
			}
		}
		for series, want := range map[string]float64{
			`refract_task_oldest_age_seconds{provider="kie",state="QUEUED"}`:          3600,
			`refract_tasks_waiting{cause="PROVIDER_PAUSED",provider="kie"}`:           3,
			`refract_tasks_waiting{cause="SOURCE",provider="kie"}`:                    2,
			`refract_admission_permits{account="kie",limit="window",state="used"}`:    20,
			`refract_admission_permits{account="kie",limit="window",state="free"}`:    0,
			`refract_admission_permits{account="kie",limit="in_flight",state="used"}`: 30,
			`refract_admission_permits{account="kie",limit="in_flight",state="free"}`: 70,
			`refract_admission_paused{account="kie",by="operator"}`:                   1,
			`refract_admission_paused{account="kie",by="service"}`:                    0,
			`refract_attempts_unconfirmed{account="kie"}`:                             4,
		} {
			if got, ok := metrics.Values(t, series)[series]; !ok || got != want {
				t.Errorf("%s is %v (%t), want %v", series, got, ok, want)
			}
		}
		if n := c.counted(); n != 1 {
			t.Errorf("scrapes have counted %d times, want once", n)
		}
	})
}

// TestCensus_ADatabaseThatFailsLeavesNoOldNumbers stops the database after the first count.
func TestCensus_ADatabaseThatFailsLeavesNoOldNumbers(t *testing.T) {
	t.Parallel()
	c, log := &counter{}, &strings.Builder{}
	runCensus(t, c, log, func(metrics *metrictest.Metrics) {
		shown := func() int { return len(metrics.Values(t, "refract_tasks{")) }
		c.fail(errors.New("no database"))
		time.Sleep(50 * time.Second) //nolint:forbidigo // The time of synctest.
		if shown() == 0 {
			t.Error("the last count is not shown for a minute")
		}
		time.Sleep(time.Minute) //nolint:forbidigo // The time of synctest.
		if n := shown(); n != 0 {
			t.Errorf("%d series are shown of a count that is too old", n)
		}
		c.fail(nil)
		time.Sleep(20 * time.Second) //nolint:forbidigo // The time of synctest.
		if shown() == 0 {
			t.Error("nothing is shown after the database came back")
		}
	})
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d failures are logged, want one:\n%s", n, log)
	}
}

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/refract-video/refract/internal/task"
)

const (
	idA = EndpointID("0190b0a8-5a0b-7c1e-8f00-00000000000a")
	idB = EndpointID("0190b0a8-5a0b-7c1e-8f00-00000000000b")
)

// fixture is a sender over a stand-in, in a bubble of synctest.
type fixture struct {
	*receiver

	store  *memory
	sender *Sender
	secret string
	log    *bytes.Buffer
}

func newFixture(t *testing.T, endpoints ...Endpoint) *fixture {
	t.Helper()
	b := &fixture{receiver: &receiver{}, log: &bytes.Buffer{}}
	b.store = newMemory(endpoints...)
	cfg, secret, secrets := config(t, b.store, &http.Client{Transport: b.receiver})
	cfg.Log = slog.New(slog.NewTextHandler(b.log, nil))
	for _, e := range b.store.endpoints {
		e.Secrets = secrets
	}
	b.sender, b.secret = newSender(t, cfg), secret
	return b
}

func endpointOf(id EndpointID, tenant string) Endpoint {
	return Endpoint{ID: id, Tenant: tenant, URL: "https://" + tenant + ".example/hook?key=hidden"}
}

// rowOf returns the delivery of a task's event.
func (b *fixture) rowOf(id EndpointID, event EventID) row {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	i := slices.IndexFunc(b.store.rows[id], func(r *row) bool { return r.Event == event })
	return *b.store.rows[id][i]
}

func (b *fixture) endpointAt(id EndpointID) Endpoint {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return *b.store.endpoints[id]
}

func TestRun_SendsSignedEventsInTheOrderOfTheirTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.store.add(idA, "t1", task.Queued, task.Running, task.Saving, task.Succeeded)
		run(t, b.sender)
		wait(10 * time.Second)
		want := []string{"evt_t1_1", "evt_t1_2", "evt_t1_3", "evt_t1_4"}
		if diff := cmp.Diff(want, b.ids()); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
		wh, err := standardwebhooks.NewWebhook(b.secret)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range b.received() {
			if err := wh.VerifyIgnoringTimestamp(got.body, got.header); err != nil {
				t.Errorf("event %d: %v", i+1, err)
			}
			var event struct {
				Type      string
				Timestamp time.Time
				Data      struct{ State, Revision string }
			}
			if err := json.Unmarshal(got.body, &event); err != nil {
				t.Fatalf("body %s: %v", got.body, err)
			}
			r := b.rowOf(idA, EventID{"t1", int64(i + 1)})
			if event.Type != EventType(r.TaskState) || !event.Timestamp.Equal(r.EventTime) || event.Data.State != string(r.TaskState) || event.Data.Revision != fmt.Sprint(i+1) {
				t.Errorf("event %d is %s", i+1, got.body)
			}
			if r.State != DeliverySucceeded || r.attempts[0].Answer != "thanks" || r.attempts[0].Status != 200 {
				t.Errorf("event %d is %s with %+v", i+1, r.State, r.attempts)
			}
		}
	})
}

func TestRun_RepeatsAFailedEventBeforeLaterOnesOfItsTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		failing := atomic.Bool{}
		failing.Store(true)
		b.answer = func(_ context.Context, r request) (int, error) {
			if failing.Load() && strings.Contains(string(r.body), `"t1"`) {
				return 500, nil
			}
			return 204, nil
		}
		b.store.add(idA, "t1", task.Running, task.Succeeded)
		b.store.add(idA, "t2", task.Succeeded)
		run(t, b.sender)
		wait(3 * time.Second)
		failing.Store(false)
		wait(10 * time.Second)
		got := b.ids()
		slices.Sort(got[:2]) // Different tasks have no order.
		if diff := cmp.Diff([]string{"evt_t1_1", "evt_t2_1", "evt_t1_1", "evt_t1_2"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if r := b.rowOf(idA, EventID{"t1", 1}); r.attempts[0].Error != "the endpoint answered with status 500 Internal Server Error" {
			t.Errorf("first attempt %+v", r.attempts[0])
		}
	})
}

func TestRun_GivesUpAfterTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) { return 500, nil }
		b.store.add(idA, "t1", task.Succeeded)
		run(t, b.sender)
		wait(40 * time.Hour)
		r := b.rowOf(idA, EventID{"t1", 1})
		if r.State != DeliveryFailed || len(r.attempts) != MaxAttempts {
			t.Fatalf("the delivery is %s after %d attempts, want FAILED after %d", r.State, len(r.attempts), MaxAttempts)
		}
		for i, pause := range schedule {
			got := r.attempts[i+1].StartTime.Sub(r.attempts[i].StartTime)
			least, most := pause*9/10, pause*11/10+maxPause+2*time.Second // The circuit breaker may be open for a while.
			if got < least || got > most {
				t.Errorf("pause %d is %v, want about %v", i+1, got, pause)
			}
		}
	})
}

// The database takes no result while it is down, so the event is sent again after its lease, with the same id.
func TestRun_SendsAgainWhatItCouldNotRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) {
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			b.store.down = len(b.ids()) == 1
			return 200, nil
		}
		b.store.add(idA, "t1", task.Succeeded)
		run(t, b.sender)
		wait(lease + 5*time.Second)
		b.store.mu.Lock()
		b.store.down = false
		b.store.mu.Unlock()
		wait(5 * time.Second)
		if diff := cmp.Diff([]string{"evt_t1_1", "evt_t1_1"}, b.ids()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if r := b.rowOf(idA, EventID{"t1", 1}); r.State != DeliverySucceeded {
			t.Errorf("the delivery is %s", r.State)
		}
		if n := strings.Count(b.log.String(), "can't be stored"); n != 1 {
			t.Errorf("%d lines about the results, want 1:\n%s", n, b.log)
		}
	})
}

func TestRun_KeepsAResultWhileTheDatabaseRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) {
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			b.store.down = true
			return 200, nil
		}
		b.store.add(idA, "t1", task.Succeeded)
		run(t, b.sender)
		wait(10 * time.Second)
		b.store.mu.Lock()
		b.store.down = false
		b.store.mu.Unlock()
		wait(2 * lease)
		if r := b.rowOf(idA, EventID{"t1", 1}); r.State != DeliverySucceeded || len(b.ids()) != 1 {
			t.Errorf("the delivery is %s after %d requests, want SUCCEEDED after 1", r.State, len(b.ids()))
		}
	})
}

// Tenant a has a large backlog at an endpoint that never answers. The event of tenant b does not wait for it.
func TestRun_ADeadEndpointDoesNotDelayAnotherTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"), endpointOf(idB, "b"))
		b.answer = func(ctx context.Context, r request) (int, error) {
			if strings.Contains(r.url, "//b.") {
				return 200, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}
		for i := range 20_000 {
			b.store.add(idA, task.ID(fmt.Sprintf("a%d", i)), task.Succeeded)
		}
		run(t, b.sender)
		for i := range 20 {
			id := task.ID(fmt.Sprintf("b%d", i))
			wait(13 * time.Second)
			b.store.add(idB, id, task.Succeeded)
			wait(tick)
			synctest.Wait()
			if r := b.rowOf(idB, EventID{id, 1}); r.State != DeliverySucceeded {
				t.Fatalf("event %d of b is %s after a round", i, r.State)
			}
		}
		// 4 requests at first, 4 more before the breaker opens at most, and then one for each pause.
		if n := len(b.ids()) - 20; n > 2*startRequests+20 {
			t.Errorf("%d requests to the dead endpoint", n)
		}
		if r := b.rowOf(idA, EventID{"a0", 1}); r.attempts[0].Error != "no answer within 15 seconds" || r.attempts[0].Status != 0 {
			t.Errorf("the first attempt is %+v", r.attempts[0])
		}
	})
}

// What waits for the rate limit of an endpoint does not wait for the next look at all endpoints.
func TestRun_UsesTheRateLimit(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 3, 8, 40} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := endpointOf(idA, "a")
				e.RateLimit = rate
				b := newFixture(t, e)
				for i := range 20 * rate {
					b.store.add(idA, task.ID(fmt.Sprintf("t%d", i)), task.Succeeded)
				}
				run(t, b.sender)
				wait(10 * time.Second)
				synctest.Wait()
				if n := len(b.ids()); n < 9*rate || n > 11*rate {
					t.Errorf("%d requests in 10 seconds, want about %d", n, 10*rate)
				}
			})
		})
	}
}

func TestRun_BreakerProbesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		var down atomic.Bool
		down.Store(true)
		b.answer = func(context.Context, request) (int, error) {
			if down.Load() {
				return 0, errors.New("broken")
			}
			return 200, nil
		}
		for i := range 1000 {
			b.store.add(idA, task.ID(fmt.Sprintf("t%d", i)), task.Succeeded)
		}
		run(t, b.sender)
		wait(4 * time.Minute)
		synctest.Wait()
		if n := len(b.ids()); n > 2*startRequests+8 {
			t.Errorf("%d requests within 4 minutes, want those before the breaker opens and one for each pause", n)
		}
		down.Store(false)
		wait(maxPause + time.Minute)
		synctest.Wait()
		e := b.endpointAt(idA)
		if backlog, _ := b.store.Backlog(t.Context()); backlog.Pending > 0 || e.Failures != 0 {
			t.Errorf("%d deliveries wait, and %d failures count after the endpoint has recovered", backlog.Pending, e.Failures)
		}
	})
}

func TestRun_HonoursRetryAfter(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			b := newFixture(t, endpointOf(idA, "a"))
			b.header = http.Header{"Retry-After": {"120"}}
			b.answer = func(context.Context, request) (int, error) {
				if len(b.ids()) == 1 {
					return status, nil
				}
				return 200, nil
			}
			b.store.add(idA, "t1", task.Succeeded)
			run(t, b.sender)
			wait(time.Second)
			b.store.add(idA, "t2", task.Succeeded) // The pause holds for the endpoint, not only for the event.
			wait(3 * time.Minute)
			got := b.received()
			if len(got) != 3 {
				t.Fatalf("%d: %d requests, want 3", status, len(got))
			}
			for _, r := range got[1:] {
				if pause := r.at.Sub(got[0].at); pause < 2*time.Minute {
					t.Errorf("%d: a request after %v, want at least 2 minutes", status, pause)
				}
			}
		})
	}
}

func TestRun_GoneDisablesTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) { return http.StatusGone, nil }
		b.store.add(idA, "t1", task.Succeeded)
		b.store.add(idA, "t2", task.Succeeded, task.Succeeded)
		stop := run(t, b.sender)
		wait(time.Hour)
		stop()
		if e := b.endpointAt(idA); e.Disabled != DisabledGone || len(b.ids()) != 2 {
			t.Errorf("the endpoint is %q after %d requests", e.Disabled, len(b.ids()))
		}
		if r := b.rowOf(idA, EventID{"t1", 1}); r.State != DeliveryPending {
			t.Errorf("the delivery is %s, want PENDING: it continues when the endpoint is enabled", r.State)
		}
		want := `level=WARN msg="webhook endpoint disabled; nothing is sent to it until a caller enables it" endpoint_id=` + string(idA) + ` tenant=a reason=GONE`
		if n := strings.Count(b.log.String(), want); n != 1 {
			t.Errorf("%d lines, want 1 like %s:\n%s", n, want, b.log)
		}
	})
}

// The endpoint without a URL stands for those of many tasks.
func TestRun_TheURIOfOneTaskDoesNotAffectOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, Endpoint{ID: idA, Tenant: "a"})
		b.answer = func(_ context.Context, r request) (int, error) {
			switch {
			case strings.HasSuffix(r.url, "/gone"):
				return http.StatusGone, nil
			case strings.HasSuffix(r.url, "/good"):
				return 200, nil
			default:
				return 500, nil
			}
		}
		for i := range 100 {
			b.store.add(idA, task.ID(fmt.Sprintf("bad%d", i)), task.Succeeded)
		}
		b.store.add(idA, "gone", task.Running, task.Succeeded)
		b.store.add(idA, "good", task.Succeeded)
		run(t, b.sender)
		wait(3 * time.Second)
		synctest.Wait()
		if e := b.endpointAt(idA); e.Disabled != "" || e.Failures != 0 || !e.PausedUntil.IsZero() {
			t.Errorf("the endpoint is %+v", e)
		}
		if r := b.rowOf(idA, EventID{"gone", 1}); r.State != DeliveryFailed || r.Attempts != 1 {
			t.Errorf("the delivery that got 410 is %s after %d attempts", r.State, r.Attempts)
		}
		if r := b.rowOf(idA, EventID{"good", 1}); r.State != DeliverySucceeded {
			t.Errorf("the good one is %s", r.State)
		}
	})
}

func TestRun_StopWaitsForRequestsAndStoresTheirResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) {
			wait(10 * time.Second)
			return 200, nil
		}
		for i := range 10 {
			b.store.add(idA, task.ID(fmt.Sprintf("t%d", i)), task.Succeeded)
		}
		stop := run(t, b.sender)
		wait(time.Second)
		stop()
		done := 0
		for i := range 10 {
			if r := b.rowOf(idA, EventID{task.ID(fmt.Sprintf("t%d", i)), 1}); r.State == DeliverySucceeded {
				done++
			}
		}
		if n := len(b.ids()); n != startRequests || done != n {
			t.Errorf("%d requests began and %d results were stored, want %d of each", n, done, startRequests)
		}
	})
}

func TestRun_StopIsBoundedWhileTheDatabaseIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		b.answer = func(context.Context, request) (int, error) {
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			b.store.down = true
			return 200, nil
		}
		b.store.add(idA, "t1", task.Succeeded)
		stop := run(t, b.sender)
		wait(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > drainTimeout+storeTimeout+time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

func TestRun_RequestsGrowWhileTheySucceed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		var now, most atomic.Int64
		b.answer = func(context.Context, request) (int, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			wait(100 * time.Millisecond)
			now.Add(-1)
			return 200, nil
		}
		for i := range 2000 {
			b.store.add(idA, task.ID(fmt.Sprintf("t%d", i)), task.Succeeded)
		}
		run(t, b.sender)
		wait(100 * time.Millisecond / 2)
		if n := now.Load(); n != startRequests {
			t.Errorf("%d requests at first, want %d", n, startRequests)
		}
		wait(10 * time.Second)
		synctest.Wait()
		if backlog, _ := b.store.Backlog(t.Context()); backlog.Pending != 0 || most.Load() != maxRequests {
			t.Errorf("%d deliveries wait, at most %d requests were in progress; want 0 and %d", backlog.Pending, most.Load(), maxRequests)
		}
		if b.sender.book.free != slots || len(b.sender.book.tenants) != 0 {
			t.Errorf("%d slots are free of %d at the end, tenants %v", b.sender.book.free, slots, b.sender.book.tenants)
		}
	})
}

// A failure of ours is no attempt, and rests the endpoint.
func TestRun_AFailureOfOursCostsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"), endpointOf(idB, "b"))
		b.store.mu.Lock()
		good := b.store.endpoints[idA].Secrets
		b.store.endpoints[idA].Secrets = Secrets{Current: []byte("of another key")}
		b.store.mu.Unlock()
		for i := range 50 {
			b.store.add(idA, task.ID(fmt.Sprintf("t%d", i)), task.Succeeded)
		}
		b.store.add(idB, "other", task.Succeeded)
		run(t, b.sender)
		wait(30 * time.Second)
		b.store.mu.Lock()
		b.store.endpoints[idA].Secrets = good
		b.store.mu.Unlock()
		if diff := cmp.Diff([]string{"evt_other_1"}, b.ids()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if n := strings.Count(b.log.String(), "can't be sent"); n != startRequests {
			t.Errorf("%d lines, want one for each request that was begun:\n%s", n, b.log)
		}
		wait(2 * time.Minute)
		synctest.Wait()
		if backlog, _ := b.store.Backlog(t.Context()); backlog.Pending != 0 {
			t.Errorf("%d deliveries wait after the key is back", backlog.Pending)
		}
		if r := b.rowOf(idA, EventID{"t0", 1}); r.Attempts != 1 {
			t.Errorf("the first delivery needed %d attempts", r.Attempts)
		}
	})
}

// A task that can't be written ends neither the process nor the deliveries of others.
func TestRun_SurvivesATaskThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, endpointOf(idA, "a"))
		write := b.sender.Task
		b.sender.Task = func(ctx context.Context, t task.Task, d Detail) ([]byte, error) {
			switch t.ID {
			case "broken":
				return t.Outputs[0].SHA256, nil // It panics.
			case "stuck":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return write(ctx, t, d)
		}
		for _, id := range []task.ID{"broken", "stuck", "good"} {
			b.store.add(idA, id, task.Succeeded)
		}
		run(t, b.sender)
		wait(30 * time.Second)
		if diff := cmp.Diff([]string{"evt_good_1"}, b.ids()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if n := strings.Count(b.log.String(), "can't be sent"); n != 2 || !strings.Contains(b.log.String(), "index out of range") {
			t.Errorf("%d lines, want 2:\n%s", n, b.log)
		}
	})
}

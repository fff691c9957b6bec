package webhooks_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestFinish_StoresTheAttempt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		result notify.Result
		want   notify.Delivery
	}{
		"received": {received, notify.Delivery{State: notify.DeliverySucceeded, Attempts: 1}},
		"refused":  {refused, notify.Delivery{State: notify.DeliveryPending, Attempts: 1}},
		"given up": {gaveUp, notify.Delivery{State: notify.DeliveryFailed, Attempts: 1}},
		"a hostile answer": {
			notify.Result{State: notify.DeliverySucceeded, Healthy: true, Attempt: notify.Attempt{Answer: "a\x00b\xff", Duration: 3 * time.Millisecond}},
			notify.Delivery{State: notify.DeliverySucceeded, Attempts: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			e := f.endpoint("films", nil)
			f.create("films", task.Spec{})
			claimed := f.claim(1, e)
			f.finish(claimed, test.result)
			d, attempts, err := f.Delivery(t.Context(), "films", e.ID, claimed[0].Event)
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			want.Endpoint, want.Event, want.TaskState, want.EventTime = e.ID, claimed[0].Event, task.Queued, claimed[0].EventTime
			if diff := cmp.Diff(want, d, cmpopts.IgnoreFields(notify.Delivery{}, "NextAttempt")); diff != "" {
				t.Errorf("the delivery (-want +got):\n%s", diff)
			}
			if (d.State == notify.DeliveryPending) != (time.Until(d.NextAttempt) > refused.Retry/2) {
				t.Errorf("the next attempt of a %s delivery is at %v", d.State, d.NextAttempt)
			}
			if len(attempts) != 1 || attempts[0].Status != test.result.Attempt.Status || attempts[0].Duration != test.result.Attempt.Duration {
				t.Errorf("attempts %+v, want that of %+v", attempts, test.result.Attempt)
			}
		})
	}
}

func TestFinish_AnExpiredLeaseChangesOnlyTheListOfAttempts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	f.create("films", task.Spec{})
	slow := f.claim(1, e)
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET next_attempt_time = now()`) // The lease ends.
	second := f.claim(1, e)
	if len(second) != 1 {
		t.Fatalf("%d are claimed after the lease, want 1", len(second))
	}
	f.finish(slow, gaveUp)
	read := func() (notify.Delivery, int) {
		d, attempts, err := f.Delivery(t.Context(), "films", e.ID, slow[0].Event)
		if err != nil {
			t.Fatal(err)
		}
		return d, len(attempts)
	}
	if d, attempts := read(); d.State != notify.DeliveryPending || !d.NextAttempt.Equal(second[0].NextAttempt) || attempts != 1 {
		t.Errorf("delivery %+v with %d attempts, want it leased by the second claim", d, attempts)
	}
	f.finish(second, received)
	f.finish(slow, gaveUp)
	if d, attempts := read(); d.State != notify.DeliverySucceeded || d.Attempts != 1 || attempts != 3 {
		t.Errorf("delivery %+v with %d attempts, want it received, with 3", d, attempts)
	}
}

func TestFinish_ResultsOfRemovedTasksAreDropped(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	gone, kept := f.create("films", task.Spec{}), f.create("films", task.Spec{})
	claimed := f.claim(2, e)
	postgrestest.Exec(t, f.pool, `DELETE FROM task WHERE id = $1`, gone.ID)
	f.finish(claimed, received)
	d, _, err := f.Delivery(t.Context(), "films", e.ID, notify.EventID{Task: kept.ID, Revision: 1})
	if err != nil || d.State != notify.DeliverySucceeded {
		t.Errorf("the other delivery is %+v, %v", d, err)
	}
}

// endpointAfter finishes a delivery of an endpoint for each result, in one set, and returns the endpoint and what Finish returned.
func (f *fixture) endpointAfter(e notify.Endpoint, results ...notify.Result) (notify.Endpoint, []notify.Endpoint) {
	f.Helper()
	for range results {
		f.create(e.Tenant, task.Spec{})
	}
	claimed := f.claim(len(results), e)
	if len(claimed) != len(results) {
		f.Fatalf("%d deliveries are claimed, want %d", len(claimed), len(results))
	}
	for i := range results {
		results[i].Delivery, results[i].EndpointUpdate = claimed[i].Delivery, claimed[i].Target.UpdateTime
		results[i].Attempt.StartTime = time.Now()
	}
	disabled, err := f.Finish(f.Context(), results)
	if err != nil {
		f.Fatal(err)
	}
	after, err := f.Endpoint(f.Context(), e.Tenant, e.ID)
	if err != nil {
		f.Fatal(err)
	}
	return after, disabled
}

func TestFinish_CountsFailuresInARow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	healthy, _ := f.endpointAfter(e, received, received)
	if diff := cmp.Diff(e, healthy); diff != "" {
		t.Errorf("a healthy endpoint (-before +after):\n%s", diff)
	}
	one, _ := f.endpointAfter(e, refused)
	if one.Failures != 1 || one.FailingTime.IsZero() {
		t.Errorf("%d failures since %v, want one", one.Failures, one.FailingTime)
	}
	three, _ := f.endpointAfter(e, refused, gaveUp)
	if three.Failures != 3 || !three.FailingTime.Equal(one.FailingTime) {
		t.Errorf("%d failures since %v, want 3 since %v", three.Failures, three.FailingTime, one.FailingTime)
	}
	again, _ := f.endpointAfter(e, refused, received, refused)
	if again.Failures != 1 || !again.FailingTime.After(one.FailingTime) {
		t.Errorf("%d failures since %v, want one since the success", again.Failures, again.FailingTime)
	}
	if over, _ := f.endpointAfter(e, received); over.Failures != 0 || !over.FailingTime.IsZero() {
		t.Errorf("%d failures since %v, want none", over.Failures, over.FailingTime)
	}
}

func TestFinish_AHealthyEndpointIsNotWritten(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	version := func() string {
		return postgrestest.Value[string](t, f.pool, `SELECT xmin::text || ctid::text FROM webhook_endpoint`)
	}
	before := version()
	f.endpointAfter(e, received, received)
	if after := version(); after != before {
		t.Errorf("the row went from %s to %s", before, after)
	}
}

func TestFinish_PausesAnEndpoint(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	long, short := refused, refused
	long.Pause, short.Pause = time.Hour, time.Second
	paused, _ := f.endpointAfter(e, long, short)
	if left := time.Until(paused.PausedUntil); left < 59*time.Minute {
		t.Errorf("it is paused for %v, want an hour", left)
	}
	f.create("films", task.Spec{})
	if due, err := f.DueEndpoints(t.Context(), "", 10); err != nil || len(due) != 0 {
		t.Errorf("DueEndpoints = %v, %v, want none", due, err)
	}
	if got := f.claim(10, e); len(got) != 0 {
		t.Errorf("%d are claimed of a paused endpoint", len(got))
	}
	postgrestest.Exec(t, f.pool, `UPDATE webhook_endpoint SET paused_until = now()`)
	if due, err := f.DueEndpoints(t.Context(), "", 10); err != nil || len(due) != 1 || due[0].Failures != 2 {
		t.Errorf("DueEndpoints = %v, %v, want the endpoint with 2 failures", due, err)
	}
	if got := f.claim(10, e); len(got) != 1 {
		t.Errorf("%d are claimed after the pause, want 1", len(got))
	}
}

func TestFinish_DisablesAnEndpoint(t *testing.T) {
	t.Parallel()
	gone := gaveUp
	gone.Disable = notify.DisabledGone
	for name, test := range map[string]struct {
		url     string
		failing time.Duration // For how long it has failed.
		result  notify.Result
		want    notify.DisableReason
	}{
		"gone":              {"https://example.com/hook", 0, gone, notify.DisabledGone},
		"failing for long":  {"https://example.com/hook", notify.MaxFailing + time.Hour, refused, notify.DisabledFailing},
		"failing":           {"https://example.com/hook", notify.MaxFailing - time.Hour, refused, ""},
		"a success at last": {"https://example.com/hook", notify.MaxFailing + time.Hour, received, ""},
		"many receivers":    {"", notify.MaxFailing + time.Hour, refused, ""},
		"gone of many":      {"", 0, gone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			e := f.endpoint("films", func(e *notify.Endpoint) { e.URL = test.url })
			if test.failing > 0 {
				postgrestest.Exec(t, f.pool, `UPDATE webhook_endpoint SET failures = 7, failing_time = now() - make_interval(secs => $1)`, test.failing.Seconds())
			}
			if test.url == "" {
				f.endpoint("films", func(e *notify.Endpoint) { e.States = nil })
			}
			spec := task.Spec{}
			if test.url == "" {
				spec.WebhookURI = "https://example.com/own"
			}
			f.create("films", spec)
			disabled := f.finish(f.claim(1, e), test.result)
			after, err := f.Endpoint(t.Context(), "films", e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if after.Disabled != test.want || (len(disabled) == 1) != (test.want != "") {
				t.Errorf("disabled %q, Finish returned %v; want %q", after.Disabled, disabled, test.want)
			}
			if test.want == "" {
				return
			}
			if diff := cmp.Diff(after, disabled[0]); diff != "" {
				t.Errorf("the disabled endpoint (-stored +returned):\n%s", diff)
			}
			if b, err := f.Backlog(t.Context()); err != nil || b.Disabled != 1 {
				t.Errorf("Backlog = %+v, %v, want one disabled endpoint", b, err)
			}
		})
	}
}

// A caller gives the endpoint another URL while a request is in progress. Its failure says nothing about the new one.
func TestFinish_ARequestFromBeforeAChangeIsNotHeldAgainstTheEndpoint(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	f.create("films", task.Spec{})
	gone := refused
	gone.Disable, gone.Pause = notify.DisabledGone, time.Hour
	claimed := f.claim(1, e)
	changed := f.change(e, func(e *notify.Endpoint) { e.URL = "https://example.com/new" })
	if disabled := f.finish(claimed, gone); len(disabled) != 0 {
		t.Errorf("Finish disabled %v", disabled)
	}
	after, err := f.Endpoint(t.Context(), "films", e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(changed, after); diff != "" {
		t.Errorf("the endpoint (-before +after):\n%s", diff)
	}
	if later, disabled := f.endpointAfter(e, gone); later.Disabled != notify.DisabledGone || len(disabled) != 1 {
		t.Errorf("disabled %q after a later request, Finish returned %v", later.Disabled, disabled)
	}
}

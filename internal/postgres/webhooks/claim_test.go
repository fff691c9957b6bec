package webhooks_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestOutbox_AnEventIsDeliveredToTheEndpointsThatMatch(t *testing.T) {
	t.Parallel()
	labeled := map[string]string{"team": "films", "kind": "trailer"}
	for name, test := range map[string]struct {
		tenant string // Of the endpoint; that of the task is films.
		change func(*notify.Endpoint)
		spec   task.Spec
		want   []int64 // The revisions that are delivered, of QUEUED (1) and CANCELED (2).
	}{
		"all states":            {"films", nil, task.Spec{}, []int64{1, 2}},
		"the terminal ones":     {"films", func(e *notify.Endpoint) { e.States = notify.Terminal }, task.Spec{}, []int64{2}},
		"another state":         {"films", func(e *notify.Endpoint) { e.States = []task.State{task.Running} }, task.Spec{}, nil},
		"of another tenant":     {"shorts", nil, task.Spec{}, nil},
		"its labels":            {"films", func(e *notify.Endpoint) { e.Labels = labeled }, task.Spec{Labels: labeled}, []int64{1, 2}},
		"some of its labels":    {"films", func(e *notify.Endpoint) { e.Labels = map[string]string{"team": "films"} }, task.Spec{Labels: labeled}, []int64{1, 2}},
		"a label that it lacks": {"films", func(e *notify.Endpoint) { e.Labels = labeled }, task.Spec{Labels: map[string]string{"team": "films"}}, nil},
		"another value":         {"films", func(e *notify.Endpoint) { e.Labels = map[string]string{"team": "ads"} }, task.Spec{Labels: labeled}, nil},
		"without a URL":         {"films", func(e *notify.Endpoint) { e.URL = "" }, task.Spec{}, nil},
		"for its webhook_uri":   {"films", func(e *notify.Endpoint) { e.URL = "" }, task.Spec{WebhookURI: "https://example.com/own"}, []int64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			e := f.endpoint(test.tenant, test.change)
			created := f.create("films", test.spec)
			f.cancel(created.ID)
			got := postgrestest.Value[[]int64](t, f.pool, `SELECT coalesce(array_agg(revision ORDER BY revision), '{}') FROM webhook_delivery WHERE endpoint_id = $1`, e.ID)
			if !slices.Equal(got, test.want) {
				t.Errorf("revisions %v are delivered, want %v", got, test.want)
			}
			if wakes := len(f.wakes); wakes != len(test.want) {
				t.Errorf("senders were woken %d times, want %d", wakes, len(test.want))
			}
		})
	}
}

func TestOutbox_DisabledAndDeletedEndpointsGetNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.change(f.endpoint("films", nil), func(e *notify.Endpoint) { e.Disabled = notify.DisabledByCaller })
	deleted := f.endpoint("films", nil)
	if err := f.DeleteEndpoint(t.Context(), "films", deleted.ID); err != nil {
		t.Fatal(err)
	}
	f.cancel(f.create("films", task.Spec{}).ID)
	if n := postgrestest.Value[int](t, f.pool, `SELECT count(*) FROM webhook_delivery`); n != 0 {
		t.Errorf("%d deliveries, want none", n)
	}
}

func TestClaim_HasWhatTheBodyNeeds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", func(e *notify.Endpoint) { e.States = notify.Terminal })
	created := f.create("films", task.Spec{Labels: map[string]string{"team": "films"}})
	want := f.cancel(created.ID)
	claimed := f.claim(10, e)
	if len(claimed) != 1 {
		t.Fatalf("%d are claimed, want one", len(claimed))
	}
	got := claimed[0]
	if diff := cmp.Diff(want, got.Task); diff != "" {
		t.Errorf("the task (-want +got):\n%s", diff)
	}
	if got.TaskEvent.State != task.Canceled || got.TaskEvent.Revision != 2 || got.NewestAttempt != 0 {
		t.Errorf("event %+v, newest attempt %d", got.TaskEvent, got.NewestAttempt)
	}
	if diff := cmp.Diff(e, got.Target); diff != "" {
		t.Errorf("the endpoint (-want +got):\n%s", diff)
	}
	if got.State != notify.DeliveryPending || got.Attempts != 0 || time.Until(got.NextAttempt) < lease/2 {
		t.Errorf("delivery %+v, want it leased", got.Delivery)
	}
	if again := f.claim(10, e); len(again) != 0 {
		t.Errorf("a second claim takes %v", again)
	}
}

func TestClaim_TakesTheEventsOfATaskOneByOne(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]notify.Result{"received": received, "given up": gaveUp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			e := f.endpoint("films", nil)
			id := f.create("films", task.Spec{}).ID
			f.cancel(id)
			first := f.claim(10, e)
			if got := revisions(first); !slices.Equal(got, []int64{1}) {
				t.Fatalf("revisions %v are claimed, want 1", got)
			}
			f.finish(first, refused)
			if got := revisions(f.claim(10, e)); got != nil {
				t.Fatalf("revisions %v are claimed while the first waits for its retry", got)
			}
			postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET next_attempt_time = now() WHERE revision = 1`)
			first = f.claim(10, e)
			if got := revisions(first); !slices.Equal(got, []int64{1}) || first[0].Attempts != 1 {
				t.Fatalf("revisions %v are claimed, want 1 again", got)
			}
			f.finish(first, end)
			if got := revisions(f.claim(10, e)); !slices.Equal(got, []int64{2}) {
				t.Fatalf("revisions %v are claimed after the first has ended, want 2", got)
			}
		})
	}
}

// A claim that only defers asks for another one, which finds what is due behind.
func TestClaim_FindsAHeadBehindDeferredDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	id := f.create("films", task.Spec{}).ID
	f.claim(1, e)
	f.cancel(id)
	other := f.create("films", task.Spec{}).ID
	for len(f.wakes) > 0 {
		<-f.wakes
	}
	if got := f.claim(1, e); len(got) != 0 || len(f.wakes) != 1 {
		t.Fatalf("claimed %v with %d wakes, want none and one wake", got, len(f.wakes))
	}
	if got := f.claim(1, e); len(got) != 1 || got[0].Event.Task != other {
		t.Errorf("claimed %v, want the event of the other task", got)
	}
	if got := f.claim(1, e); len(got) != 0 || len(f.wakes) != 1 {
		t.Errorf("claimed %v with %d wakes where nothing is due", got, len(f.wakes))
	}
}

// A limit of 8 per second permits 2 at once after a pause, and then one each 125 ms.
func TestClaim_KeepsTheRateLimitOverAllReplicas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	limited, free := f.endpoint("films", func(e *notify.Endpoint) { e.RateLimit = 8 }), f.endpoint("films", nil)
	for range 20 {
		f.create("films", task.Spec{})
	}
	// The clock of the endpoint stands: what a claim may take depends on slot_time alone.
	var got int
	counts := make(chan int, 4)
	errs := postgrestest.AtOnce(t.Context(), 4, func(ctx context.Context, _ int) error {
		claimed, err := f.Claim(ctx, []notify.Quota{{Endpoint: limited.ID, Limit: 10}}, lease)
		counts <- len(claimed)
		return err
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for range 4 {
		got += <-counts
	}
	slots := postgrestest.Value[float64](t, f.pool, `SELECT extract(epoch FROM slot_time - (SELECT max(lease_time) FROM webhook_delivery WHERE endpoint_id = $1))::float8 FROM webhook_endpoint WHERE id = $1`, limited.ID)
	if got < 2 || slots > 1.0/8 {
		t.Errorf("4 claims took %d, and the next slot is %v s after the last one", got, slots)
	}
	if n := len(f.claim(10, free)); n != 10 {
		t.Errorf("%d are claimed of the endpoint without a limit, want 10", n)
	}
	// Each claim below begins at a slot time that is known, and takes what it permits.
	for _, step := range []struct {
		slot string // When the next request may be made.
		want int
		then float64 // How long after the claim the next request may be made, in seconds.
	}{
		{"now() + interval '1 hour'", 0, 3600},
		{"now() - interval '1 hour'", 2, 1.0 / 8},
		{"NULL", 2, 1.0 / 8},
	} {
		postgrestest.Exec(t, f.pool, `UPDATE webhook_endpoint SET slot_time = `+step.slot+` WHERE id = $1`, limited.ID)
		due, err := f.DueEndpoints(t.Context(), "", 10)
		if err != nil || slices.ContainsFunc(due, func(d notify.DueEndpoint) bool { return d.ID == limited.ID }) != (step.want > 0) {
			t.Errorf("slot %s: DueEndpoints = %v, %v", step.slot, due, err)
		}
		if n := len(f.claim(10, limited)); n != step.want {
			t.Errorf("slot %s: %d are claimed, want %d", step.slot, n, step.want)
		}
		if step.want == 0 {
			continue
		}
		then := postgrestest.Value[float64](t, f.pool, `SELECT extract(epoch FROM slot_time - (SELECT max(lease_time) FROM webhook_delivery WHERE endpoint_id = $1))::float8 FROM webhook_endpoint WHERE id = $1`, limited.ID)
		if then < step.then-1e-5 || then > step.then+1e-5 {
			t.Errorf("slot %s: the next request may be made after %v s, want %v", step.slot, then, step.then)
		}
	}
}

func TestDueEndpoints_ArePagedByID(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var want []notify.EndpointID
	for range 5 {
		want = append(want, f.endpoint("films", nil).ID)
	}
	f.endpoint("films", func(e *notify.Endpoint) { e.States = notify.Terminal }) // It has nothing to send.
	disabled, deleted := f.endpoint("films", nil), f.endpoint("films", nil)
	f.create("films", task.Spec{})
	f.change(disabled, func(e *notify.Endpoint) { e.Disabled = notify.DisabledByCaller })
	if err := f.DeleteEndpoint(t.Context(), "films", deleted.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(f.claim(1, disabled, deleted)); n != 0 {
		t.Errorf("%d are claimed of endpoints that are disabled or deleted", n)
	}
	slices.Sort(want)
	var got []notify.EndpointID
	for after := notify.EndpointID(""); ; {
		page, err := f.DueEndpoints(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			if d.Tenant != "films" {
				t.Errorf("tenant %q", d.Tenant)
			}
			got = append(got, d.ID)
		}
		after = page[len(page)-1].ID
	}
	if !slices.Equal(got, want) {
		t.Errorf("due are %v, want %v", got, want)
	}
}

func TestBacklog_CountsWhatWaits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if b, err := f.Backlog(t.Context()); err != nil || b != (notify.Backlog{}) {
		t.Errorf("Backlog = %+v, %v, want none", b, err)
	}
	e, disabled := f.endpoint("films", nil), f.endpoint("films", nil)
	for range 3 {
		f.create("films", task.Spec{})
	}
	f.finish(f.claim(1, e), received)
	oldest := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET event_time = '2026-01-01' WHERE state = 'SUCCEEDED' OR endpoint_id = $1`, disabled.ID)
	postgrestest.Exec(t, f.pool, `UPDATE webhook_delivery SET event_time = $1 WHERE state = 'PENDING' AND endpoint_id = $2`, oldest, e.ID)
	f.change(disabled, func(e *notify.Endpoint) { e.Disabled = notify.DisabledByCaller })
	if b, err := f.Backlog(t.Context()); err != nil || b.Pending != 5 || !b.OldestEvent.Equal(oldest) || b.Disabled != 0 {
		t.Errorf("Backlog = %+v, %v, want 5 since %v, and none disabled", b, err, oldest)
	}
}

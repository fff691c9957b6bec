package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

var sealed = notify.Secrets{Current: []byte("sealed")}

func TestCreateEndpoint_KeepsEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	want := notify.Endpoint{
		ID: notify.EndpointID(newID()), Tenant: "films", URL: "https://example.com/hook", Description: "the site", States: notify.Terminal,
		Labels: map[string]string{"team": "films"}, RateLimit: 7, Secrets: notify.Secrets{Current: []byte{1}, Previous: []byte{2}, PreviousExpire: time.Now().Add(time.Hour).Truncate(time.Microsecond)},
	}
	created, err := f.CreateEndpoint(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, created, cmpopts.IgnoreFields(notify.Endpoint{}, "CreateTime", "UpdateTime")); diff != "" {
		t.Errorf("the created endpoint (-want +got):\n%s", diff)
	}
	read, err := f.Endpoint(t.Context(), "films", want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(created, read); diff != "" {
		t.Errorf("the endpoint (-created +read):\n%s", diff)
	}
}

func TestCreateEndpoint_TheLimitIsExact(t *testing.T) {
	t.Parallel()
	f := setup(t)
	create := func(ctx context.Context, tenant string) error {
		_, err := f.CreateEndpoint(ctx, notify.Endpoint{ID: notify.EndpointID(newID()), Tenant: tenant, URL: "https://example.com/hook", Secrets: sealed})
		return err
	}
	const tries = notify.MaxEndpoints + 8
	errs := postgrestest.AtOnce(t.Context(), tries, func(ctx context.Context, _ int) error { return create(ctx, "films") })
	if len(errs) != tries-notify.MaxEndpoints {
		t.Errorf("%d of %d creations failed, want %d: %v", len(errs), tries, tries-notify.MaxEndpoints, errs)
	}
	for _, err := range errs {
		if !errors.Is(err, notify.ErrEndpointLimit) {
			t.Errorf("CreateEndpoint = %v, want ErrEndpointLimit", err)
		}
	}
	if err := create(t.Context(), "shorts"); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	all, err := f.Endpoints(t.Context(), "films")
	if err != nil || len(all) != notify.MaxEndpoints {
		t.Fatalf("%d endpoints, %v, want %d", len(all), err, notify.MaxEndpoints)
	}
	if err := f.DeleteEndpoint(t.Context(), "films", all[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), "films"); err != nil {
		t.Errorf("a creation after a deletion: %v", err)
	}
}

func TestCreateEndpoint_ATenantHasOneWithoutAURL(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first := f.endpoint("films", func(e *notify.Endpoint) { e.URL = "" })
	_, err := f.CreateEndpoint(t.Context(), notify.Endpoint{ID: notify.EndpointID(newID()), Tenant: "films", Secrets: sealed})
	if !errors.Is(err, notify.ErrEndpointLimit) {
		t.Errorf("a second one = %v, want ErrEndpointLimit", err)
	}
	if err := f.DeleteEndpoint(t.Context(), "films", first.ID); err != nil {
		t.Fatal(err)
	}
	f.endpoint("films", func(e *notify.Endpoint) { e.URL = "" })
}

func TestEndpoints_OfAnotherTenantAreNotFound(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	noChange := func(*notify.Endpoint) error { return nil }
	calls := map[string]func(tenant string) error{
		"read":   func(tenant string) error { _, err := f.Endpoint(t.Context(), tenant, e.ID); return err },
		"change": func(tenant string) error { _, err := f.ChangeEndpoint(t.Context(), tenant, e.ID, noChange); return err },
		"delete": func(tenant string) error { return f.DeleteEndpoint(t.Context(), tenant, e.ID) },
		"redeliver": func(tenant string) error {
			_, _, err := f.RedeliverFailed(t.Context(), tenant, e.ID, time.Time{}, true)
			return err
		},
	}
	for name, call := range calls {
		if err := call("shorts"); !errors.Is(err, notify.ErrEndpointNotFound) {
			t.Errorf("%s = %v, want ErrEndpointNotFound", name, err)
		}
	}
	if err := f.DeleteEndpoint(t.Context(), "films", e.ID); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call("films"); !errors.Is(err, notify.ErrEndpointNotFound) {
			t.Errorf("%s of a deleted one = %v, want ErrEndpointNotFound", name, err)
		}
	}
}

func TestChangeEndpoint_AnErrorChangesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	before := f.endpoint("films", nil)
	want := errors.New("no")
	_, err := f.ChangeEndpoint(t.Context(), "films", before.ID, func(e *notify.Endpoint) error {
		e.Description = "changed"
		return fmt.Errorf("check: %w", want)
	})
	if !errors.Is(err, want) {
		t.Errorf("ChangeEndpoint = %v, want the error of the change", err)
	}
	after, err := f.Endpoint(t.Context(), "films", before.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the endpoint (-before +after):\n%s", diff)
	}
}

func TestChangeEndpoint_ADisabledOneContinuesWhenItIsEnabled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	e := f.endpoint("films", nil)
	f.create("films", task.Spec{})
	<-f.wakes
	disabled := f.change(e, func(e *notify.Endpoint) { e.Disabled = notify.DisabledByCaller })
	if disabled.DisableTime.IsZero() {
		t.Error("it has no time at which it was disabled")
	}
	f.create("films", task.Spec{}) // Not kept for it.
	if got := f.claim(10, e); len(got) != 0 {
		t.Errorf("%d are claimed of a disabled endpoint", len(got))
	}
	enabled := f.change(e, func(e *notify.Endpoint) { e.Disabled = "" })
	if !enabled.DisableTime.IsZero() {
		t.Errorf("it was disabled at %v", enabled.DisableTime)
	}
	if len(f.wakes) != 1 {
		t.Errorf("senders were woken %d times, want once", len(f.wakes))
	}
	if got := f.claim(10, e); len(got) != 1 {
		t.Errorf("%d are claimed after it was enabled, want 1", len(got))
	}
}

func TestSubmit_AWebhookURINeedsASecret(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.endpoint("films", nil)
	f.endpoint("shorts", func(e *notify.Endpoint) { e.URL = "" })
	spec := task.Spec{WebhookURI: "https://example.com/own"}
	if _, err := f.submit("films", spec); !errors.Is(err, notify.ErrSecretMissing) {
		t.Errorf("submit = %v, want ErrSecretMissing", err)
	}
	if n := postgrestest.Value[int](t, f.pool, `SELECT count(*) FROM task`); n != 0 {
		t.Errorf("%d tasks are made", n)
	}
	own := f.endpoint("films", func(e *notify.Endpoint) { e.URL = "" })
	created := f.create("films", spec)
	if created.Spec.WebhookURI != spec.WebhookURI {
		t.Errorf("the task has webhook_uri %q", created.Spec.WebhookURI)
	}
	claimed := f.claim(10, own)
	if len(claimed) != 1 || claimed[0].Target.URL != spec.WebhookURI {
		t.Errorf("claimed %+v, want one for %s", claimed, spec.WebhookURI)
	}
	// A task that exists is returned, not refused, also after its secret was deleted.
	if err := f.DeleteEndpoint(t.Context(), "films", own.ID); err != nil {
		t.Fatal(err)
	}
	d := task.New(task.ID(newID()), "films", created.RequestID, created.Spec, []string{"kie"})
	again := f.stores.Tasks.CreateTasks(t.Context(), []task.Decision{d})[0]
	if again.Err != nil || again.New || again.Task.ID != created.ID {
		t.Errorf("the same request again = %+v, want the task", again)
	}
}

func TestSubmit_ARefusedWebhookURITakesNoPartOfAQuota(t *testing.T) {
	t.Parallel()
	f := setup(t)
	postgrestest.Exec(t, f.pool, `INSERT INTO tenant (tenant, max_queued) VALUES ('films', 1)`)
	var set []task.Decision
	for _, uri := range []string{"https://example.com/own", ""} {
		spec := task.Spec{Prompt: "p", SourceURI: "https://example.com/a.mp4", Provider: "kie", Deadline: time.Hour, MaxAttempts: 1, WebhookURI: uri}
		set = append(set, task.New(task.ID(newID()), "films", newID(), spec, []string{"kie"}))
	}
	got := f.stores.Tasks.CreateTasks(t.Context(), set)
	if !errors.Is(got[0].Err, notify.ErrSecretMissing) || got[1].Err != nil {
		t.Errorf("CreateTasks = %v and %v, want ErrSecretMissing and a task", got[0].Err, got[1].Err)
	}
}

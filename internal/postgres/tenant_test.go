package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/task"
)

func TestTenants_ShowTermsInForceAndWhatIsUsed(t *testing.T) {
	t.Parallel()
	store, _ := setup(t)
	if _, err := store.CreateAPIToken(t.Context(), postgres.APIToken{ID: newID(), Tenant: "only a token"}, []byte("hash")); err != nil {
		t.Fatal(err)
	}
	set := func(name string, terms lifecycle.Terms) {
		t.Helper()
		if err := store.SetTerms(t.Context(), name, terms, nil); err != nil {
			t.Fatal(err)
		}
	}
	byDefault, own := lifecycle.Terms{Weight: 2, MaxQueued: 50}, lifecycle.Terms{Weight: 7, MaxInFlight: 9, MaxPerDay: 4}
	set("", byDefault)
	set("films", lifecycle.Terms{Weight: 3, MaxQueued: 1})
	set("films", own)
	set("left", own)
	if err := store.DropTerms(t.Context(), "left"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		create(t, store, "films", plain())
	}
	created := create(t, store, "films", plain())
	apply(t, store, created.ID, task.Sending{Attempt: admit(t, store, created.ID)})
	create(t, store, "waits", plain())
	want := []lifecycle.Tenant{
		{Name: "", Own: true, Terms: byDefault},
		{Name: "films", Own: true, Terms: own, Queued: 3, Open: 1, Today: 4},
		{Name: "only a token", Terms: byDefault},
		{Name: "waits", Terms: byDefault, Queued: 1},
	}
	var got []lifecycle.Tenant
	for after := (*string)(nil); ; {
		page, err := store.Tenants(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = &page[len(page)-1].Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
	if one, err := store.Tenant(t.Context(), "left"); err != nil || one != (lifecycle.Tenant{Name: "left", Terms: byDefault}) {
		t.Errorf("Tenant = %+v, %v, want the default's terms", one, err)
	}
	if err := store.DropTerms(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if one, err := store.Tenant(t.Context(), "waits"); err != nil || one.Terms != (lifecycle.Terms{Weight: 1}) {
		t.Errorf("Tenant without a default = %+v, %v, want weight 1 and no quota", one, err)
	}
}

func TestSetTerms_ChangesTheTimesThatItIsTold(t *testing.T) {
	t.Parallel()
	store, _ := setup(t)
	store.Keep(lifecycle.Keep{Outputs: 10 * time.Hour, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour, Tasks: 200 * time.Hour})
	hours := func(n float64) *time.Duration { return new(time.Duration(n * float64(time.Hour))) }
	for _, step := range []struct {
		name string
		set  lifecycle.KeepChanges
		want lifecycle.Keep // Of films.
	}{
		{"films", nil, lifecycle.Keep{Outputs: 10 * time.Hour, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour, Tasks: 200 * time.Hour}},
		{
			"films",
			lifecycle.KeepChanges{lifecycle.RetainedOutput: hours(1.5), lifecycle.RetainedTask: hours(0)},
			lifecycle.Keep{Outputs: 90 * time.Minute, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour},
		},
		{
			"",
			lifecycle.KeepChanges{lifecycle.RetainedOutput: hours(2), lifecycle.RetainedSource: hours(300)},
			lifecycle.Keep{Outputs: 90 * time.Minute, Sources: 300 * time.Hour, Callbacks: 20 * time.Hour},
		},
		{
			"films",
			lifecycle.KeepChanges{lifecycle.RetainedOutput: nil, lifecycle.RetainedCallback: hours(7)},
			lifecycle.Keep{Outputs: 2 * time.Hour, Sources: 300 * time.Hour, Callbacks: 7 * time.Hour},
		},
		{"", lifecycle.KeepChanges{lifecycle.RetainedOutput: nil}, lifecycle.Keep{Outputs: 10 * time.Hour, Sources: 300 * time.Hour, Callbacks: 7 * time.Hour}},
	} {
		if err := store.SetTerms(t.Context(), step.name, lifecycle.Terms{Weight: 1}, step.set); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Tenant(t.Context(), "films"); err != nil || got.Keep != step.want {
			t.Errorf("after %+v of %q films keeps %+v, %v, want %+v", step.set, step.name, got.Keep, err, step.want)
		}
	}
}

func TestSetKeep_LeavesShareAndQuotas(t *testing.T) {
	t.Parallel()
	store, _ := setup(t)
	byDefault, own := lifecycle.Terms{Weight: 2, MaxQueued: 50, MaxInFlight: 8, MaxPerDay: 90}, lifecycle.Terms{Weight: 7, MaxPerDay: 4}
	kept := 48 * time.Hour
	keep := func(name string, want lifecycle.Tenant) {
		t.Helper()
		if err := store.SetKeep(t.Context(), name, lifecycle.KeepChanges{lifecycle.RetainedOutput: &kept}); err != nil {
			t.Fatal(err)
		}
		want.Name, want.Own, want.Keep.Outputs = name, true, kept
		if got, err := store.Tenant(t.Context(), name); err != nil || got != want {
			t.Errorf("after times alone the tenant is %+v, %v, want %+v", got, err, want)
		}
	}
	keep("before any default", lifecycle.Tenant{Terms: lifecycle.Terms{Weight: 1}})
	for name, terms := range map[string]lifecycle.Terms{"": byDefault, "films": own} {
		if err := store.SetTerms(t.Context(), name, terms, nil); err != nil {
			t.Fatal(err)
		}
	}
	keep("films", lifecycle.Tenant{Terms: own})
	keep("by the default", lifecycle.Tenant{Terms: byDefault})
	keep("", lifecycle.Tenant{Terms: byDefault})
}

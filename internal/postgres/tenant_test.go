package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
)

func TestTenants_ShowTermsInForceAndWhatIsUsed(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	if _, err := stores.APITokens.Create(t.Context(), credentials.APIToken{ID: newID(), Tenant: "only a token"}, []byte("hash")); err != nil {
		t.Fatal(err)
	}
	set := func(name string, terms tenants.Limits) {
		t.Helper()
		if err := stores.Tenants.SetLimits(t.Context(), name, terms, nil); err != nil {
			t.Fatal(err)
		}
	}
	byDefault, own := tenants.Limits{Weight: 2, MaxQueued: 50}, tenants.Limits{Weight: 7, MaxInFlight: 9, MaxPerDay: 4}
	set("", byDefault)
	set("films", tenants.Limits{Weight: 3, MaxQueued: 1})
	set("films", own)
	set("left", own)
	if err := stores.Tenants.DropLimits(t.Context(), "left"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		create(t, stores, "films", plain())
	}
	created := create(t, stores, "films", plain())
	apply(t, stores, created.ID, task.Sending{Attempt: admit(t, stores, created.ID)})
	create(t, stores, "waits", plain())
	want := []tenants.Tenant{
		{Name: "", Own: true, Limits: byDefault},
		{Name: "films", Own: true, Limits: own, Queued: 3, Open: 1, Today: 4},
		{Name: "only a token", Limits: byDefault},
		{Name: "waits", Limits: byDefault, Queued: 1},
	}
	var got []tenants.Tenant
	for after := (*string)(nil); ; {
		page, err := stores.Tenants.Tenants(t.Context(), after, 2)
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
	if one, err := stores.Tenants.Tenant(t.Context(), "left"); err != nil || one != (tenants.Tenant{Name: "left", Limits: byDefault}) {
		t.Errorf("Tenant = %+v, %v, want the default's terms", one, err)
	}
	if err := stores.Tenants.DropLimits(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if one, err := stores.Tenants.Tenant(t.Context(), "waits"); err != nil || one.Limits != (tenants.Limits{Weight: 1}) {
		t.Errorf("Tenant without a default = %+v, %v, want weight 1 and no quota", one, err)
	}
}

func TestSetLimits_ChangesOnlyThePeriodsThatItNames(t *testing.T) {
	t.Parallel()
	stores, _ := setupKeeping(t, retention.Periods{Outputs: 10 * time.Hour, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour, Tasks: 200 * time.Hour})
	hours := func(n float64) *time.Duration { return new(time.Duration(n * float64(time.Hour))) }
	for _, step := range []struct {
		name string
		set  retention.PeriodChanges
		want retention.Periods // Of films.
	}{
		{"films", nil, retention.Periods{Outputs: 10 * time.Hour, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour, Tasks: 200 * time.Hour}},
		{
			"films",
			retention.PeriodChanges{retention.OutputKind: hours(1.5), retention.TaskKind: hours(0)},
			retention.Periods{Outputs: 90 * time.Minute, Sources: 100 * time.Hour, Callbacks: 20 * time.Hour},
		},
		{
			"",
			retention.PeriodChanges{retention.OutputKind: hours(2), retention.SourceKind: hours(300)},
			retention.Periods{Outputs: 90 * time.Minute, Sources: 300 * time.Hour, Callbacks: 20 * time.Hour},
		},
		{
			"films",
			retention.PeriodChanges{retention.OutputKind: nil, retention.CallbackKind: hours(7)},
			retention.Periods{Outputs: 2 * time.Hour, Sources: 300 * time.Hour, Callbacks: 7 * time.Hour},
		},
		{"", retention.PeriodChanges{retention.OutputKind: nil}, retention.Periods{Outputs: 10 * time.Hour, Sources: 300 * time.Hour, Callbacks: 7 * time.Hour}},
	} {
		if err := stores.Tenants.SetLimits(t.Context(), step.name, tenants.Limits{Weight: 1}, step.set); err != nil {
			t.Fatal(err)
		}
		if got, err := stores.Tenants.Tenant(t.Context(), "films"); err != nil || got.Keep != step.want {
			t.Errorf("after %+v of %q films keeps %+v, %v, want %+v", step.set, step.name, got.Keep, err, step.want)
		}
	}
}

func TestSetKeep_LeavesShareAndQuotas(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	byDefault, own := tenants.Limits{Weight: 2, MaxQueued: 50, MaxInFlight: 8, MaxPerDay: 90}, tenants.Limits{Weight: 7, MaxPerDay: 4}
	kept := 48 * time.Hour
	keep := func(name string, want tenants.Tenant) {
		t.Helper()
		if err := stores.Tenants.SetRetention(t.Context(), name, retention.PeriodChanges{retention.OutputKind: &kept}); err != nil {
			t.Fatal(err)
		}
		want.Name, want.Own, want.Keep.Outputs = name, true, kept
		if got, err := stores.Tenants.Tenant(t.Context(), name); err != nil || got != want {
			t.Errorf("after times alone the tenant is %+v, %v, want %+v", got, err, want)
		}
	}
	keep("before any default", tenants.Tenant{Limits: tenants.Limits{Weight: 1}})
	for name, terms := range map[string]tenants.Limits{"": byDefault, "films": own} {
		if err := stores.Tenants.SetLimits(t.Context(), name, terms, nil); err != nil {
			t.Fatal(err)
		}
	}
	keep("films", tenants.Tenant{Limits: own})
	keep("by the default", tenants.Tenant{Limits: byDefault})
	keep("", tenants.Tenant{Limits: byDefault})
}

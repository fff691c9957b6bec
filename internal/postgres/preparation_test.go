package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// hold lets a task wait for a preparation of its source for an account, as an attempt does whose source is not ready.
func hold(t *testing.T, stores *postgres.Stores, id task.ID, account string) {
	t.Helper()
	attempt := admit(t, stores, id)
	_, err := stores.Tasks.ChangeAnyTask(t.Context(), id, func(now task.Task) (lifecycle.Change, error) {
		d, err := now.Apply(task.Refused{Attempt: attempt, Message: "not sent"})
		return lifecycle.Change{Decision: d, Prepare: new(source.PreparationOf(now, account))}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claim takes all preparations up that are due.
func claim(t *testing.T, stores *postgres.Stores) []source.Claimed {
	t.Helper()
	var all []source.Claimed
	for _, uploaded := range []bool{false, true} {
		claimed, err := stores.Preparations.ClaimPreparations(t.Context(), source.Claim{Uploaded: uploaded, Free: 100, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			if (c.Source != "") != uploaded {
				t.Errorf("claimed %+v where uploaded is %t", c, uploaded)
			}
		}
		all = append(all, claimed...)
	}
	return all
}

func TestClaimPreparations_NameNoSourceOnceItsWaitersAreGone(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	byURI, uploaded := plain(), plain()
	uploaded.SourceURI, uploaded.SourceID = "", task.SourceID(newID())
	for _, spec := range []task.Spec{byURI, uploaded} {
		id := create(t, stores, "films", spec).ID
		hold(t, stores, id, "first")
		hold(t, stores, id, "second") // It waits there from now on.
	}
	got := map[source.Preparation]int{}
	for _, c := range claim(t, stores) {
		got[c.Preparation]++
	}
	for _, want := range []source.Preparation{
		{Tenant: "films", Account: "first"}, // The one that can't be made, and has no waiter.
		{Tenant: "films", Account: "second", URI: byURI.SourceURI},
		{Tenant: "films", Account: "first", Source: uploaded.SourceID},
		{Tenant: "films", Account: "second", Source: uploaded.SourceID},
	} {
		if got[want] != 1 {
			t.Errorf("claimed %v, want %+v once", got, want)
		}
	}
}

func TestRenewPreparations_PassesOverWhatSomebodyJoins(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	hold(t, stores, create(t, stores, "films", plain()).ID, "first")
	hold(t, stores, create(t, stores, "films", plain()).ID, "second")
	var ids []source.PreparationID
	for _, c := range claim(t, stores) {
		ids = append(ids, c.ID)
	}
	tx := postgrestest.Begin(t, pool)
	if _, err := tx.Exec(t.Context(), "UPDATE preparation SET joined = joined + 1 WHERE account = 'first'"); err != nil {
		t.Fatal(err)
	}
	// The other transaction does not commit, so that a renewal that waited for it would never return.
	if err := stores.Preparations.RenewPreparations(t.Context(), ids, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := count(t, pool, "SELECT count(*) FROM preparation WHERE due_time > now() + interval '30 minutes'"); n != 1 {
		t.Errorf("%d leases are prolonged, want that of the other", n)
	}
}

func TestClaimPreparations_TakeWhatNeverFailedFirst(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	for _, name := range []string{"failing", "healthy"} {
		spec := plain()
		spec.SourceURI = "https://" + name + ".example.com/a.mp4"
		hold(t, stores, create(t, stores, "films", spec).ID, name)
	}
	exec(t, pool, "UPDATE preparation SET tries = 1, due_time = now() - interval '1 hour' WHERE account = 'failing'")
	for _, want := range []string{"healthy", "failing"} {
		claimed, err := stores.Preparations.ClaimPreparations(t.Context(), source.Claim{Free: 1, Lease: time.Minute})
		if err != nil || len(claimed) != 1 || claimed[0].Account != want {
			t.Errorf("claimed %+v, %v, want the %s one", claimed, err, want)
		}
	}
}

// TestPreparationRefusals_IsThatOfTasksAdmittedSince refuses an upload again and again, while other tasks come and go.
func TestPreparationRefusals_IsThatOfTasksAdmittedSince(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	uploaded := plain()
	uploaded.SourceURI, uploaded.SourceID = "", task.SourceID(newID())
	hold(t, stores, create(t, stores, "films", uploaded).ID, "kie")
	id := claim(t, stores)[0].ID
	early := create(t, stores, "films", plain())
	before := admit(t, stores, early.ID)
	refuse := func(blame task.Blame) {
		t.Helper()
		if err := stores.Preparations.RefusePreparation(t.Context(), id, blame); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want task.RefusalHistory) {
		t.Helper()
		got, err := stores.Preparations.PreparationRefusals(t.Context(), id)
		if err != nil || got != want {
			t.Errorf("the refusals are %+v, %v, want %+v", got, err, want)
		}
	}
	expect(task.RefusalHistory{})
	refuse(task.BlameAccount)
	apply(t, stores, early.ID, task.Sending{Attempt: before})
	apply(t, stores, early.ID, task.Accepted{Attempt: before, ProviderTaskID: "p1"})
	expect(task.RefusalHistory{Refusals: 1}) // It was admitted before, so it says nothing.
	for _, provided := range []bool{true, false} {
		other := create(t, stores, "music", plain())
		attempt := admit(t, stores, other.ID)
		apply(t, stores, other.ID, task.Sending{Attempt: attempt})
		if provided {
			apply(t, stores, other.ID, task.Accepted{Attempt: attempt, ProviderTaskID: "p2"})
			expect(task.RefusalHistory{Refusals: 1, OthersAccepted: true})
			refuse(task.BlameTask)
			expect(task.RefusalHistory{Refusals: 2, Faults: 1, OthersAccepted: true})
		} else {
			apply(t, stores, other.ID, task.Refused{Attempt: attempt, Blame: task.BlameAccount})
			expect(task.RefusalHistory{Refusals: 2, Faults: 1})
		}
	}
	if _, err := stores.Preparations.PreparationRefusals(t.Context(), id+1); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("an unknown preparation: %v, want ErrNotFound", err)
	}
}

// TestClaimPreparations_ShareThePlacesByTenantAndHost has tenants whose preparations never end.
func TestClaimPreparations_ShareThePlacesByTenantAndHost(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	begin := func(n int, p source.Preparation) {
		for i := range n {
			p.Account = "kie"
			if p.URI != "" {
				p.URI = fmt.Sprintf("https://%s/%d.mp4", p.Host(), i)
			} else {
				p.Source = task.SourceID(newID())
			}
			if err := stores.Preparations.BeginPreparation(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
	}
	made, places := map[source.Party]int{}, 32
	claim := func(uploaded bool) {
		for {
			claimed, err := stores.Preparations.ClaimPreparations(t.Context(), source.Claim{Uploaded: uploaded, Free: places, Made: made, Lease: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if len(claimed) == 0 {
				return
			}
			for _, c := range claimed {
				made[c.Party]++
				places--
			}
		}
	}
	films, ads := source.Party{Tenant: "films", Host: "slow.example.com"}, source.Party{Tenant: "ads", Host: "slow.example.com"}
	for _, step := range []struct {
		source.Party
		n, want int
	}{
		{films, 20, 8}, // Half of the half that the tenant leaves.
		{source.Party{Tenant: "films", Host: "other.example.com"}, 20, 4},
		{ads, 20, 5}, // Half of ten, which is half of what the first leaves.
		{source.Party{Tenant: "books", Host: "slow.example.com"}, 1, 1},
	} {
		begin(step.n, source.Preparation{Tenant: step.Tenant, URI: "https://" + step.Host})
		if claim(false); made[step.Party] != step.want {
			t.Errorf("%v has %d places of %d, want %d", step.Party, made[step.Party], 32, step.want)
		}
	}
	clear(made)
	places = 16
	begin(20, source.Preparation{Tenant: "films", Source: "a"})
	begin(20, source.Preparation{Tenant: "ads", Source: "a"})
	claim(true)
	for _, tenant := range []string{"films", "ads"} {
		if n := made[source.Party{Tenant: tenant, Host: "kie"}]; n != 4 {
			t.Errorf("%s hands %d sources to one account at a time, want 4 of 16", tenant, n)
		}
	}
}

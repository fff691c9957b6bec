// Package sourcetest contains helpers for tests of preparations: a suite that every store passes, and a store in memory.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Store is a store of preparations with the tasks that wait for them.
type Store interface {
	source.Preparations
	// Hold makes a new task wait for a preparation.
	Hold(t testing.TB, p source.Preparation) source.Waiter
	// ReleaseTasks ends the wait of tasks.
	ReleaseTasks(ctx context.Context, waiters []source.Waiter) error
}

// uriOf returns a preparation of a URI at a host.
func uriOf(tenant, host string) source.Preparation {
	return source.Preparation{Tenant: tenant, Account: "kie", URI: "https://" + host + "/" + uuid.NewString() + ".mp4"}
}

// uploadOf returns a preparation of an uploaded source.
func uploadOf(tenant string) source.Preparation {
	return source.Preparation{Tenant: tenant, Account: "kie", Source: task.SourceID(uuid.NewString())}
}

func claim(t *testing.T, s Store, want source.Claim) []source.Claimed {
	t.Helper()
	if want.Lease == 0 {
		want.Lease = time.Hour
	}
	claimed, err := s.ClaimPreparations(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// one claims the only preparation that is due.
func one(t *testing.T, s Store, uploaded bool) source.Claimed {
	t.Helper()
	claimed := claim(t, s, source.Claim{Uploaded: uploaded, Free: 8})
	if len(claimed) != 1 {
		t.Fatalf("%d preparations are due, want 1", len(claimed))
	}
	return claimed[0]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPreparations checks the behavior that a preparer relies on. newStore returns an empty store in which accounts kie
// and luma exist.
func TestPreparations(t *testing.T, newStore func(*testing.T) Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"ATaskJoinsARunningPreparation":  testJoin,
		"AClaimNamesTheSource":           testClaim,
		"ALeaseKeepsOthersAway":          testLease,
		"AFailureDelaysAndCounts":        testDelay,
		"FailedOnesGoLast":               testFailedLast,
		"WaitersEndWithTheirRelease":     testWaiters,
		"ItDoesNotEndWhileATaskJoins":    testEnd,
		"RefusalsAreCounted":             testRefusals,
		"PlacesAreSharedByTenantAndHost": testShares,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newStore(t))
		})
	}
}

func testJoin(t *testing.T, s Store) {
	t.Helper()
	p := uploadOf("films")
	check(t, s.BeginPreparation(t.Context(), p))
	check(t, s.BeginPreparation(t.Context(), p))
	s.Hold(t, p)
	id := one(t, s, true).ID
	if _, joined, err := s.PreparationWaiters(t.Context(), id, 10); err != nil || joined != 3 {
		t.Errorf("%d joined, %v, want 3", joined, err)
	}
}

func testClaim(t *testing.T, s Store) {
	t.Helper()
	byURI, uploaded, abandoned := uriOf("films", "example.com"), uploadOf("films"), uriOf("ads", "example.com")
	s.Hold(t, byURI)
	check(t, s.BeginPreparation(t.Context(), uploaded))
	c := one(t, s, false)
	if c.Preparation != byURI || c.Party != (source.Party{Tenant: "films", Host: "example.com"}) || c.Tries != 0 || c.Age < 0 {
		t.Errorf("claimed %+v, want %+v", c, byURI)
	}
	if c = one(t, s, true); c.Preparation != uploaded || c.Party != (source.Party{Tenant: "films", Host: "kie"}) {
		t.Errorf("claimed %+v, want %+v", c, uploaded)
	}
	check(t, s.BeginPreparation(t.Context(), abandoned))
	if c = one(t, s, false); c.URI != "" || c.Source != "" || c.Tenant != "ads" {
		t.Errorf("claimed %+v, want no URI where no task waits", c)
	}
}

func testLease(t *testing.T, s Store) {
	t.Helper()
	s.Hold(t, uriOf("films", "example.com"))
	c := one(t, s, false)
	check(t, s.RenewPreparations(t.Context(), []source.PreparationID{c.ID, c.ID + 1}, time.Hour))
	if again := claim(t, s, source.Claim{Free: 8}); len(again) != 0 {
		t.Errorf("claimed %+v, which belongs to another replica", again)
	}
	check(t, s.GiveBackPreparation(t.Context(), c))
	if again := one(t, s, false); again.ID != c.ID || again.Tries != 0 {
		t.Errorf("claimed %+v, want %d without a failed try", again, c.ID)
	}
	check(t, s.RenewPreparations(t.Context(), []source.PreparationID{c.ID}, 0))
	if again := one(t, s, false); again.ID != c.ID {
		t.Errorf("claimed %+v, want %d, whose lease has expired", again, c.ID)
	}
}

func testDelay(t *testing.T, s Store) {
	t.Helper()
	s.Hold(t, uriOf("films", "example.com"))
	for tries := range 3 {
		c := one(t, s, false)
		if c.Tries != tries {
			t.Errorf("%d tries are counted, want %d", c.Tries, tries)
		}
		check(t, s.DelayPreparation(t.Context(), c.ID, 0, "status 503"))
	}
	check(t, s.DelayPreparation(t.Context(), one(t, s, false).ID, time.Hour, "status 503"))
	if claimed := claim(t, s, source.Claim{Free: 8}); len(claimed) != 0 {
		t.Errorf("claimed %+v within its delay", claimed)
	}
}

func testFailedLast(t *testing.T, s Store) {
	t.Helper()
	s.Hold(t, uriOf("films", "failing.example.com"))
	check(t, s.DelayPreparation(t.Context(), one(t, s, false).ID, 0, ""))
	s.Hold(t, uriOf("films", "healthy.example.com"))
	for _, want := range []string{"healthy.example.com", "failing.example.com"} {
		if c := claim(t, s, source.Claim{Free: 1}); len(c) != 1 || c[0].Party.Host != want {
			t.Errorf("claimed %+v, want that at %s", c, want)
		}
	}
}

func testWaiters(t *testing.T, s Store) {
	t.Helper()
	p := uriOf("films", "example.com")
	first, second := s.Hold(t, p), s.Hold(t, p)
	other := s.Hold(t, uriOf("films", "example.com"))
	var id source.PreparationID
	for _, c := range claim(t, s, source.Claim{Free: 8}) {
		if c.Preparation == p {
			id = c.ID
		}
	}
	waiters, _, err := s.PreparationWaiters(t.Context(), id, 1)
	if err != nil || len(waiters) != 1 {
		t.Errorf("waiters are %v, %v, want one where one is asked for", waiters, err)
	}
	check(t, s.ReleaseTasks(t.Context(), []source.Waiter{first, other, {Task: second.Task, Revision: second.Revision + 1}}))
	waiters, _, err = s.PreparationWaiters(t.Context(), id, 10)
	if err != nil || len(waiters) != 1 || waiters[0] != second {
		t.Errorf("waiters are %v, %v, want %v, which was released at another revision", waiters, err, second)
	}
}

func testEnd(t *testing.T, s Store) {
	t.Helper()
	p := uriOf("films", "example.com")
	w := s.Hold(t, p)
	id := one(t, s, false).ID
	check(t, s.ReleaseTasks(t.Context(), []source.Waiter{w}))
	_, joined, err := s.PreparationWaiters(t.Context(), id, 10)
	check(t, err)
	late := s.Hold(t, p)
	if ended, err := s.EndPreparation(t.Context(), id, joined); err != nil || ended {
		t.Errorf("it ended, %v, though a task joined", err)
	}
	waiters, joined, err := s.PreparationWaiters(t.Context(), id, 10)
	if err != nil || len(waiters) != 1 || waiters[0] != late {
		t.Errorf("waiters are %v, %v, want %v", waiters, err, late)
	}
	check(t, s.ReleaseTasks(t.Context(), waiters))
	if ended, err := s.EndPreparation(t.Context(), id, joined); err != nil || !ended {
		t.Errorf("it did not end: %v", err)
	}
	if _, _, err := s.PreparationWaiters(t.Context(), id, 10); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("waiters of one that has ended: %v, want ErrNotFound", err)
	}
	if _, err := s.PreparationRefusals(t.Context(), id); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("refusals of one that has ended: %v, want ErrNotFound", err)
	}
}

func testRefusals(t *testing.T, s Store) {
	t.Helper()
	s.Hold(t, uploadOf("films"))
	id := one(t, s, true).ID
	for i, want := range []task.RefusalHistory{{}, {Refusals: 1}, {Refusals: 2, Faults: 1}, {Refusals: 3, Faults: 1}} {
		got, err := s.PreparationRefusals(t.Context(), id)
		if err != nil || got != want {
			t.Errorf("the refusals are %+v, %v, want %+v", got, err, want)
		}
		check(t, s.RefusePreparation(t.Context(), id, []task.Blame{task.BlameAccount, task.BlameTask, task.BlameAccount, task.BlameAccount}[i]))
	}
}

// testShares uses tenants whose preparations never end.
func testShares(t *testing.T, s Store) {
	t.Helper()
	made, places := map[source.Party]int{}, 32
	take := func(uploaded bool) {
		for {
			claimed := claim(t, s, source.Claim{Uploaded: uploaded, Free: places, Made: made})
			if len(claimed) == 0 {
				return
			}
			for _, c := range claimed {
				made[c.Party]++
				places--
			}
		}
	}
	for _, step := range []struct {
		source.Party
		n, want int
	}{
		{source.Party{Tenant: "films", Host: "slow.example.com"}, 20, 8}, // Half of the half that the tenant leaves.
		{source.Party{Tenant: "films", Host: "other.example.com"}, 20, 4},
		{source.Party{Tenant: "ads", Host: "slow.example.com"}, 20, 5}, // Half of ten, which is half of what the first leaves.
		{source.Party{Tenant: "books", Host: "slow.example.com"}, 1, 1},
	} {
		for range step.n {
			check(t, s.BeginPreparation(t.Context(), uriOf(step.Tenant, step.Host)))
		}
		if take(false); made[step.Party] != step.want {
			t.Errorf("%v has %d places of 32, want %d", step.Party, made[step.Party], step.want)
		}
	}
	clear(made)
	places = 16
	for i := range 40 {
		check(t, s.BeginPreparation(t.Context(), uploadOf(fmt.Sprintf("tenant-%d", i%2))))
	}
	take(true)
	for i := range 2 {
		if n := made[source.Party{Tenant: fmt.Sprintf("tenant-%d", i), Host: "kie"}]; n != 4 {
			t.Errorf("tenant %d hands %d sources to one account at a time, want 4 of 16", i, n)
		}
	}
}

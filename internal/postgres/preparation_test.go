package postgres_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// hold lets a task wait for a preparation of its source for an account, as an attempt does whose source is not ready.
func hold(t *testing.T, store *postgres.Store, id task.ID, account string) {
	t.Helper()
	attempt := admit(t, store, id)
	_, err := store.ChangeAnyTask(t.Context(), id, func(now task.Task) (lifecycle.Change, error) {
		d, err := now.Apply(task.Refused{Attempt: attempt, Message: "not sent"})
		return lifecycle.Change{Decision: d, Prepare: new(source.PreparationOf(now, account))}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claim takes all preparations up that are due.
func claim(t *testing.T, store *postgres.Store) []source.Claimed {
	t.Helper()
	claimed, err := store.ClaimPreparations(t.Context(), 10, nil, 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

func TestClaimPreparations_NameNoSourceOnceItsWaitersAreGone(t *testing.T) {
	t.Parallel()
	store, _ := setup(t)
	byURI, uploaded := plain(), plain()
	uploaded.SourceURI, uploaded.SourceID = "", task.SourceID(newID())
	for _, spec := range []task.Spec{byURI, uploaded} {
		id := create(t, store, "films", spec).ID
		hold(t, store, id, "first")
		hold(t, store, id, "second") // It waits there from now on.
	}
	got := map[source.Preparation]int{}
	for _, c := range claim(t, store) {
		got[c.Preparation]++
	}
	for _, want := range []source.Preparation{
		{Tenant: "films", Account: "first"}, // The one that nobody can make, or wants.
		{Tenant: "films", Account: "second", URI: byURI.SourceURI},
		{Tenant: "films", Account: "first", Source: uploaded.SourceID},
		{Tenant: "films", Account: "second", Source: uploaded.SourceID},
	} {
		if got[want] != 1 {
			t.Errorf("claimed %v, want %+v once", got, want)
		}
	}
}

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/tenants"
)

func TestCreateTasks_OneRequestIDMakesOneTask(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	known := submit(t.Context(), stores, "films", "known", plain())
	another := plain()
	another.Prompt = "make it rain"
	results := stores.Tasks.CreateTasks(t.Context(), []task.Decision{
		begin("films", "a", plain()), begin("films", "a", plain()), begin("films", "a", another), begin("films", "known", plain()),
		begin("shorts", "a", plain()), begin("films", "b", plain()), begin("films", "known", another),
	})
	for i, want := range []struct {
		isNew bool
		as    int // Whose task it is, -1 for the known one.
	}{{true, 0}, {false, 0}, {false, 0}, {false, -1}, {true, 4}, {true, 5}, {false, -1}} {
		task := known.Task
		if want.as >= 0 {
			task = results[want.as].Task
		}
		if r := results[i]; r.Err != nil || r.New != want.isNew {
			t.Errorf("result %d = new %t, %v, want new %t", i, r.New, r.Err, want.isNew)
		} else if diff := cmp.Diff(task, r.Task, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("result %d (-want +got):\n%s", i, diff)
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM task_event"); n != 4 {
		t.Errorf("%d events, want one for each of the four tasks", n)
	}
}

func TestCreateTasks_WhatCantBeStoredFailsAlone(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	ds := make([]task.Decision, 50)
	for i := range ds {
		ds[i] = begin("films", newID(), plain())
	}
	ds[7].Task.Spec.Prompt = "a\x00b" // PostgreSQL can't keep it.
	ds[31].Task.Tenant = ""           // A constraint refuses it.
	for i, r := range stores.Tasks.CreateTasks(t.Context(), ds) {
		if poison := i == 7 || i == 31; (r.Err != nil) != poison || r.New == poison {
			t.Errorf("result %d = new %t, %v", i, r.New, r.Err)
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM task"); n != 48 {
		t.Errorf("%d tasks, want 48", n)
	}
}

func TestCreateTasks_RefusesWhatDoesNotFitIntoTheQueue(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	for _, r := range stores.Tasks.CreateTasks(t.Context(), slices.Repeat([]task.Decision{begin("films", "r1", plain())}, postgres.CreateQueue+1)) {
		if !errors.Is(r.Err, groupcommit.ErrFull) {
			t.Fatalf("a set that is too large for the queue = %v, want ErrFull", r.Err)
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM task"); n != 0 {
		t.Errorf("%d tasks were stored", n)
	}
}

func TestCreateTasks_AllFailAtOnceWhenTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	pool.Close()
	for _, r := range stores.Tasks.CreateTasks(t.Context(), []task.Decision{begin("films", "a", plain()), begin("films", "b", plain())}) {
		if !dbpool.Unavailable(r.Err) {
			t.Errorf("without a database = %v, want an error that says so", r.Err)
		}
	}
}

// Sets with the same request ids, in any order, make one task of each and do not block each other.
func TestCreateTasks_SetsDontBlockEachOther(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	exec(t, pool, "INSERT INTO tenant (tenant, max_per_day) VALUES ('tenant-1', 1000), ('tenant-2', 1000)")
	const rounds = 4
	for round := range rounds {
		for _, err := range postgrestest.AtOnce(t.Context(), 8, func(ctx context.Context, n int) error {
			var ds []task.Decision
			for i := range 60 {
				tenant := fmt.Sprint("tenant-", i%3)
				if n < 4 {
					tenant = "tenant-0" // Not held up by the locks of the other tenants' quotas.
				}
				ds = append(ds, begin(tenant, fmt.Sprint("request-", round, "-", i), plain()))
			}
			rand.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
			return stores.Tasks.CreateTogether(ctx, ds)
		}) {
			t.Error(err)
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM task"); n != rounds*100 {
		t.Errorf("%d tasks, want %d", n, rounds*100)
	}
	if n := count(t, pool, "SELECT sum(submissions)::int FROM tenant_day"); n != rounds*40 {
		t.Errorf("%d submissions are counted, want %d", n, rounds*40)
	}
}

// Whatever sets come, each item is answered as it would be if they came one by one, in the order of the set.
func TestCreateTasks_QuotasAreThoseOfOneByOne(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		tenant := newID()
		queued, day := rapid.IntRange(0, 6).Draw(t, "max_queued"), rapid.IntRange(0, 6).Draw(t, "max_per_day") // 0 means none.
		_, err := pool.Exec(ctx, "INSERT INTO tenant (tenant, max_queued, max_per_day) VALUES ($1, nullif($2, 0), nullif($3, 0))", tenant, queued, day)
		if err != nil {
			t.Fatal(err)
		}
		made := map[string]bool{}
		for range rapid.IntRange(1, 3).Draw(t, "sets") {
			var ds []task.Decision
			ids := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}), 1, 9).Draw(t, "request ids")
			for _, id := range ids {
				ds = append(ds, begin(tenant, id, plain()))
			}
			ds = append(ds, begin("without quota", newID(), plain()))
			results := stores.Tasks.CreateTasks(ctx, ds)
			for i, id := range ids {
				var want tenants.Quota
				switch {
				case made[id]:
				case day > 0 && len(made) >= day: // Of two that are spent, the one that lasts longer is returned.
					want = tenants.QuotaPerDay
				case queued > 0 && len(made) >= queued:
					want = tenants.QuotaQueued
				}
				checkQuota(t, id, results[i], want, !made[id])
				if want == "" {
					made[id] = true
				}
			}
			if r := results[len(ids)]; r.Err != nil || !r.New {
				t.Fatalf("a tenant without quota got %+v", r)
			}
		}
	})
}

func checkQuota(t *rapid.T, id string, r lifecycle.NewTask, want tenants.Quota, isNew bool) {
	qe, refused := errors.AsType[*tenants.QuotaError](r.Err)
	switch {
	case want == "" && (r.Err != nil || r.New != isNew || r.Task.RequestID != id):
		t.Fatalf("%s = request id %s, new %t, %v, want new %t", id, r.Task.RequestID, r.New, r.Err, isNew)
	case want != "" && (!refused || qe.Quota != want || qe.Retry <= 0):
		t.Fatalf("%s = %v, want %s", id, r.Err, want)
	}
}

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// running stores a task that waits for its callback, as providerTask names it, and returns its attempt.
func running(t *testing.T, stores *postgres.Stores) task.AttemptID {
	t.Helper()
	created := create(t, stores, "films", plain())
	id := admit(t, stores, created.ID)
	apply(t, stores, created.ID, task.Sending{Attempt: id})
	apply(t, stores, created.ID, task.Accepted{Attempt: id, ProviderTaskID: providerTask(id), CheckAfter: time.Minute})
	return id
}

// providerTask is the provider task id of an attempt: no two have the same.
func providerTask(id task.AttemptID) string { return "p-" + string(id) }

// finishing decides what a callback with a result does: what the state machine decides, and a row in the inbox.
func finishing(id task.AttemptID) lifecycle.Decide {
	return func(t task.Task) (lifecycle.Change, error) {
		d, err := t.Apply(task.ResultReady{Attempt: id, ProviderTaskID: providerTask(id)})
		return lifecycle.Change{Decision: d, Callback: inbox(id)}, err
	}
}

func inbox(id task.AttemptID) *lifecycle.Callback {
	return &lifecycle.Callback{AttemptID: id, Account: "kie", ProviderTaskID: providerTask(id), Verdict: lifecycle.Applied, Body: []byte("{\"a\":\"\\u0000\xff\"}")}
}

// change is one request and its result.
type change struct {
	attempt task.AttemptID
	decide  lifecycle.Decide

	task task.Task
	err  error
}

// inOneSet makes changes that are committed in one set: others hold up everything until all of them wait.
func inOneSet(t *testing.T, stores *postgres.Stores, pool *pgxpool.Pool, changes []*change) {
	t.Helper()
	blockers := make([]task.AttemptID, postgres.ChangeSetsAtOnce)
	for i := range blockers {
		blockers[i] = running(t, stores)
	}
	holder := postgrestest.Begin(t, pool)
	if _, err := holder.Exec(t.Context(), "SELECT FROM task WHERE id IN (SELECT task_id FROM attempt WHERE id = ANY ($1)) FOR UPDATE", blockers); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, len(blockers)+len(changes))
	for i, id := range blockers {
		go func() {
			_, _ = stores.Tasks.ChangeByAttempt(t.Context(), id, applying(task.CancelRequested{}))
			done <- struct{}{}
		}()
		postgrestest.Until(t, func() bool {
			return count(t, pool, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == i+1
		})
	}
	for i, c := range changes {
		go func() {
			c.task, c.err = stores.Tasks.ChangeByAttempt(t.Context(), c.attempt, c.decide)
			done <- struct{}{}
		}()
		postgrestest.Until(t, func() bool { return stores.Tasks.WaitingChanges() == i+1 })
	}
	if err := holder.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		<-done
	}
}

func waitingForLocks(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	return count(t, pool, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
}

func TestChangeSet_WritesEachChangeAsIfAlone(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	var changes []*change
	for range 20 {
		id := running(t, stores)
		changes = append(changes, &change{attempt: id, decide: finishing(id)})
	}
	inOneSet(t, stores, pool, changes)
	for _, c := range changes {
		if c.err != nil || c.task.State != task.Saving || c.task.Result != c.attempt {
			t.Errorf("task %s is %s with result %q, %v, want SAVING", c.task.ID, c.task.State, c.task.Result, c.err)
		}
	}
	transactions := count(t, pool, "SELECT count(DISTINCT xmin::text) FROM task WHERE state = 'SAVING'")
	if transactions != 1 {
		t.Errorf("the changes were committed in %d transactions, want 1", transactions)
	}
	for what, sql := range map[string]string{
		"events":    "SELECT count(*) FROM task_event WHERE state = 'SAVING' AND revision = 4",
		"jobs":      "SELECT count(DISTINCT args) FROM river_job WHERE kind = 'save_outputs'",
		"callbacks": "SELECT count(DISTINCT attempt_id) FROM callback WHERE body = '{\"a\":\"\\\\u0000\\377\"}'::bytea",
	} {
		if n := count(t, pool, sql); n != 20 {
			t.Errorf("%d %s, want 20", n, what)
		}
	}
}

func TestChangeSet_ChangesOfOneTaskFollowEachOther(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	id := running(t, stores)
	var seen []task.State
	note := func(decide lifecycle.Decide) lifecycle.Decide {
		return func(t task.Task) (lifecycle.Change, error) {
			seen = append(seen, t.State)
			return decide(t)
		}
	}
	changes := []*change{
		{attempt: id, decide: note(applying(task.CancelRequested{}))},
		{attempt: id, decide: note(applying(task.RetryRequested{}))}, // Adopts the open attempt, and renews the deadline.
		{attempt: id, decide: note(finishing(id))},
		{attempt: id, decide: note(finishing(id))}, // A duplicate: kept, and changes nothing.
	}
	inOneSet(t, stores, pool, changes)
	for i, want := range []struct {
		seen, state task.State
		revision    int64
	}{
		{task.Running, task.Canceled, 4}, {task.Canceled, task.Running, 5}, {task.Running, task.Saving, 6}, {task.Saving, task.Saving, 6},
	} {
		c := changes[i]
		if c.err != nil || seen[i] != want.seen || c.task.State != want.state || c.task.Revision != want.revision {
			t.Errorf("change %d saw %s and made %s at revision %d, %v, want %+v", i, seen[i], c.task.State, c.task.Revision, c.err, want)
		}
	}
	if got, want := changes[2].task.DeadlineTime, changes[2].task.UpdateTime.Add(time.Hour); !got.Equal(want) {
		t.Errorf("the renewed deadline is %s, want %s", got, want)
	}
	if n := count(t, pool, "SELECT count(*) FROM callback"); n != 2 {
		t.Errorf("%d callbacks are kept, want both", n)
	}
}

func TestChangeSet_WhatCantBeWrittenFailsAlone(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	errUndecided := errors.New("undecided")
	failing := []struct {
		name   string
		decide func(task.AttemptID) lifecycle.Decide
		is     func(error) bool
	}{
		{"a decision that fails", func(task.AttemptID) lifecycle.Decide {
			return func(task.Task) (lifecycle.Change, error) { return lifecycle.Change{}, errUndecided }
		}, func(err error) bool { return errors.Is(err, errUndecided) }},
		{"a decision that panics", func(task.AttemptID) lifecycle.Decide {
			return func(t task.Task) (lifecycle.Change, error) {
				return lifecycle.Change{Resume: &lifecycle.Resume{Account: t.Attempts[7].Account}}, nil
			}
		}, func(err error) bool { _, ok := errors.AsType[*groupcommit.PanicError](err); return ok }},
		{"a callback of nobody", func(id task.AttemptID) lifecycle.Decide {
			return func(t task.Task) (lifecycle.Change, error) {
				c, err := finishing(id)(t)
				c.Callback = inbox(task.AttemptID(newID()))
				return c, err
			}
		}, refusedBy("callback_attempt_fkey")},
		{"a job that is refused", func(id task.AttemptID) lifecycle.Decide {
			return func(t task.Task) (lifecycle.Change, error) {
				c, err := finishing(id)(t)
				c.Jobs = append(c.Jobs, badJob{})
				return c, err
			}
		}, func(err error) bool { return err != nil }},
	}
	var changes []*change
	for range 10 {
		id := running(t, stores)
		changes = append(changes, &change{attempt: id, decide: finishing(id)})
	}
	for i, f := range failing {
		id := running(t, stores)
		changes = slices.Insert(changes, 2*i, &change{attempt: id, decide: f.decide(id)})
	}
	changes = append(changes, &change{attempt: task.AttemptID(newID()), decide: applying(task.CancelRequested{})})
	inOneSet(t, stores, pool, changes)
	good := 0
	for i, c := range changes {
		switch {
		case i%2 == 0 && i/2 < len(failing):
			if f := failing[i/2]; !f.is(c.err) {
				t.Errorf("%s = %v", f.name, c.err)
			}
			if n := count(t, pool, "SELECT count(*) FROM callback WHERE attempt_id = $1", c.attempt); n != 0 {
				t.Errorf("%s left a callback", failing[i/2].name)
			}
		case i == len(changes)-1:
			if !errors.Is(c.err, lifecycle.ErrAttemptNotFound) {
				t.Errorf("a change of an unknown attempt = %v, want ErrAttemptNotFound", c.err)
			}
		case c.err != nil || c.task.State != task.Saving:
			t.Errorf("a neighbour is %s, %v, want SAVING", c.task.State, c.err)
		default:
			good++
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM task WHERE state = 'SAVING'"); n != good || good != 10 {
		t.Errorf("%d tasks are SAVING in the table and %d by their results, want 10", n, good)
	}
}

// Sets of the same tasks, in any order, neither block each other nor lose a change.
func TestChangeSet_SetsDontBlockEachOther(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	attempts := make([]task.AttemptID, 12)
	for i := range attempts {
		attempts[i] = running(t, stores)
	}
	const sets = 24
	for _, err := range postgrestest.AtOnce(t.Context(), sets, func(ctx context.Context, _ int) error {
		mine := slices.Clone(attempts)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		return stores.Tasks.ChangeTogether(ctx, mine, func(t task.Task) (lifecycle.Change, error) {
			var in task.Input = task.CancelRequested{}
			if t.State == task.Canceled {
				in = task.RetryRequested{}
			}
			d, err := t.Apply(in)
			return lifecycle.Change{Decision: d}, err
		})
	}) {
		t.Error(err)
	}
	n := count(t, pool, "SELECT count(*) FROM task WHERE revision = 3 + $1 AND revision = (SELECT count(*) FROM task_event WHERE task_id = task.id)", sets)
	if n != len(attempts) {
		t.Errorf("%d of %d tasks have all their events", n, len(attempts))
	}
}

// Sets that pause the same accounts, in any order, do not block each other either.
func TestChangeSet_PausesDontBlockEachOther(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	accounts := []string{"kie", "kie-2", "kie-3", "kie-4"}
	exec(t, pool, "INSERT INTO provider_account (account, provider) VALUES ('kie-2', 'kie'), ('kie-3', 'kie'), ('kie-4', 'kie')")
	const sets = 12
	attempts := make([]task.AttemptID, sets*len(accounts))
	for i := range attempts {
		attempts[i] = running(t, stores)
	}
	for _, err := range postgrestest.AtOnce(t.Context(), sets, func(ctx context.Context, i int) error {
		mine := slices.Clone(accounts)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		for range 5 {
			next := 0
			err := stores.Tasks.ChangeTogether(ctx, attempts[i*len(mine):][:len(mine)], func(t task.Task) (lifecycle.Change, error) {
				p := lifecycle.Pause{Account: mine[next], Reason: "test", For: time.Minute, Max: time.Minute}
				next++
				return lifecycle.Change{Decision: task.Decision{Task: t}, Pause: &p}, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}) {
		t.Error(err)
	}
}

func TestChangeByAttempt_ALockedTaskDoesNotHoldUpItsNeighbours(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	stores.Tasks.SetLockTimeout(time.Second)
	stuck, free := running(t, stores), running(t, stores)
	holder := postgrestest.Begin(t, pool)
	if _, err := holder.Exec(t.Context(), "SELECT FROM task WHERE id = (SELECT task_id FROM attempt WHERE id = $1) FOR UPDATE", stuck); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, postgres.ChangeSetsAtOnce)
	for i := range cap(ended) { // Every set is stuck.
		go func() {
			_, err := stores.Tasks.ChangeByAttempt(t.Context(), stuck, applying(task.CancelRequested{}))
			ended <- err
		}()
		postgrestest.Until(t, func() bool { // On a slow machine the first may have ended.
			return len(ended)+waitingForLocks(t, pool) == i+1
		})
	}
	got, err := stores.Tasks.ChangeByAttempt(t.Context(), free, finishing(free)) // The holder holds the task until the test ends.
	if err != nil || got.State != task.Saving {
		t.Errorf("the neighbour is %s, %v, want SAVING", got.State, err)
	}
	for range cap(ended) {
		if err := <-ended; !dbpool.Locked(err) && !dbpool.Canceled(err) { // PostgreSQL may report either.
			t.Errorf("the change of the locked task = %v, want an error that says it is locked", err)
		}
	}
}

func TestChangeByAttempt_ACanceledStatementDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	canceled, free := running(t, stores), running(t, stores)
	exec(t, pool, fmt.Sprintf(`CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.task_id = (SELECT task_id FROM attempt WHERE id = '%s') THEN
				RAISE EXCEPTION 'canceled' USING ERRCODE = '57014';
			END IF;
			RETURN NEW;
		END $$`, canceled))
	exec(t, pool, "CREATE TRIGGER cancel BEFORE INSERT ON task_event FOR EACH ROW EXECUTE FUNCTION cancel()")
	changes := []*change{{attempt: canceled, decide: finishing(canceled)}, {attempt: free, decide: finishing(free)}}
	inOneSet(t, stores, pool, changes)
	if err := changes[0].err; !dbpool.Canceled(err) {
		t.Errorf("the change that the server canceled = %v, want an error that says so", err)
	}
	if changes[1].err != nil || changes[1].task.State != task.Saving {
		t.Errorf("the neighbour is %s, %v, want SAVING", changes[1].task.State, changes[1].err)
	}
}

func TestChangeByAttempt_ACallerWhoLeavesHarmsNobody(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	leaving, leave := context.WithCancel(t.Context())
	gone, stays := running(t, stores), running(t, stores)
	changes := []*change{{attempt: stays, decide: finishing(stays)}, {attempt: gone, decide: func(t task.Task) (lifecycle.Change, error) {
		leave() // In the middle of the set.
		return finishing(gone)(t)
	}}}
	result := make(chan error, 1)
	go func() {
		_, err := stores.Tasks.ChangeByAttempt(leaving, gone, changes[1].decide)
		result <- err
	}()
	if err := <-result; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}
	inOneSet(t, stores, pool, changes[:1])
	if changes[0].err != nil || changes[0].task.State != task.Saving {
		t.Errorf("the neighbour is %s, %v, want SAVING", changes[0].task.State, changes[0].err)
	}
	if err := stores.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, pool, "SELECT count(*) FROM task WHERE state = 'SAVING'"); n != 2 {
		t.Errorf("%d tasks are SAVING, want that of the caller that left, too", n)
	}
	if _, err := stores.Tasks.ChangeByAttempt(t.Context(), stays, applying(task.CancelRequested{})); !errors.Is(err, groupcommit.ErrClosed) {
		t.Errorf("a change after Close = %v, want ErrClosed", err)
	}
}

// refusedBy reports whether a constraint refused a row.
func refusedBy(constraint string) func(error) bool {
	return func(err error) bool {
		pe, ok := errors.AsType[*pgconn.PgError](err)
		return ok && pe.ConstraintName == constraint
	}
}

// TestChanges_AreRepeatedAfterARollbackOfTheServers has the server roll the first try of each transaction back, as it does to end
// a deadlock. Numbers of a sequence survive that.
func TestChanges_AreRepeatedAfterARollbackOfTheServers(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40001", "40P01"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			stores, pool := setup(t)
			exec(t, pool, "CREATE SEQUENCE tries")
			exec(t, pool, fmt.Sprintf(`CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					IF nextval('tries') %% 2 = 1 THEN
						RAISE EXCEPTION 'rolled back' USING ERRCODE = '%s';
					END IF;
					RETURN NEW;
				END $$`, code))
			exec(t, pool, "CREATE TRIGGER fail_at_first BEFORE INSERT ON task_event FOR EACH ROW EXECUTE FUNCTION fail_at_first()")
			id := create(t, stores, "films", plain()).ID
			attempt := admit(t, stores, id)
			if _, err := stores.Tasks.ChangeByAttempt(t.Context(), attempt, func(tk task.Task) (lifecycle.Change, error) {
				d, err := tk.Apply(task.CancelRequested{})
				return lifecycle.Change{Decision: d}, err
			}); err != nil {
				t.Errorf("a grouped change: %v", err)
			}
		})
	}
}

package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// limitedStudio is a provider of which admission asks nothing but its limits.
type limitedStudio struct {
	provider.Provider
	name   string
	limits provider.Limits
}

func (s limitedStudio) Name() string { return s.name }

func (s limitedStudio) Capabilities() provider.Capabilities {
	return provider.Capabilities{Limits: s.limits}
}

// fleet is the verbs over a real store.
type fleet struct {
	*lifecycle.Lifecycle
	store *postgres.Stores
	pool  *pgxpool.Pool
	pause *pauseTime
}

// pauseTime is what a test knows about the pause of the account.
type pauseTime struct {
	answered time.Time     // The database's time before the newest answers.
	extended time.Duration // By how much the test extended the pause, so that it does not end meanwhile.
}

// window is the rate window of setupFleet. No test lasts as long, so that a permit comes back only when a test says so.
const window = time.Hour

// setupFleet returns the verbs over a fresh database and a provider with these limits.
func setupFleet(t *testing.T, submissions, inFlight int) fleet {
	t.Helper()
	return setupFleetWith(t, submissions, inFlight, nil)
}

// setupFleetWith is setupFleet with a catalog; nil is the built-in one.
func setupFleetWith(t *testing.T, submissions, inFlight int, models func() *catalog.Catalog) fleet {
	t.Helper()
	pool := postgrestest.Pool(t)
	store, err := postgres.NewStores(postgres.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	limits := provider.Limits{Submissions: submissions, Window: window, InFlight: inFlight}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store.Tasks, Offerings: store.Offerings, Inbox: store.Inbox, Saves: store.Storage, Sources: store.Sources, Accounts: provider.Accounts{"kie": limitedStudio{name: "kie", limits: limits}, "luma": limitedStudio{name: "luma", limits: limits}}, Route: []string{"kie"}, Catalog: models,
		CheckSource: func(string) error { return nil }, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fleet{Lifecycle: verbs, store: store, pool: pool, pause: &pauseTime{}}
}

// submit makes tasks of this priority and returns their ids.
func (s fleet) submit(t *testing.T, n int, priority int32) []task.ID {
	t.Helper()
	ids := make([]task.ID, n)
	for i := range ids {
		submitted, err := s.Submit(t.Context(), "films", uuid.NewString(), task.Spec{Prompt: "snow", Priority: priority})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = submitted.ID
	}
	return ids
}

// round admits what may go and returns how much that was.
func (s fleet) round(t *testing.T) int {
	t.Helper()
	n, err := s.Admit(t.Context(), "kie")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// expect runs rounds until nothing goes any more, and checks how much went.
func (s fleet) expect(t *testing.T, want int) {
	t.Helper()
	total := 0
	for n := s.round(t); n > 0; n = s.round(t) {
		total += n
	}
	if total != want {
		t.Fatalf("%d tasks were admitted, want %d", total, want)
	}
}

// submitting returns the attempts that wait for their answer, oldest first.
func (s fleet) submitting(t *testing.T) []task.AttemptID {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "SELECT id FROM attempt WHERE state = 'SUBMITTING' ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[task.AttemptID])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// answer lets the provider answer every attempt that waits for it, and extends the pause that the answers cause, so that
// it outlasts the test.
func (s fleet) answer(t *testing.T, answer error) {
	t.Helper()
	s.noteTime(t)
	for _, id := range s.submitting(t) {
		err := s.Send(t.Context(), id, "", func(context.Context, task.Task) (provider.Receipt, error) {
			return provider.Receipt{TaskID: "p-" + string(id)}, answer
		})
		if err != nil {
			t.Fatal(err)
		}
		s.extendPause(t)
	}
}

// noteTime notes the database's time before answers.
func (s fleet) noteTime(t *testing.T) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&s.pause.answered); err != nil {
		t.Fatal(err)
	}
}

// extendPause extends a pause once, by an hour.
func (s fleet) extendPause(t *testing.T) {
	t.Helper()
	if s.pause.extended > 0 {
		return
	}
	const extend = `UPDATE provider_account
		SET paused_until_time = paused_until_time + interval '1 hour', task_probe_time = task_probe_time + interval '1 hour'
		WHERE paused_until_time IS NOT NULL`
	tag, err := s.pool.Exec(t.Context(), extend)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() == 1 {
		s.pause.extended = time.Hour
	}
}

// states returns the state of each task.
func (s fleet) states(t *testing.T, ids []task.ID) []task.State {
	t.Helper()
	states := make([]task.State, len(ids))
	for i, id := range ids {
		err := s.pool.QueryRow(t.Context(), "SELECT state FROM task WHERE id = $1", id).Scan(&states[i])
		if err != nil {
			t.Fatal(err)
		}
	}
	return states
}

func (s fleet) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// admitAtOnce lets replicas admit until each finds nothing to do, several times over.
func (s fleet) admitAtOnce(t *testing.T, replicas int) {
	t.Helper()
	results := make(chan error, replicas)
	for range replicas {
		go func() {
			for range 10 {
				if _, err := s.Admit(t.Context(), "kie"); err != nil {
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	for range replicas {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestAdmit_WindowIsExactWhileManyReplicasAdmit(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 7, 100)
	s.submit(t, 30, 0)
	s.admitAtOnce(t, 8)
	if n := len(s.submitting(t)); n != 7 {
		t.Fatalf("%d attempts were admitted, want 7", n)
	}
	// The answers end no permit: the window begins with them.
	s.answer(t, nil)
	s.admitAtOnce(t, 8)
	if n := len(s.submitting(t)); n != 0 {
		t.Fatalf("%d attempts were admitted within the window, want none", n)
	}
	// Three answers leave the window.
	s.exec(t, `UPDATE attempt SET answer_time = now() - $1::float8 * interval '1 s' - interval '1 ms'
		WHERE id IN (SELECT id FROM attempt ORDER BY id LIMIT 3)`, window.Seconds())
	s.admitAtOnce(t, 8)
	if n := len(s.submitting(t)); n != 3 {
		t.Fatalf("%d attempts were admitted, want the 3 whose permits came back", n)
	}
}

func TestAdmit_InFlightCapIsExactWhileManyReplicasAdmit(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1000, 9)
	s.submit(t, 30, 0)
	s.admitAtOnce(t, 8)
	if n := len(s.submitting(t)); n != 9 {
		t.Fatalf("%d attempts were admitted, want 9", n)
	}
	ids := s.submitting(t)
	s.answer(t, nil)
	for _, id := range ids[:4] {
		check := lifecycle.Check{Attempt: id, ProviderTaskID: "p-" + string(id)}
		if err := s.SettleCheck(t.Context(), check, provider.Status{Phase: provider.Failed}, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.admitAtOnce(t, 8)
	if n := len(s.submitting(t)); n != 4 {
		t.Fatalf("%d attempts were admitted, want 4 in the place of those that ended", n)
	}
}

// An attempt of a canceled task still runs at the provider, and one with unknown outcome may.
func TestAdmit_CountsWhatMayRunAtTheProvider(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1000, 2)
	ids := s.submit(t, 4, 0)
	s.expect(t, 2)
	if _, err := s.Cancel(t.Context(), "films", ids[0]); err != nil {
		t.Fatal(err)
	}
	s.answer(t, errors.New("connection lost"))
	s.expect(t, 1) // The canceled one was refused unsent; the other is unconfirmed.
	if _, err := s.Cancel(t.Context(), "films", ids[1]); err != nil {
		t.Fatal(err)
	}
	s.answer(t, nil)
	s.expect(t, 0)
}

func TestAdmit_PriorityGoesBeforeAge(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 100)
	low, old, young, high := s.submit(t, 1, -5), s.submit(t, 1, 0), s.submit(t, 1, 0), s.submit(t, 1, 5)
	want := slices.Concat(high, old, young, low)
	var got []task.ID
	for range want {
		s.expect(t, 1)
		admitted, err := s.store.Tasks.TaskOfAttempt(t.Context(), s.submitting(t)[0])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, admitted.ID)
		s.answer(t, nil)
		s.leaveWindow(t)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("admitted tasks (-want +got):\n%s", diff)
	}
}

func TestAdmit_KeepsADelayedTaskWaiting(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 10)
	s.submit(t, 1, 0)
	s.expect(t, 1)
	s.answer(t, &provider.Error{Class: provider.NotSent})
	s.pass(t)
	s.exec(t, "UPDATE task SET not_before_time = not_before_time + interval '1 hour'") // So that it does not end meanwhile.
	s.expect(t, 0)
	s.exec(t, "UPDATE task SET not_before_time = now()")
	s.expect(t, 1)
}

func TestAdmit_PassesOverALockedTask(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 10)
	ids := s.submit(t, 3, 0)
	tx := postgrestest.Begin(t, s.pool)
	if _, err := tx.Exec(t.Context(), "SELECT FROM task WHERE id = $1 FOR UPDATE", ids[1]); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 2)
	if diff := cmp.Diff([]task.State{task.Submitting, task.Queued, task.Submitting}, s.states(t, ids)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 1)
}

func TestAdmit_PassesWhileAnotherReplicaHoldsTheAccount(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 10)
	s.submit(t, 1, 0)
	tx := postgrestest.Begin(t, s.pool)
	if _, err := tx.Exec(t.Context(), "SELECT FROM provider_account FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 0)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 1)
}

func TestAdmit_EnqueuesASubmitJobForEachAttempt(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 5, 10)
	s.submit(t, 8, 0)
	s.expect(t, 5)
	rows, err := s.pool.Query(t.Context(), `SELECT args ->> 'attempt_id' FROM river_job
		WHERE kind = 'submit_attempt' AND queue = 'submit_attempt' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[task.AttemptID])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.submitting(t), jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestAdmit_ReturnsWhatItStores(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 5, 10)
	ids := s.submit(t, 2, 0)
	admitted, err := s.store.Tasks.AdmitTasks(t.Context(), five())
	if err != nil || len(admitted) != len(ids) {
		t.Fatalf("AdmitTasks = %d tasks, %v, want %d", len(admitted), err, len(ids))
	}
	for i, returned := range admitted {
		stored, err := s.store.Tasks.Task(t.Context(), "films", ids[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored, returned); diff != "" {
			t.Errorf("the admitted task (-stored +returned):\n%s", diff)
		}
	}
}

func TestAdmit_AFailedWriteAdmitsNone(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 5, 10)
	ids := s.submit(t, 3, 0)
	other := s.submit(t, 1, 0)[0]
	s.exec(t, "UPDATE task SET state = 'CANCELED' WHERE id = $1", other)
	s.exec(t, "INSERT INTO attempt (id, task_id, number, provider, account, state, answer_time) VALUES ($1, $2, 1, 'kie', 'kie', 'REFUSED', now())",
		task.NewAttemptID(ids[1], 1), other) // The second attempt can't be written.
	_, err := s.store.Tasks.AdmitTasks(t.Context(), five())
	if err == nil {
		t.Error("AdmitTasks = nil, want an error")
	}
	if diff := cmp.Diff([]task.State{task.Queued, task.Queued, task.Queued}, s.states(t, ids)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if n := len(s.submitting(t)); n != 0 {
		t.Errorf("%d attempts are stored, want none", n)
	}
}

// five is a round that admits five tasks to account "kie".
func five() admission.Round {
	return admission.Round{Provider: "kie", Limits: admission.AccountLimits{"kie": {Submissions: 5, Window: time.Second, InFlight: 5}}}
}

// An overdue task is about to fail; an attempt of it would be paid for in vain.
func TestAdmit_LeavesAnOverdueTask(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 10)
	ids := s.submit(t, 2, 0)
	s.exec(t, "UPDATE task SET deadline_time = now() WHERE id = $1", ids[0])
	s.expect(t, 1)
	if diff := cmp.Diff([]task.State{task.Queued, task.Submitting}, s.states(t, ids)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// Tasks whose other providers are not configured any more can't move on. They must neither count as changed, which would begin the
// next round at once, nor hide the tasks that can.
func TestAdmit_AtABlockedProviderOnlyTasksWithAnotherOneChange(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 10, 10)
	s.submit(t, admission.MaxTasks, 1)
	s.exec(t, "UPDATE task SET route = '{kie,gone}'")
	movable := s.submit(t, 1, 0)
	s.exec(t, "UPDATE task SET route = '{kie,luma}' WHERE id = $1", movable[0])
	s.exec(t, `UPDATE provider_account SET pauses = 1, pause_reason = 'x', blocked = true,
		paused_until_time = now() + interval '1 hour', task_probe_time = now() + interval '1 hour', tenant_probe_time = now() + interval '1 hour'`)
	s.expect(t, 1)
	if got := (probed{s}).strings(t, "SELECT provider FROM task WHERE id = $1", movable[0]); got[0] != "luma" {
		t.Errorf("the task is at %s, want luma", got[0])
	}
}

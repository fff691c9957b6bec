package lifecycle_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// studio is a provider of which the verbs ask nothing but its capabilities: all calls are made by workers.
type studio struct {
	provider.Provider
	callbacks provider.Callbacks
}

func (studio) Name() string { return "kie" }

func (s studio) Capabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks:       s.callbacks,
		Limits:          provider.Limits{Submissions: 20, Window: 10 * time.Second, InFlight: 100},
		PollInterval:    30 * time.Second,
		TypicalDuration: 5 * time.Minute,
	}
}

// service is the verbs over a real store.
type service struct {
	*lifecycle.Lifecycle
	store *postgres.Stores
	pool  *pgxpool.Pool
}

// setup returns the verbs over a fresh database.
func setup(t *testing.T) service {
	t.Helper()
	return setupWith(t, studio{})
}

// setupWith returns the verbs over a fresh database and a provider.
func setupWith(t *testing.T, kie studio) service {
	t.Helper()
	pool := postgrestest.Pool(t)
	store, err := postgres.NewStores(postgres.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	return service{Lifecycle: newVerbs(t, store, kie, store.Accounts), store: store, pool: pool}
}

// newVerbs returns the verbs over a store and a provider.
func newVerbs(t *testing.T, store *postgres.Stores, kie studio, signers lifecycle.Signers) *lifecycle.Lifecycle {
	t.Helper()
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store.Tasks, Offerings: store.Offerings, Inbox: store.Inbox, Saves: store.Storage, Sources: store.Sources, Signers: signers, Accounts: provider.Accounts{"kie": kie}, Route: []string{"kie"},
		CheckSource: func(uri string) error {
			if !strings.HasPrefix(uri, "https://") {
				return errors.New("must begin with https://")
			}
			return nil
		},
		CheckWebhook: func(uri string) error {
			if strings.Contains(uri, "private") {
				return errors.New("must be public")
			}
			return nil
		},
		Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return verbs
}

// clear removes all tasks and makes the account as good as new, for tables that share a database.
func (s service) clear(t *testing.T) {
	t.Helper()
	s.exec(t, "DELETE FROM task")
	s.exec(t, "DELETE FROM river_job")
	s.exec(t, "DELETE FROM tenant")
	s.exec(t, "DELETE FROM storage_probe")
	s.exec(t, "DELETE FROM offering_closure")
	s.exec(t, `UPDATE provider_account SET pauses = 0, pause_reason = '', paused_until_time = NULL, blocked = false, unknowns = 0,
		hold_reason = NULL, max_submissions = NULL, rate_window = NULL, max_in_flight = NULL`)
}

// plain is a spec in which nothing matters.
func plain() task.Spec {
	return task.Spec{Prompt: "make it snow", SourceURI: "https://example.com/a.mp4"}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// submit makes a new task of tenant "films".
func (s service) submit(t *testing.T, spec task.Spec) task.Task {
	t.Helper()
	submitted, err := s.Submit(t.Context(), "films", newID(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return submitted
}

// admit admits all queued tasks.
func (s service) admit(t *testing.T) {
	t.Helper()
	if _, err := s.Admit(t.Context(), "kie"); err != nil {
		t.Fatal(err)
	}
}

// cadence is how often the tests' provider is asked.
var cadence = lifecycle.Cadence{Pace: lifecycle.Pace{Every: 30 * time.Second, Typical: 10 * time.Minute}, Slow: 10 * time.Minute, Models: []lifecycle.ModelPace{
	{Remote: "slow", Pace: lifecycle.Pace{Every: 2 * time.Minute, Typical: time.Hour}},
}}

// begin makes a task and admits it.
func (s service) begin(t *testing.T, spec task.Spec) (task.ID, task.AttemptID) {
	t.Helper()
	submitted := s.submit(t, spec)
	s.admit(t)
	admitted := s.task(t, submitted.ID)
	return admitted.ID, admitted.Attempt().ID
}

// start makes a task and brings it to RUNNING as the given provider task.
func (s service) start(t *testing.T, providerTaskID string) (task.ID, task.AttemptID) {
	t.Helper()
	id, attempt := s.begin(t, plain())
	s.send(t, attempt, providerTaskID, nil)
	return id, attempt
}

// send sends an attempt, which the provider answers as given.
func (s service) send(t *testing.T, attempt task.AttemptID, providerTaskID string, answer error) {
	t.Helper()
	err := s.Send(t.Context(), attempt, "", func(context.Context, task.Task) (provider.Receipt, error) {
		return provider.Receipt{TaskID: providerTaskID}, answer
	})
	if err != nil {
		t.Fatal(err)
	}
}

// task returns a task as it is stored.
func (s service) task(t *testing.T, id task.ID) task.Task {
	t.Helper()
	got, err := s.store.Tasks.Task(t.Context(), "films", id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// expect checks the states of a task and of its newest attempt.
func (s service) expect(t *testing.T, id task.ID, want task.State, wantAttempt task.AttemptState) task.Task {
	t.Helper()
	got := s.task(t, id)
	if got.State != want || got.Attempt().State != wantAttempt {
		t.Fatalf("task is %s, attempt %s, want %s and %s", got.State, got.Attempt().State, want, wantAttempt)
	}
	return got
}

// exec runs a statement, which stands for time that passes or a process that dies.
func (s service) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// checks makes every date due and claims the checks.
func (s service) checks(t *testing.T) []lifecycle.Check {
	t.Helper()
	s.exec(t, "UPDATE attempt SET next_check_time = now() WHERE next_check_time IS NOT NULL")
	checks, err := s.DueChecks(t.Context(), "kie", cadence, 100)
	if err != nil {
		t.Fatal(err)
	}
	return checks
}

// check claims the one check and settles it.
func (s service) check(t *testing.T, status provider.Status, answer error) {
	t.Helper()
	checks := s.checks(t)
	if len(checks) != 1 {
		t.Fatalf("%d checks are due, want 1", len(checks))
	}
	if err := s.SettleCheck(t.Context(), checks[0], status, answer); err != nil {
		t.Fatal(err)
	}
}

// query returns the one value that a query gives.
func query[T any](t *testing.T, s service, sql string, args ...any) T {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// atOnce runs n calls at the same time and returns their errors, in no order.
func atOnce(ctx context.Context, n int, call func(ctx context.Context, i int) error) []error {
	start := make(chan struct{})
	results := make(chan error, n)
	for i := range n {
		go func() {
			<-start
			results <- call(ctx, i)
		}()
	}
	close(start)
	errs := make([]error, n)
	for i := range errs {
		errs[i] = <-results
	}
	return errs
}

package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/metric/noop"
	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// silent is a provider that answers no question before it is stopped.
type silent struct {
	provider.Provider
	asked chan string // The provider task of each question.
}

func (silent) Name() string { return "kie" }

func (silent) Capabilities() provider.Capabilities {
	return provider.Capabilities{Limits: provider.Limits{Submissions: 1000, Window: time.Second, InFlight: 1000}, PollInterval: time.Hour}
}

func (s silent) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	s.asked <- q.TaskID
	<-ctx.Done()
	return provider.Status{}, ctx.Err()
}

// TestChecker_AsksOnWhileAnswersAreAwaited makes the checks of more attempts due than are claimed at a time. The provider
// answers none of them.
//
// It fails when round waits for the answers to what it began.
func TestChecker_AsksOnWhileAnswersAreAwaited(t *testing.T) {
	t.Parallel()
	const attempts = 2*checkBatch + 5
	kie := silent{asked: make(chan string, attempts)}
	c := newChecker(t, kie, attempts)
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return c.Run(ctx) })
	asked := map[string]int{}
	for range attempts {
		select {
		case id := <-kie.asked:
			asked[id]++
		case <-time.After(2 * time.Minute): // It hangs.
			t.Fatalf("%d of %d attempts were asked about", len(asked), attempts)
		}
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if len(asked) != attempts {
		t.Errorf("%d of %d attempts were asked about, some of them twice: %v", len(asked), attempts, asked)
	}
}

// newChecker returns the checker of an account with running attempts whose checks are due.
func newChecker(t *testing.T, kie provider.Provider, attempts int) *Checker {
	t.Helper()
	pool, log := postgrestest.Pool(t), slog.New(slog.DiscardHandler)
	store, err := postgres.NewStores(postgres.Config{Pool: pool, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Accounts.PrepareAccounts(t.Context(), map[string]string{"kie": "kie"}); err != nil {
		t.Fatal(err)
	}
	accounts := provider.Accounts{"kie": kie}
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: store.Tasks, Offerings: store.Offerings, Inbox: store.Inbox, Saves: store.Storage, Sources: store.Sources, Accounts: accounts, Route: []string{"kie"},
		CheckSource: func(string) error { return nil }, Changed: func(task.ID, task.State) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range attempts {
		if _, err := verbs.Submit(t.Context(), "films", fmt.Sprint(i), task.Spec{Prompt: "snow", SourceURI: "https://example.com/a.mp4"}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		admitted, err := verbs.Admit(t.Context(), "kie")
		if err != nil {
			t.Fatal(err)
		}
		if admitted == 0 {
			break
		}
	}
	rows, err := pool.Query(t.Context(), "SELECT id::text FROM attempt")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) != attempts {
		t.Fatalf("%d attempts are admitted, %v, want %d", len(ids), err, attempts)
	}
	for i, id := range ids {
		send := func(context.Context, task.Task) (provider.Receipt, error) {
			return provider.Receipt{TaskID: fmt.Sprintf("provider-task-%d", i)}, nil
		}
		if err := verbs.Send(t.Context(), task.AttemptID(id), "", send); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Exec(t.Context(), "UPDATE attempt SET next_check_time = now()"); err != nil {
		t.Fatal(err)
	}
	all, err := upstream.New(accounts, store.Accounts, noop.NewMeterProvider().Meter(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range all {
		return NewChecker(account, verbs, loop.NewSignal(), log)
	}
	t.Fatal("there is no account")
	return nil
}

// However many callbacks bring checks of one attempt forward, the provider is asked about it once at a time.
func TestChecker_AsksAboutAnAttemptOnceAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{asking: map[task.AttemptID]chan struct{}{}}
		first, ok := c.alone(t.Context(), "a")
		if !ok {
			t.Fatal("the first question was not let through")
		}
		var asking, most, asked atomic.Int32
		for range 10 {
			go func() {
				done, ok := c.alone(t.Context(), "a")
				if !ok {
					t.Error("a question was not let through")
					return
				}
				defer done()
				most.Store(max(most.Load(), asking.Add(1)))
				<-time.After(time.Second)
				asking.Add(-1)
				asked.Add(1)
			}()
		}
		synctest.Wait()
		if asking.Load() != 0 {
			t.Error("a second question was let through")
		}
		other, ok := c.alone(t.Context(), "b")
		if !ok {
			t.Error("a question about another attempt was not let through")
		}
		other()
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := c.alone(canceled, "a"); ok {
			t.Error("a question was let through after its context ended")
		}
		first()
		<-time.After(time.Minute)
		synctest.Wait()
		if most.Load() != 1 || asked.Load() != 10 || len(c.asking) != 0 {
			t.Errorf("%d questions at a time and %d in all, want 1 and 10", most.Load(), asked.Load())
		}
	})
}

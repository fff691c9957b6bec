package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

func TestClaimChecks_HandsEachDueAttemptToOneClaimer(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	const attempts, claimers = 40, 8
	want := make([]task.AttemptID, attempts)
	for i := range want {
		created := create(t, stores, "films", plain())
		want[i] = admit(t, stores, created.ID)
		apply(t, stores, created.ID, task.Sending{Attempt: want[i]})
		apply(t, stores, created.ID, task.Accepted{Attempt: want[i], ProviderTaskID: "p-" + string(want[i])})
	}
	begun := value[time.Time](t, pool, "SELECT now()")
	var mu sync.Mutex
	var got []task.AttemptID
	errs := postgrestest.AtOnce(t.Context(), claimers, func(ctx context.Context, _ int) error {
		for {
			checks, err := stores.Tasks.ClaimChecks(ctx, "kie", lifecycle.Cadence{Pace: lifecycle.Pace{Every: 30 * time.Second, Typical: time.Hour}, Slow: 10 * time.Minute}, 7)
			if err != nil || len(checks) == 0 {
				return err
			}
			mu.Lock()
			for _, c := range checks {
				if c.ProviderTaskID != "p-"+string(c.Attempt) || c.Hinted {
					return errors.New("a check names the wrong provider task")
				}
				got = append(got, c.Attempt)
			}
			mu.Unlock()
		}
	})
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d claims of %d attempts, want each once", len(got), len(want))
	}
	spread := count(t, pool, "SELECT count(DISTINCT next_check_time) FROM attempt")
	if spread < attempts/2 {
		t.Errorf("%d attempts are due at %d different times: they are not spread", attempts, spread)
	}
	early := count(t, pool, `SELECT count(*) FROM attempt WHERE next_check_time NOT BETWEEN $1::timestamptz + interval '25 s' AND now() + interval '50 s'`, begun)
	if early > 0 {
		t.Errorf("%d attempts are due at another time than in about 45 s", early)
	}
}

// Many replicas ask at once; each gets times of its own.
func TestReserveQueries_GivesEveryQuestionATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	stores, _ := setup(t)
	const replicas, questions, pause = 8, 5, time.Hour
	var mu sync.Mutex
	var waits []time.Duration
	errs := postgrestest.AtOnce(t.Context(), replicas, func(ctx context.Context, _ int) error {
		wait, err := stores.Accounts.ReserveQueries(ctx, "kie", questions, pause)
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, wait)
		return err
	})
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	slices.Sort(waits)
	for i, wait := range waits {
		if want := time.Duration(i*questions) * pause; wait > want || wait < want-pause {
			t.Errorf("the questions of replica %d begin in %s, want about %s: %v", i, wait, want, waits)
		}
	}
}

package replica_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
)

// TestJobRescuer_AJobWhoseTimeIsOverIsGivenBack has a replica that lives and has lost what it should have written
// down, as after an outage of the database, and one that was given a job and did not hear of it.
func TestJobRescuer_AJobWhoseTimeIsOverIsGivenBack(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listening := make(chan struct{}, 1)
	living := replica.Listener{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "living", WakeAll: func() { listening <- struct{}{} },
	}
	ended := make(chan error, 2)
	go func() { ended <- living.Run(ctx) }()
	<-listening
	const insertJob = `
INSERT INTO river_job (state, kind, args, attempt, max_attempts, attempted_at, attempted_by)
VALUES ('running', $1, '{}', 1, 25, now() - make_interval(secs => $2), ARRAY['living']) RETURNING id`
	insert := func(kind string, seconds float64) (id int64) {
		t.Helper()
		if err := pool.QueryRow(ctx, insertJob, kind, seconds).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	lost, busy, other := insert("submit_attempt", 2*3600), insert("submit_attempt", 100), insert("another", 1000)
	own, unheard := insert("submit_attempt", 100), insert("submit_attempt", 100)
	if _, err := pool.Exec(ctx, `UPDATE river_job SET attempted_by = ARRAY['own'] WHERE id = ANY ($1)`, []int64{own, unheard}); err != nil {
		t.Fatal(err)
	}
	go func() {
		r := replica.JobRescuer{
			Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "own", // Whose lock is lost.
			Timeouts: map[string]time.Duration{"submit_attempt": time.Hour},
			Working:  func(job int64) bool { return job == own },
		}
		r.LookEvery(20 * time.Millisecond)
		ended <- r.Run(ctx)
	}()
	state := func(id int64) (state string) {
		t.Helper()
		if err := pool.QueryRow(ctx, `SELECT state FROM river_job WHERE id = $1`, id).Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	postgrestest.Until(t, func() bool { return state(lost) == "available" && state(unheard) == "available" })
	for name, id := range map[string]int64{"in time": busy, "without an end": other, "of its own": own} {
		if got := state(id); got != "running" {
			t.Errorf("a job %s is %s, want running", name, got)
		}
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

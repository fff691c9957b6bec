package replica_test

import (
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// TestClock_IsTheDatabasesAndNotOurs has a database whose clock is a day ahead.
func TestClock_IsTheDatabasesAndNotOurs(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal("the URL of the database can't be parsed")
	}
	const ahead = `CREATE SCHEMA ahead;
		CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + interval '24 hours' $$`
	if _, err := postgrestest.Connect(t, u.String()).Exec(t.Context(), ahead); err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "ahead,pg_catalog,public")
	u.RawQuery = q.Encode()
	clock, err := replica.NewClock(t.Context(), postgrestest.Connect(t, u.String()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(clock.Now()); ahead < 23*time.Hour || ahead > 25*time.Hour {
		t.Errorf("the clock is %v ahead of ours, want a day as the database", ahead)
	}
	if job := jobDatedBy(t, clock); time.Until(job) < 23*time.Hour || time.Until(job) > 25*time.Hour {
		t.Errorf("a job is dated %v, want a day ahead of us as the database's clock", job)
	}
	if first, second := clock.Now(), clock.Now(); second.Before(first) {
		t.Errorf("the clock went back from %v to %v", first, second)
	}
}

// jobDatedBy inserts a job that a clock dates, and returns its date.
func jobDatedBy(t *testing.T, clock *replica.Clock) (at time.Time) {
	t.Helper()
	pool := postgrestest.Pool(t)
	jobs, err := replica.NewJobs(replica.JobsConfig{Pool: pool, Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return jobs.Insert(t.Context(), tx, []task.Job{task.SubmitAttempt{AttemptID: "a"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return postgrestest.Value[time.Time](t, pool, "SELECT scheduled_at FROM river_job")
}

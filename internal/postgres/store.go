// Package postgres keeps every task, and the jobs that tasks make necessary, in PostgreSQL.
//
// A change of a task is one transaction: the task's row is locked, package task decides through the
// caller's function, and task, attempts, event, outputs, callback and jobs are written together or not at
// all. A change that pauses or resumes the provider account takes the account's row last. Admission takes that
// row first, but then only tasks that it does not have to wait for, so nothing can deadlock.
//
// When the database is out of reach every method fails and nothing has happened, but for one case that no
// client can rule out: a commit whose answer was lost. All inputs of package task may therefore be repeated.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/refract-video/refract/internal/lifecycle"
)

// Store implements the stores that lifecycle, watch, api and callback ask for. Its methods may be called
// concurrently.
type Store struct {
	pool *pgxpool.Pool
	jobs *river.Client[pgx.Tx] // Only inserts; workers run in a client of their own.
	time *insertTime
	keep lifecycle.Keep
}

// NewStore returns a store over a pool. The pool stays the caller's to close.
func NewStore(pool *pgxpool.Pool, log *slog.Logger) (*Store, error) {
	at := &insertTime{}
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: log, Test: river.TestConfig{Time: at}})
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	return &Store{pool: pool, jobs: jobs, time: at}, nil
}

// UseClock makes the store date jobs by a clock and not by this machine's, which may be wrong: a job that is dated
// ahead is not run before the database's clock has got there. It is called once, before the store is used.
func (s *Store) UseClock(clock *Clock) { s.time.clock = clock }

// insertTime is the time at which jobs are inserted, as the queue asks for it.
//
// NOTE: it is a setting for tests, and the one way to keep the queue from dating jobs by this machine's clock.
type insertTime struct{ clock *Clock }

// early is how much too early jobs are dated, so that none waits where the clock was read badly.
const early = time.Second

// Now returns the time.
func (i *insertTime) Now() time.Time {
	if i.clock == nil {
		return time.Now()
	}
	return i.clock.Now().Add(-early)
}

// NowOrNil returns the time, or nil for that of the machine.
func (i *insertTime) NowOrNil() *time.Time {
	if i.clock == nil {
		return nil
	}
	return new(i.Now())
}

// Ping asks whether the database answers. A ping is no statement, so it has a deadline of its own.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	return s.pool.Ping(ctx)
}

// Package postgres keeps every task, and the jobs that tasks make necessary, in PostgreSQL.
//
// A change of a task is one transaction: the task's row is locked, package task decides through the
// caller's function, and task, attempts, event, outputs, callback and jobs are written together or not at
// all. Changes that come at the same time share a transaction: it locks all their tasks in the order of their ids,
// writes one statement for each kind of row, and commits once; what can't be written fails alone, see package
// groupcommit. A change that pauses or resumes the provider account takes the account's row last, but for those of
// preparations. Admission takes that row first, but then only tasks that it does not have to wait for, so nothing can
// deadlock.
//
// When the database is out of reach every method fails and nothing has happened, but for two cases: a commit whose
// answer was lost, which no client can rule out, and a caller who did not wait for the set of its change. All inputs
// of package task may therefore be repeated.
package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// Store implements the stores that lifecycle, watch, api and callback ask for. Its methods may be called
// concurrently.
type Store struct {
	outputReader

	pool    *pgxpool.Pool
	jobs    *replica.Jobs
	creates *groupcommit.Group[task.Decision, created]
	changes *groupcommit.Group[wish, task.Task]

	timeouts changeTimeouts
}

// How writes are grouped.
var (
	createLimits = groupcommit.Limits{Set: 512, Waiting: 4096, AtOnce: 2} // A batch of BatchSubmitTasks is a set or two.
	changeLimits = groupcommit.Limits{Set: 128, Waiting: 1024, AtOnce: 2}
)

// newStore returns a store.
func newStore(cfg Config) (*Store, error) {
	jobs, err := replica.NewJobs(replica.JobsConfig{Pool: cfg.Pool, Clock: cfg.Clock, Notifier: cfg.Notifier, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	s := &Store{outputReader: outputReader{cfg.Retention}, pool: cfg.Pool, jobs: jobs, timeouts: defaultChangeTimeouts}
	s.creates = groupcommit.New(s.createSet, createLimits)
	s.changes = groupcommit.New(s.changeSet, changeLimits)
	return s, nil
}

// Close takes no more grouped writes and waits for those that are under way, until ctx ends.
func (s *Store) Close(ctx context.Context) error {
	return errors.Join(s.creates.Close(ctx), s.changes.Close(ctx))
}

package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// Tasks has the tasks, and everything that changes them: submissions, decisions of the verbs, admission, and the checks of attempts.
//
// A change locks its task, lets a function decide, and writes task, attempts, event, outputs, callback and jobs together. Submissions
// share transactions with others that come at the same time, and so do changes that name an attempt. When the database is out of reach, a
// method fails with an error for which dbpool.Unavailable reports true and nothing has happened, with two exceptions: the answer to a
// commit was lost, or the caller did not wait for the result. A caller may repeat the call.
type Tasks struct {
	outputReader

	pool    *pgxpool.Pool
	jobs    *replica.Jobs
	creates *groupcommit.Group[task.Decision, created]
	changes *groupcommit.Group[changeRequest, task.Task]

	timeouts changeTimeouts
	wake     func() // Is called after webhook deliveries are committed.
	stays    *lifecycle.Stays
}

// How writes are grouped.
var (
	createLimits = groupcommit.Limits{Set: 512, Waiting: 4096, AtOnce: 2} // A batch of BatchSubmitTasks is a set or two.
	changeLimits = groupcommit.Limits{Set: 128, Waiting: 1024, AtOnce: 2}
)

func openTasks(cfg Config) (*Tasks, error) {
	jobs, err := replica.NewJobs(replica.JobsConfig{Pool: cfg.Pool, Clock: cfg.Clock, Notifier: cfg.Notifier, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	s := &Tasks{outputReader: outputReader{cfg.Retention}, pool: cfg.Pool, jobs: jobs, timeouts: defaultChangeTimeouts, wake: cfg.Wake, stays: cfg.Stays}
	s.creates = groupcommit.New(groupcommit.Measured(cfg.Groups, "tasks", s.createSet), createLimits)
	s.changes = groupcommit.New(groupcommit.Measured(cfg.Groups, "changes", s.changeSet), changeLimits)
	return s, nil
}

// Close takes no more grouped writes and waits for those that are under way, until ctx ends.
func (s *Tasks) Close(ctx context.Context) error {
	return errors.Join(s.creates.Close(ctx), s.changes.Close(ctx))
}

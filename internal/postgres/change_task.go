package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// ChangeTask implements lifecycle.Store.
func (s *Tasks) ChangeTask(ctx context.Context, tenant string, id task.ID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.changeOne(ctx, changeRequest{tenant: tenant, task: id, decide: decide})
	return t, dbpool.NotFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeAnyTask implements lifecycle.Store.
func (s *Tasks) ChangeAnyTask(ctx context.Context, id task.ID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.changeOne(ctx, changeRequest{task: id, decide: decide})
	return t, dbpool.NotFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeByAttempt implements lifecycle.Store. Callbacks come this way, so the changes are grouped.
func (s *Tasks) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.changes.Do(ctx, changeRequest{attempt: id, decide: decide})
	return t, dbpool.NotFound(err, lifecycle.ErrAttemptNotFound)
}

// changeRequest is a change that one caller requested.
type changeRequest struct {
	tenant  string         // The tenant that must own the task; empty means any.
	task    task.ID        // The task. When it is empty, attempt names it.
	attempt task.AttemptID // An attempt of the task.
	decide  lifecycle.Decide
}

// changeOne makes a change in a transaction of its own.
func (s *Tasks) changeOne(ctx context.Context, r changeRequest) (task.Task, error) {
	var result [1]groupcommit.Result[task.Task]
	if err := s.changeSet(ctx, []changeRequest{r}, result[:]); err != nil {
		return task.Task{}, err
	}
	return result[0].Value, result[0].Err
}

// changeSet is the transaction through which tasks change. It runs at READ COMMITTED, and locks the rows of all
// tasks first, in the order of their ids, so two changes of one task follow each other and two sets can't block each
// other. Then sets meet only where both pause or resume provider accounts, whose rows come last, in the order of
// their names.
func (s *Tasks) changeSet(ctx context.Context, requests []changeRequest, results []groupcommit.Result[task.Task]) error {
	var done effects
	err := dbpool.Transact(ctx, s.timeouts.set, func(ctx context.Context) (err error) {
		done, err = s.changeTasks(ctx, requests, results)
		return err
	})
	if err != nil {
		return failedSet(err, results)
	}
	s.committed(ctx, done)
	return nil
}

// committed wakes those that work on what a transaction has written, and measures the stays that it has ended.
func (s *Tasks) committed(ctx context.Context, done effects) {
	s.jobs.Wake(done.jobs)
	if done.deliveries > 0 {
		s.wake()
	}
	s.stays.Record(ctx, done.stays)
}

// changeTasks is the transaction of changeSet.
func (s *Tasks) changeTasks(ctx context.Context, requests []changeRequest, results []groupcommit.Result[task.Task]) (done effects, err error) {
	err = s.pipelined(ctx, func(tx pipelinedTx) error {
		tasks, err := lockRequested(ctx, tx, requests, s.timeouts)
		if err != nil {
			return fmt.Errorf("lock tasks: %w", err)
		}
		pending := make([]int, len(requests))
		for i := range pending {
			pending[i] = i
		}
		for len(pending) > 0 {
			var w writes
			pending = tasks.decide(&w, requests, pending, results)
			last := len(pending) == 0
			if last {
				if err := s.jobs.Insert(ctx, tx, append(done.jobs, w.jobs...)); err != nil {
					return err
				}
			}
			if err := s.writeChanges(ctx, tx, &w, last); err != nil {
				return fmt.Errorf("write changes of tasks: %w", violation(err, "attempt_provider_task", lifecycle.ErrProviderTaskTaken))
			}
			tasks.apply(&w, results)
			done.add(w.effects)
		}
		return nil
	})
	return done, err
}

// changeTimeouts bound the transaction of a set, since its callers would otherwise wait without an end for a database that does not
// answer, and its wait for a row that another transaction holds. That wait is short for a set of several changes, which then fails
// and is halved, so that in the end only the changes that need the row wait for it, each alone in its set.
type changeTimeouts struct{ set, alone, together time.Duration }

var defaultChangeTimeouts = changeTimeouts{set: 30 * time.Second, alone: 3 * time.Second, together: 100 * time.Millisecond}

// failedSet ends a set that was not committed. An error that has nothing to do with its items becomes the result of each item. Any
// other error, such as a row that is locked or a statement that was canceled, is returned, which means that a part of the set may
// succeed.
func failedSet[Out any](err error, results []groupcommit.Result[Out]) error {
	ofItems := dbpool.Locked(err) || dbpool.Canceled(err)
	if !dbpool.Unavailable(err) || ofItems && len(results) > 1 {
		return err
	}
	for i := range results {
		results[i] = groupcommit.Result[Out]{Err: err}
	}
	return nil
}

// lockedTasks are the tasks that a transaction has locked.
type lockedTasks struct {
	byID map[task.ID]*task.Task
	of   map[task.AttemptID]*task.Task
}

// requestedTasks are the ids of the tasks that requests name, by id with the tenant that must own the task, or by an
// attempt. Neither the tenant of a task nor the task of an attempt ever changes. As an array that is computed once it lets
// the index find the tasks, which an OR would not.
//
// NOTE: the tenant is checked here, before the lock: a caller that knows the id of another tenant's task must neither hold
// its row nor wait for it.
const requestedTasks = `ARRAY(
    SELECT requested.id
    FROM unnest($1::uuid[], $2::text[]) AS requested (id, tenant)
    JOIN task AS own ON own.id = requested.id AND (requested.tenant = '' OR own.tenant = requested.tenant)
    UNION
    SELECT task_id FROM attempt WHERE id = ANY ($3::uuid[]))`

var lockTasks = `SELECT ` + taskColumns + ` FROM task WHERE id = ANY (` + requestedTasks + `) ORDER BY id FOR UPDATE`

// selectLockedAttempts is a statement of its own, since one that waits for a lock still sees other tables as they were
// before it.
const selectLockedAttempts = `SELECT ` + attemptColumns + ` FROM attempt WHERE task_id = ANY (` + requestedTasks + `) ORDER BY task_id, number`

// limitLockWait bounds the wait for rows that other transactions hold.
const limitLockWait = `SELECT set_config('lock_timeout', $1, true)`

// lockTimeout returns how long a transaction with so many requests waits for a row that another one holds.
func (t changeTimeouts) lockTimeout(requests int) string {
	limit := t.together
	if requests == 1 {
		limit = t.alone
	}
	return fmt.Sprintf("%dms", limit.Milliseconds())
}

// lockRequested begins the transaction, locks the tasks that requests name and reads them with their attempts, in one
// round trip. Tasks that do not exist are left out.
func lockRequested(ctx context.Context, tx pgx.Tx, requests []changeRequest, timeouts changeTimeouts) (lockedTasks, error) {
	l := lockedTasks{byID: map[task.ID]*task.Task{}, of: map[task.AttemptID]*task.Task{}}
	tasks, tenants, attempts := []task.ID{}, []string{}, []task.AttemptID{}
	for _, r := range requests {
		if r.task != "" {
			tasks, tenants = append(tasks, r.task), append(tenants, r.tenant)
		} else {
			attempts = append(attempts, r.attempt)
		}
	}
	var batch pgx.Batch
	batch.Queue(begin)
	batch.Queue(limitLockWait, timeouts.lockTimeout(len(requests)))
	batch.Queue(lockTasks, tasks, tenants, attempts).Query(func(rows pgx.Rows) error {
		locked, err := pgx.CollectRows(rows, scanTask)
		for i := range locked {
			l.byID[locked[i].ID] = &locked[i]
		}
		return err
	})
	batch.Queue(selectLockedAttempts, tasks, tenants, attempts).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scanAttempt)
		for _, a := range all {
			if t := l.byID[a.taskID]; t != nil { // Not of a task that appeared after the lock.
				t.Attempts = append(t.Attempts, a.Attempt)
				l.of[a.ID] = t
			}
		}
		return err
	})
	return l, tx.SendBatch(ctx, &batch).Close()
}

// find returns the task that a request names, or nil.
func (l lockedTasks) find(r changeRequest) *task.Task {
	t := l.of[r.attempt]
	if r.task != "" {
		t = l.byID[r.task]
	}
	if t != nil && r.tenant != "" && t.Tenant != r.tenant {
		return nil
	}
	return t
}

// decide decides the first of the pending requests for each task and returns the others: a second change of a task
// must see the result of the first one, times included.
func (l lockedTasks) decide(w *writes, requests []changeRequest, pending []int, results []groupcommit.Result[task.Task]) (rest []int) {
	decided := map[task.ID]bool{}
	for _, i := range pending {
		t := l.find(requests[i])
		if t == nil {
			results[i].Err = pgx.ErrNoRows
			continue
		}
		if decided[t.ID] {
			rest = append(rest, i)
			continue
		}
		c, err := requests[i].decide(*t)
		if err != nil {
			results[i].Err = err // Its own; nothing of it is written.
			continue
		}
		decided[t.ID] = true
		w.add(i, t, c)
	}
	return rest
}

// writeChanges writes changes and reads what completes their tasks, in one round trip; the last of a transaction
// commits it.
func (s *Tasks) writeChanges(ctx context.Context, tx pgx.Tx, w *writes, last bool) error {
	return w.flush(ctx, tx, func(batch *pgx.Batch) {
		s.queueOutputs(batch, w.changes)
		if last {
			batch.Queue(commit)
		}
	})
}

// queueOutputs reads the outputs of tasks that succeeded.
func (s *Tasks) queueOutputs(batch *pgx.Batch, changes []changeWritten) {
	tasks := make([]*task.Task, len(changes))
	for i := range changes {
		tasks[i] = &changes[i].Task
	}
	if results, take := resultsOf(tasks); len(results) > 0 {
		batch.Queue(selectOutputs, results, s.periods.Outputs.Seconds(), s.periods.Tasks.Seconds()).Query(func(rows pgx.Rows) error {
			return eachOutput(rows, take)
		})
	}
}

// apply makes what was written the state of the locked tasks and the results of the requests.
func (l lockedTasks) apply(w *writes, results []groupcommit.Result[task.Task]) {
	for _, c := range w.changes {
		*l.byID[c.Task.ID] = c.Task
		results[c.request].Value = c.Task
	}
}

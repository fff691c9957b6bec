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
	t, err := s.changeOne(ctx, wish{tenant: tenant, task: id, decide: decide})
	return t, notFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeAnyTask implements lifecycle.Store.
func (s *Tasks) ChangeAnyTask(ctx context.Context, id task.ID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.changeOne(ctx, wish{task: id, decide: decide})
	return t, notFound(err, lifecycle.ErrTaskNotFound)
}

// ChangeByAttempt implements lifecycle.Store. Callbacks come this way, so the changes are grouped.
func (s *Tasks) ChangeByAttempt(ctx context.Context, id task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	t, err := s.changes.Do(ctx, wish{attempt: id, decide: decide})
	return t, notFound(err, lifecycle.ErrAttemptNotFound)
}

// wish is what one caller wants changed.
type wish struct {
	tenant  string         // Whose the task must be; empty means anyone's.
	task    task.ID        // The task, or else
	attempt task.AttemptID // an attempt of it.
	decide  lifecycle.Decide
}

// changeOne grants a wish in a transaction of its own.
func (s *Tasks) changeOne(ctx context.Context, w wish) (task.Task, error) {
	var result [1]groupcommit.Result[task.Task]
	if err := s.changeSet(ctx, []wish{w}, result[:]); err != nil {
		return task.Task{}, err
	}
	return result[0].Value, result[0].Err
}

// changeSet is the transaction through which tasks change. It runs at READ COMMITTED, and locks the rows of all
// tasks first, in the order of their ids, so two changes of one task follow each other and two sets can't block each
// other. Then sets meet only where both pause or resume provider accounts, whose rows come last, in the order of
// their names.
func (s *Tasks) changeSet(ctx context.Context, wishes []wish, results []groupcommit.Result[task.Task]) error {
	var jobs []task.Job
	err := dbpool.Transact(ctx, s.timeouts.set, func(ctx context.Context) (err error) {
		jobs, err = s.changeTasks(ctx, wishes, results)
		return err
	})
	if err != nil {
		return fate(err, results)
	}
	s.jobs.Wake(jobs)
	return nil
}

// changeTasks is the transaction of changeSet. It returns the jobs that it has enqueued.
func (s *Tasks) changeTasks(ctx context.Context, wishes []wish, results []groupcommit.Result[task.Task]) (jobs []task.Job, err error) {
	err = s.pipelined(ctx, func(tx pipelinedTx) error {
		tasks, err := holdTasks(ctx, tx, wishes, s.timeouts)
		if err != nil {
			return fmt.Errorf("lock tasks: %w", err)
		}
		pending := make([]int, len(wishes))
		for i := range pending {
			pending[i] = i
		}
		for len(pending) > 0 {
			var w writes
			pending = tasks.decide(&w, wishes, pending, results)
			last := len(pending) == 0
			jobs = append(jobs, w.jobs...)
			if last {
				if err := s.jobs.Insert(ctx, tx, jobs); err != nil {
					return err
				}
			}
			if err := s.writeChanges(ctx, tx, &w, last); err != nil {
				return fmt.Errorf("write changes of tasks: %w", violation(err, "attempt_provider_task", lifecycle.ErrProviderTaskTaken))
			}
			tasks.keep(&w, results)
		}
		return nil
	})
	return jobs, err
}

// changeTimeouts bound the transaction of a set, whose callers would wait forever for a database that does not answer, and
// its wait for a row that another transaction holds. That wait is short for a set of several changes, which then fails and
// is halved, so that in the end only the changes that need the row wait for it, each alone in its set.
type changeTimeouts struct{ set, alone, together time.Duration }

var defaultChangeTimeouts = changeTimeouts{set: 30 * time.Second, alone: 3 * time.Second, together: 100 * time.Millisecond}

// fate is how a set ends that was not committed: an error that has nothing to do with its items is that of all, and
// any other, such as one row that is held, means that a part of them may fare better.
func fate[Out any](err error, results []groupcommit.Result[Out]) error {
	if !dbpool.Unavailable(err) || dbpool.Locked(err) && len(results) > 1 {
		return err
	}
	for i := range results {
		results[i] = groupcommit.Result[Out]{Err: err}
	}
	return nil
}

// heldTasks are tasks that a transaction has locked.
type heldTasks struct {
	byID map[task.ID]*task.Task
	of   map[task.AttemptID]*task.Task
}

// wishedTasks are the ids of the tasks that wishes name by themselves, each with the tenant whose it must be, or by an
// attempt. Neither the tenant of a task nor the task of an attempt ever changes. As an array that is computed once it lets
// the index find the tasks, which an OR would not.
//
// NOTE: the tenant is checked here, before the lock: a caller who knows the id of another tenant's task must neither hold
// its row nor wait for it.
const wishedTasks = `ARRAY(
    SELECT wished.id
    FROM unnest($1::uuid[], $2::text[]) AS wished (id, tenant)
    JOIN task AS own ON own.id = wished.id AND (wished.tenant = '' OR own.tenant = wished.tenant)
    UNION
    SELECT task_id FROM attempt WHERE id = ANY ($3::uuid[]))`

const lockTasks = `SELECT ` + taskColumns + ` FROM task WHERE id = ANY (` + wishedTasks + `) ORDER BY id FOR UPDATE`

// selectHeldAttempts is a statement of its own, since one that waits for a lock still sees other tables as they were
// before it.
const selectHeldAttempts = `SELECT ` + attemptColumns + ` FROM attempt WHERE task_id = ANY (` + wishedTasks + `) ORDER BY task_id, number`

// limitLockWait bounds the wait for rows that somebody else holds.
const limitLockWait = `SELECT set_config('lock_timeout', $1, true)`

// lockTimeout returns how long a transaction with so many wishes waits for a row that another one holds.
func (t changeTimeouts) lockTimeout(wishes int) string {
	limit := t.together
	if wishes == 1 {
		limit = t.alone
	}
	return fmt.Sprintf("%dms", limit.Milliseconds())
}

// holdTasks begins the transaction, locks the tasks that wishes are about and reads them with their attempts, in one
// round trip. Tasks that do not exist are left out.
func holdTasks(ctx context.Context, tx pgx.Tx, wishes []wish, timeouts changeTimeouts) (heldTasks, error) {
	h := heldTasks{byID: map[task.ID]*task.Task{}, of: map[task.AttemptID]*task.Task{}}
	tasks, tenants, attempts := []task.ID{}, []string{}, []task.AttemptID{}
	for _, w := range wishes {
		if w.task != "" {
			tasks, tenants = append(tasks, w.task), append(tenants, w.tenant)
		} else {
			attempts = append(attempts, w.attempt)
		}
	}
	var batch pgx.Batch
	batch.Queue(begin)
	batch.Queue(limitLockWait, timeouts.lockTimeout(len(wishes)))
	batch.Queue(lockTasks, tasks, tenants, attempts).Query(func(rows pgx.Rows) error {
		locked, err := pgx.CollectRows(rows, scanTask)
		for i := range locked {
			h.byID[locked[i].ID] = &locked[i]
		}
		return err
	})
	batch.Queue(selectHeldAttempts, tasks, tenants, attempts).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scanAttempt)
		for _, a := range all {
			if t := h.byID[a.taskID]; t != nil { // Not of a task that appeared after the lock.
				t.Attempts = append(t.Attempts, a.Attempt)
				h.of[a.ID] = t
			}
		}
		return err
	})
	return h, tx.SendBatch(ctx, &batch).Close()
}

// find returns the task that a wish is about, or nil.
func (h heldTasks) find(w wish) *task.Task {
	t := h.of[w.attempt]
	if w.task != "" {
		t = h.byID[w.task]
	}
	if t != nil && w.tenant != "" && t.Tenant != w.tenant {
		return nil
	}
	return t
}

// decide decides the first of the pending wishes about each task and returns the others: a second change of a task
// must see what the first one made of it, times included.
func (h heldTasks) decide(w *writes, wishes []wish, pending []int, results []groupcommit.Result[task.Task]) (rest []int) {
	decided := map[task.ID]bool{}
	for _, i := range pending {
		t := h.find(wishes[i])
		if t == nil {
			results[i].Err = pgx.ErrNoRows
			continue
		}
		if decided[t.ID] {
			rest = append(rest, i)
			continue
		}
		c, err := wishes[i].decide(*t)
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

// keep makes what was written the state of the held tasks and the result of those who wished it.
func (h heldTasks) keep(w *writes, results []groupcommit.Result[task.Task]) {
	for _, c := range w.changes {
		*h.byID[c.Task.ID] = c.Task
		results[c.wish].Value = c.Task
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// lockAccounts lets one replica at a time admit to an account. The others do not wait: the replica that holds the row admits the same
// tasks.
const lockAccounts = `
SELECT ` + usageColumns + `
FROM provider_account
WHERE provider = $1
ORDER BY account
FOR UPDATE SKIP LOCKED`

// countUsage counts the permits that are taken. An attempt takes a permit of the window from its admission until one window after its
// submission ended, at answer_time, which updateAttempts sets. The request reached the provider in between. So no window at the
// provider sees more than the limit, however long requests take. A lost attempt may run at the provider for as long as work takes. An
// attempt that was given up before it was sent returns its permit at once.
//
// NOTE: it runs after the account was locked, in its own statement. A statement that locks and counts would count in a snapshot from
// before the lock, which may lack what the last holder admitted.
const countUsage = `
SELECT (SELECT count(*) FROM attempt WHERE account = $1 AND answer_time IS NULL),
       (SELECT count(*) FROM attempt WHERE account = $1 AND answer_time > now() - make_interval(secs => $2) AND sent),
       (SELECT count(*) FROM attempt WHERE account = $1 AND state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING'))
       + (SELECT count(*) FROM attempt WHERE account = $1 AND state = 'LOST' AND answer_time > now() - interval '20 minutes')`

// lockMovable locks tasks that have another provider ($3) to go to.
var lockMovable = `
SELECT ` + taskColumns + `
FROM task
WHERE provider = $1 AND state = 'QUEUED' AND route[cardinality(route)] <> provider
  AND route[array_position(route, provider) + 1:] && $3::text[]
ORDER BY priority DESC, id
LIMIT $2
FOR UPDATE SKIP LOCKED`

// lockChosen locks the tasks that were chosen to go. It skips tasks that are overdue, and those that another transaction has locked.
var lockChosen = `
SELECT ` + taskColumns + `
FROM task
WHERE id = ANY ($1::uuid[]) AND state = 'QUEUED' AND deadline_time > now()
ORDER BY array_position($1::uuid[], id)
FOR UPDATE SKIP LOCKED`

// errNothingAdmitted rolls back a round that only locked rows, because a commit would wait for the disk.
var errNothingAdmitted = errors.New("nothing was admitted")

// AdmitTasks implements lifecycle.Store. The transaction runs at READ COMMITTED. It locks the rows of the accounts, then tenants that
// have a quota in flight, then the rows of tasks. A probe of a closed offering locks the row of the closure, then that of a task, then
// its tenant. It waits for none of these locks but that of the closure, which another round holds for a moment.
func (s *Tasks) AdmitTasks(ctx context.Context, r admission.Round) ([]task.Task, error) {
	var w writes
	err := s.pipelined(ctx, func(tx pipelinedTx) error {
		var batch pgx.Batch
		batch.Queue(begin)
		usages, err := accountUsagesAfter(ctx, tx, &batch, lockAccounts, r.Provider, r.Limits)
		if err != nil {
			return fmt.Errorf("hold the accounts: %w", err)
		}
		plan := r.Plan(usages)
		rooms, err := readRooms(ctx, tx, &r)
		if err != nil {
			return fmt.Errorf("read what offerings may get: %w", err)
		}
		if err := s.admitOfferingProbes(ctx, tx, &w, r, rooms, plan.Permits); err != nil || len(w.changes) > 0 {
			return err
		}
		for _, u := range plan.Probes {
			if err = s.admitProbe(ctx, tx, &w, r, rooms, u, admission.LongestWindow(usages)); err != nil || len(w.changes) > 0 {
				return err
			}
		}
		switch {
		case len(plan.Permits) > 0:
			err = s.admitChosen(ctx, tx, &w, r, rooms, plan.Permits, admission.LongestWindow(usages))
		case plan.MoveOn > 0:
			err = s.changeQueued(ctx, tx, &w, func(_ int, t task.Task) (task.Decision, error) { return r.MoveOn(t) }, lockMovable, r.Provider, plan.MoveOn, r.Known)
		}
		if err == nil && len(w.changes) == 0 {
			return errNothingAdmitted
		}
		return err
	})
	if errors.Is(err, errNothingAdmitted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.committed(ctx, w.effects)
	return w.changed(), nil
}

// admitChosen gives permits to the tasks that share them.
func (s *Tasks) admitChosen(ctx context.Context, tx pgx.Tx, w *writes, r admission.Round, rooms *admission.Rooms, permits []string, window time.Duration) error {
	queues, err := readTenantQueues(ctx, tx, r.Provider, skipped(r, rooms), window, len(permits))
	if err != nil {
		return fmt.Errorf("read the queues of tenants: %w", err)
	}
	chosen := admission.Share(len(permits), queues, rooms)
	if len(chosen) == 0 {
		return nil
	}
	admit := func(n int, t task.Task) (task.Decision, error) { return r.Admit(t, permits[n]) }
	return s.changeQueued(ctx, tx, w, admit, lockChosen, chosen)
}

// skipped returns the names of the offerings of which no task goes.
func skipped(r admission.Round, rooms *admission.Rooms) []string {
	return append(r.ClosedNames(), rooms.Full()...)
}

// countOffering counts the attempts of an offering that are in flight, as countUsage does for an account.
const countOffering = `
SELECT count(*)
FROM attempt
JOIN task ON task.id = attempt.task_id AND task.model = ANY ($3::text[])
WHERE attempt.account = ANY ($1::text[]) AND attempt.provider = $2
  AND (attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING')
       OR attempt.state = 'LOST' AND attempt.answer_time > now() - interval '20 minutes')`

// selectClosed reads the closed offerings of a provider.
const selectClosed = `SELECT model FROM offering_closure WHERE provider = $1 AND NOT open`

// readRooms counts how many more attempts the offerings may have that have a limit, and adds the closed offerings to the round.
//
// NOTE: it runs after countUsage. The answer that closes an offering also returns a permit. A round that sees the permit without the
// closure would send another task to an offering that is gone.
func readRooms(ctx context.Context, tx pgx.Tx, r *admission.Round) (*admission.Rooms, error) {
	rooms := &admission.Rooms{}
	accounts := slices.Sorted(maps.Keys(r.Limits))
	var batch pgx.Batch
	batch.Queue(selectClosed, r.Provider).Query(func(rows pgx.Rows) error {
		models, err := pgx.CollectRows(rows, pgx.RowTo[string])
		r.Close(models)
		return err
	})
	for _, o := range r.Capped {
		batch.Queue(countOffering, accounts, r.Provider, o.Names).QueryRow(func(row pgx.Row) error {
			var inFlight int
			err := row.Scan(&inFlight)
			rooms.Add(o.Offering, o.InFlight-inFlight)
			return err
		})
	}
	return rooms, tx.SendBatch(ctx, &batch).Close()
}

// admitProbe lets one task probe an account, if any may.
func (s *Tasks) admitProbe(ctx context.Context, tx pgx.Tx, w *writes, r admission.Round, rooms *admission.Rooms, u admission.Usage, window time.Duration) error {
	queues, err := readProbers(ctx, tx, r.Provider, skipped(r, rooms), u.Account, window)
	if err != nil {
		return fmt.Errorf("read who may probe %s: %w", u.Account, err)
	}
	chosen, ok := admission.Probe(u, queues)
	if !ok {
		return nil
	}
	admit := func(_ int, t task.Task) (task.Decision, error) { return r.Admit(t, u.Account) }
	return s.changeQueued(ctx, tx, w, admit, lockChosen, []task.ID{chosen})
}

// changeQueued changes the queued tasks that a statement locks, if there are any, and commits.
func (s *Tasks) changeQueued(ctx context.Context, tx pgx.Tx, w *writes, decide func(n int, t task.Task) (task.Decision, error), lock string, args ...any) error {
	rows, err := tx.Query(ctx, lock, args...)
	if err != nil {
		return fmt.Errorf("read the queue: %w", err)
	}
	queued, err := pgx.CollectRows(rows, scanTask)
	if err != nil {
		return fmt.Errorf("read the queue: %w", err)
	}
	if err := s.complete(ctx, tx, queued); err != nil {
		return fmt.Errorf("read the attempts of queued tasks: %w", err)
	}
	for i := range queued {
		d, err := decide(i, queued[i])
		if err != nil {
			return err
		}
		w.add(i, &queued[i], lifecycle.Change{Decision: d})
	}
	if len(queued) == 0 {
		return nil
	}
	if err := s.jobs.Insert(ctx, tx, w.jobs); err != nil {
		return err
	}
	if err := w.flush(ctx, tx, func(batch *pgx.Batch) { batch.Queue(commit) }); err != nil {
		return fmt.Errorf("write queued tasks: %w", err)
	}
	return nil
}

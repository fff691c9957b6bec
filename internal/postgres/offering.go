package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/task"
)

// Offerings has the offerings that are closed. Tasks closes and opens them with the changes that give the reason.
type Offerings struct{ pool *pgxpool.Pool }

const selectClosures = `
SELECT provider, model, reason, operator, close_time, probe_time, coalesce(probe_time <= now(), false) AND NOT open, open
FROM offering_closure
ORDER BY provider, model`

// Closures returns the closed offerings of all providers, and those that were opened and still hold tasks.
func (s *Offerings) Closures(ctx context.Context) ([]admission.Closure, error) {
	rows, err := s.pool.Query(ctx, selectClosures)
	if err != nil {
		return nil, fmt.Errorf("read the closed offerings: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c admission.Closure, err error) {
		var until *time.Time
		err = row.Scan(&c.Provider, &c.Model, &c.Reason, &c.Operator, &c.Since, &until, &c.Due, &c.Opened)
		c.Until = orZero(until)
		return c, err
	})
}

const closeByOperator = `
INSERT INTO offering_closure (provider, model, reason, operator)
VALUES ($1, $2, $3, true)
ON CONFLICT (provider, model) DO UPDATE
SET reason = excluded.reason, operator = true, closures = 1, probe_time = NULL, open = false,
    close_time = CASE WHEN offering_closure.open THEN now() ELSE offering_closure.close_time END`

// CloseOffering closes an offering until an operator opens it.
func (s *Offerings) CloseOffering(ctx context.Context, provider, model, reason string) error {
	if err := s.record(ctx, "offering.close", provider, model, closeByOperator, reason); err != nil {
		return fmt.Errorf("close %s at %s: %w", model, provider, err)
	}
	return nil
}

const openByOperator = `
UPDATE offering_closure
SET open = true, operator = false, probe_time = now()
WHERE provider = $1 AND model = $2`

// OpenOffering opens an offering, whatever closed it. An open one stays as it is.
func (s *Offerings) OpenOffering(ctx context.Context, provider, model string) error {
	if err := s.record(ctx, "offering.open", provider, model, openByOperator); err != nil {
		return fmt.Errorf("open %s at %s: %w", model, provider, err)
	}
	return nil
}

// selectOfferingValues reads what the audit log records of an offering: by whom it is closed, and why. An open one has no values.
const selectOfferingValues = `
SELECT jsonb_build_object('reason', reason, 'by_operator', operator, 'close_time', close_time)
FROM offering_closure
WHERE provider = $1 AND model = $2 AND NOT open
FOR UPDATE`

// record changes an offering by a statement that takes provider, model and more arguments, and records the change.
func (s *Offerings) record(ctx context.Context, action, provider, model, statement string, args ...any) error {
	c := audit.Change{Action: action, Target: model + "@" + provider}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return auditlog.Row(ctx, tx, c, selectOfferingValues, func() error {
			_, err := tx.Exec(ctx, statement, append([]any{provider, model}, args...)...)
			return err
		}, provider, model)
	})
}

// closeOffering closes an offering, or makes the pause before its next probe longer. An attempt that was admitted before the offering
// was closed ($6) is no probe, and says nothing new. An operator's closure stays as it is.
const closeOffering = `
INSERT INTO offering_closure AS known (provider, model, reason, operator, probe_time)
VALUES ($1, $2, $3, false, now() + make_interval(secs => $4))
ON CONFLICT (provider, model) DO UPDATE
SET reason = excluded.reason, open = false,
    closures = CASE WHEN known.open THEN 1 ELSE known.closures + 1 END,
    close_time = CASE WHEN known.open THEN now() ELSE known.close_time END,
    probe_time = now() + least(make_interval(secs => $5),
        make_interval(secs => $4) * power(2, CASE WHEN known.open THEN 0 ELSE least(known.closures, 12) END))
WHERE NOT known.operator AND known.close_time < $6`

// openOffering opens an offering whose provider accepted an attempt that was admitted since it was closed ($3).
const openOffering = `
UPDATE offering_closure
SET open = true
WHERE provider = $1 AND model = $2 AND NOT operator AND NOT open AND close_time < $3`

// queueOfferings writes what changes learnt about offerings, in the order of their names, so that two sets do not wait for each other.
// What opens the same offering is written once.
func queueOfferings(batch *pgx.Batch, updates []lifecycle.OfferingUpdate) {
	slices.SortStableFunc(updates, func(a, b lifecycle.OfferingUpdate) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	for i, u := range updates {
		if u.Close != nil {
			batch.Queue(closeOffering, u.Provider, u.Model, u.Close.Reason, u.Close.For.Seconds(), u.Close.Max.Seconds(), u.Admitted)
			continue
		}
		if i+1 < len(updates) {
			if next := &updates[i+1]; next.Close == nil && next.Provider == u.Provider && next.Model == u.Model {
				next.Admitted = later(next.Admitted, u.Admitted)
				continue
			}
		}
		batch.Queue(openOffering, u.Provider, u.Model, u.Admitted)
	}
}

// claimProbe lets one round probe an offering. The next probe is due after a pause, which a refusal makes longer.
const claimProbe = `
UPDATE offering_closure
SET probe_time = now() + interval '1 minute'
WHERE provider = $1 AND model = $2`

// lockDueProbe locks a closed offering that is to be probed. After a wait for another round it finds that this one has claimed the probe.
const lockDueProbe = `
SELECT
FROM offering_closure
WHERE provider = $1 AND model = $2 AND NOT operator AND NOT open AND probe_time <= now()
FOR UPDATE`

// waitsForSource is whether a task waits for the preparation of its source.
const waitsForSource = `EXISTS (SELECT FROM preparation_task AS waiter WHERE waiter.task_id = task.id AND waiter.revision = task.revision)`

// ofNames selects queued tasks that ask for an offering by one of the names $2, a number of each name. Each name is looked up by itself,
// so that an index gives the order. With "model = ANY" PostgreSQL reads the tasks by their ids, ended ones first.
func ofNames(columns, where, limit string) string {
	return `
    SELECT candidate.*
    FROM unnest($2::text[]) AS name
    CROSS JOIN LATERAL (
        SELECT ` + columns + `
        FROM task
        WHERE provider = $1 AND model = name AND state = 'QUEUED' AND ` + where + `
        ORDER BY id
        LIMIT ` + limit + `
    ) AS candidate`
}

const (
	isHeld    = `not_before_time = 'infinity'`
	isNotHeld = `not_before_time IS DISTINCT FROM 'infinity'`
	// mayProbe is whether a task may probe its offering, if it is not refused: it waits for nothing but the offering, and its tenant is
	// none of $3, those that have used their quota in flight up.
	mayProbe = `tenant <> ALL ($3::text[]) AND deadline_time > now() AND NOT ` + waitsForSource
	// lastRefusal is when the provider last refused a task, as long as it may be for the offering's sake.
	lastRefusal = `(SELECT max(create_time) FROM attempt WHERE attempt.task_id = task.id AND attempt.provider = $1 AND attempt.state = 'REFUSED'
            AND attempt.create_time > now() - interval '1 day')`
)

// probers selects tasks that may probe an offering, as ofNames does. It looks at the 10,000 oldest tasks of each name, so that tenants
// that may not probe cost no more than that: a task that is behind 10,000 of theirs does not probe.
func probers(columns, place, where, limit string) string {
	return `
    SELECT candidate.*
    FROM unnest($2::text[]) AS name
    CROSS JOIN LATERAL (
        SELECT ` + columns + `
        FROM (
            SELECT id, tenant, revision, deadline_time
            FROM task
            WHERE provider = $1 AND model = name AND state = 'QUEUED' AND ` + place + `
            ORDER BY id
            LIMIT 10000
        ) AS task
        WHERE ` + where + `
        ORDER BY id
        LIMIT ` + limit + `
    ) AS candidate`
}

// lockOfferingProbe locks the task that probes an offering. Tasks that the provider has not refused go first, since the cause of a refusal
// may be the task. If it has refused all that it looks at, the one goes whose refusal is the oldest.
var lockOfferingProbe = `
SELECT ` + taskColumns + `
FROM task
WHERE state = 'QUEUED' AND deadline_time > now() AND id = (
    SELECT id
    FROM (` + probers("id, NULL::timestamptz AS refused", isHeld, mayProbe+" AND "+lastRefusal+" IS NULL", "1") + `
    UNION ALL` + probers("id, NULL::timestamptz AS refused", isNotHeld, mayProbe+" AND "+lastRefusal+" IS NULL", "1") + `
    UNION ALL` + probers("id, "+lastRefusal+" AS refused", isHeld, mayProbe, "100") + `
    UNION ALL` + probers("id, "+lastRefusal+" AS refused", isNotHeld, mayProbe, "100") + `) AS prober
    ORDER BY refused NULLS FIRST, id
    LIMIT 1)
FOR UPDATE SKIP LOCKED`

// admitOfferingProbes lets one task probe a closed offering of the provider, the first that has room and such a task.
func (s *Tasks) admitOfferingProbes(ctx context.Context, tx pgx.Tx, w *writes, r admission.Round, rooms *admission.Rooms, permits []string) error {
	if len(r.Probes) == 0 || len(permits) == 0 {
		return nil
	}
	full, err := fullTenants(ctx, tx, r.Provider)
	if err != nil {
		return fmt.Errorf("read which tenants may not probe: %w", err)
	}
	for _, o := range r.Probes {
		if !rooms.HasRoom(o) {
			continue
		}
		if err := s.admitOfferingProbe(ctx, tx, w, r, o, permits[0], full); err != nil || len(w.changes) > 0 {
			return err
		}
	}
	return nil
}

// errQuotaHeld means that another round holds the quota of the tenant whose task was to probe, or has used it up.
var errQuotaHeld = errors.New("the quota of the tenant is held")

// admitOfferingProbe lets one task probe a closed offering of the provider, if there is one. full are tenants whose tasks may not.
func (s *Tasks) admitOfferingProbe(ctx context.Context, tx pgx.Tx, w *writes, r admission.Round, o admission.Offering, account string, full []string) error {
	tag, err := tx.Exec(ctx, lockDueProbe, r.Provider, o.Model)
	if err != nil {
		return fmt.Errorf("lock the probe of %s: %w", o.Model, err)
	}
	if tag.RowsAffected() == 0 {
		return nil // Another replica was faster.
	}
	admit := func(_ int, t task.Task) (task.Decision, error) {
		free, err := holdTenantQuota(ctx, tx, t.Tenant)
		if err != nil {
			return task.Decision{}, fmt.Errorf("hold the quota of tenant %s: %w", t.Tenant, err)
		}
		if !free {
			return task.Decision{}, errQuotaHeld
		}
		if _, err := tx.Exec(ctx, claimProbe, r.Provider, o.Model); err != nil {
			return task.Decision{}, fmt.Errorf("claim the probe of %s: %w", o.Model, err)
		}
		return r.Admit(t, account)
	}
	err = s.changeQueued(ctx, tx, w, admit, lockOfferingProbe, r.Provider, o.Names, full)
	if errors.Is(err, errQuotaHeld) {
		return nil // The next round tries again.
	}
	return err
}

// lockClosures reads which offerings of a provider are closed. While they are locked, none of them ends: a task that is held after
// that would never be released.
const lockClosures = `SELECT model FROM offering_closure WHERE provider = $1 AND NOT open ORDER BY model FOR SHARE`

// holdTasks keeps tasks from admission until their offering opens.
var holdTasks = `
WITH closed AS (
    SELECT id
    FROM task
    WHERE id = ANY (ARRAY(` + ofNames("id", isNotHeld, "5000") + `))
      AND provider = $1 AND state = 'QUEUED' AND ` + isNotHeld + `
    FOR UPDATE SKIP LOCKED
)
UPDATE task
SET not_before_time = 'infinity'
FROM closed
WHERE task.id = closed.id`

// HoldClosed implements lifecycle.Store. The transaction locks the closures, which a change of them may delay for a moment, and then
// tasks, for which it does not wait.
func (s *Tasks) HoldClosed(ctx context.Context, r admission.Round) (held int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := stillClosed(ctx, tx, &r); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, holdTasks, r.Provider, r.ClosedNames())
		held = int(tag.RowsAffected())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("hold the tasks of closed offerings: %w", err)
	}
	return held, nil
}

// stillClosed locks the closures of a round, and removes those that have ended since.
func stillClosed(ctx context.Context, tx pgx.Tx, r *admission.Round) error {
	rows, err := tx.Query(ctx, lockClosures, r.Provider)
	if err != nil {
		return err
	}
	closed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.Closed = slices.DeleteFunc(slices.Clone(r.Closed), func(o admission.Offering) bool { return !slices.Contains(closed, o.Model) })
	return err
}

// lockHeld locks held tasks that have another provider to go to.
var lockHeld = `
SELECT ` + taskColumns + `
FROM task
WHERE id = ANY (ARRAY(` + ofNames("id", isHeld+` AND route[cardinality(route)] <> provider
          AND route[array_position(route, provider) + 1:] && $3::text[]`, "$4") + `
    LIMIT $4))
  AND provider = $1 AND state = 'QUEUED'
ORDER BY id
FOR UPDATE SKIP LOCKED`

// MoveClosed implements lifecycle.Store. It locks as HoldClosed does.
func (s *Tasks) MoveClosed(ctx context.Context, r admission.Round) (moved []task.Task, err error) {
	var w writes
	err = s.pipelined(ctx, func(tx pipelinedTx) error {
		if _, err := tx.Exec(ctx, begin); err != nil {
			return err
		}
		if err := stillClosed(ctx, tx, &r); err != nil {
			return err
		}
		move := func(_ int, t task.Task) (task.Decision, error) { return r.LeaveClosed(t) }
		err := s.changeQueued(ctx, tx, &w, move, lockHeld, r.Provider, r.ClosedNames(), r.Known, admission.MaxTasks)
		if err == nil && len(w.changes) == 0 {
			return errNothingAdmitted
		}
		return err
	})
	if errors.Is(err, errNothingAdmitted) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("move the tasks of closed offerings: %w", err)
	}
	s.committed(ctx, w.effects)
	return w.changed(), nil
}

// releaseHeld lets admission have tasks again that an offering held. They keep their place.
var releaseHeld = release(ofNames("id", isHeld+" AND NOT "+waitsForSource, "1000"))

// releaseStrays does so for held tasks of no offering that is closed: the catalog may have changed since they were held.
var releaseStrays = release(strays + " LIMIT 1000")

// strays selects the held tasks of a provider that ask for a model by none of the names $2.
const strays = `
    SELECT id
    FROM task
    WHERE provider = $1 AND state = 'QUEUED' AND not_before_time = 'infinity' AND model <> ALL ($2::text[]) AND NOT ` + waitsForSource

// release releases the held tasks that a query selects.
func release(selected string) string {
	return `
WITH held AS (
    SELECT id
    FROM task
    WHERE id = ANY (ARRAY(` + selected + `))
      AND provider = $1 AND state = 'QUEUED' AND not_before_time = 'infinity'
    FOR UPDATE SKIP LOCKED
)
UPDATE task
SET not_before_time = now()
FROM held
WHERE task.id = held.id`
}

// lockOpened waits for the transactions that hold tasks of the offering, so that endClosure sees them.
const lockOpened = `SELECT FROM offering_closure WHERE provider = $1 AND model = $2 AND open FOR UPDATE`

const endClosure = `DELETE FROM offering_closure WHERE provider = $1 AND model = $3 AND open AND NOT EXISTS (` + strays + `)`

// ReleaseHeld implements lifecycle.Store.
func (s *Tasks) ReleaseHeld(ctx context.Context, r admission.Round, o admission.Offering) (int, error) {
	tag, err := s.pool.Exec(ctx, releaseHeld, r.Provider, o.Names)
	if err == nil && tag.RowsAffected() == 0 {
		tag, err = s.pool.Exec(ctx, releaseStrays, r.Provider, r.ClosedNames())
	}
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockOpened, r.Provider, o.Model); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, endClosure, r.Provider, r.ClosedNames(), o.Model)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("release the tasks of %s at %s: %w", o.Model, r.Provider, err)
	}
	return int(tag.RowsAffected()), nil
}

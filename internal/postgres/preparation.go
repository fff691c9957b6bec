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
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// Preparations has the preparations of sources for provider accounts, and which tasks wait for each. Replicas claim due ones for the
// time of a lease; a claim that is not renewed becomes due again. A method that fails has changed nothing, unless the answer to its
// commit was lost: then a lease, a delay or an end may hold all the same.
type Preparations struct{ pool *pgxpool.Pool }

// upsertPreparation begins a preparation, or joins the one that is under way. It changes the row in either case: see
// endPreparation.
const upsertPreparation = `
INSERT INTO preparation (tenant, account, subject, host)
VALUES ($1, $2, $3, $4)
ON CONFLICT ON CONSTRAINT preparation_subject_key DO UPDATE SET joined = preparation.joined + 1`

// deferTask keeps a task from admission until its preparation has ended, which the transaction joined before. It follows the
// statement that writes the task's revision, in the same transaction. Whatever else changes the task writes not_before_time
// anew, and ends the wait.
const deferTask = `
WITH deferred AS (
    UPDATE task SET not_before_time = 'infinity' WHERE id = $4 RETURNING id, revision
)
INSERT INTO preparation_task (task_id, revision, preparation_id)
SELECT deferred.id, deferred.revision, preparation.id
FROM deferred, preparation
WHERE preparation.tenant = $1 AND preparation.account = $2 AND preparation.subject = $3
ON CONFLICT ON CONSTRAINT preparation_task_pkey
DO UPDATE SET revision = EXCLUDED.revision, preparation_id = EXCLUDED.preparation_id`

// deferredTask is a task that is deferred until a preparation has ended.
type deferredTask struct {
	id task.ID
	source.Preparation
}

func (d deferredTask) compare(other deferredTask) int {
	return cmp.Or(cmp.Compare(d.Tenant, other.Tenant), cmp.Compare(d.Account, other.Account), cmp.Compare(d.Subject(), other.Subject()))
}

// queueDeferred defers tasks. It locks their preparations first, in order, and then the rows of waiters. So it can't deadlock
// with another set of tasks, nor with the end of a preparation, which removes the rows that still name it.
func queueDeferred(batch *pgx.Batch, tasks []deferredTask) {
	slices.SortFunc(tasks, deferredTask.compare)
	for i, d := range tasks {
		if i == 0 || d.compare(tasks[i-1]) != 0 {
			batch.Queue(upsertPreparation, d.Tenant, d.Account, d.Subject(), d.Host())
		}
	}
	for _, d := range tasks {
		batch.Queue(deferTask, d.Tenant, d.Account, d.Subject(), d.id)
	}
}

// BeginPreparation implements source.Preparations.
func (s *Preparations) BeginPreparation(ctx context.Context, p source.Preparation) error {
	if _, err := s.pool.Exec(ctx, upsertPreparation, p.Tenant, p.Account, p.Subject(), p.Host()); err != nil {
		return fmt.Errorf("begin the preparation of a source for %s: %w", p.Account, err)
	}
	return nil
}

// claimPreparations takes due preparations up whose subjects are $6 long, for half of $1 free places, in turn between tenants,
// and of a tenant between hosts. It takes first what did not fail before, so that sources on hosts that are well do not wait for
// those that hang. $2, $3 and $4 name tenants and hosts and what this replica makes for them already: with that, a tenant has
// half of its places and the free ones at most, and a host half of what it has and the tenant may yet have, as by fair.Limit. A
// replica that dies leaves its leases to expire within $5 seconds.
const claimPreparations = `
WITH made AS (
    SELECT tenant, host, n FROM unnest($2::text[], $3::text[], $4::integer[]) AS made (tenant, host, n)
), held AS (
    SELECT tenant, sum(n) AS held, greatest((sum(n) + $1) / 2, 1) AS most FROM made GROUP BY tenant
), due AS (
    SELECT id, tenant, due_time, tries > 0 AS failed, coalesce(held, 0) AS held, coalesce(most, greatest($1 / 2, 1)) AS most,
           coalesce(n, 0) AS of_host,
           row_number() OVER (PARTITION BY tenant, host ORDER BY tries > 0, due_time, id) AS place
    FROM preparation
    LEFT JOIN made USING (tenant, host)
    LEFT JOIN held USING (tenant)
    WHERE due_time <= now() AND length(subject) = $6
), ranked AS (
    SELECT id, due_time, failed, most,
           held + row_number() OVER (PARTITION BY tenant ORDER BY failed, of_host + place, due_time, id) AS rank
    FROM due
    WHERE of_host + place <= greatest((of_host + most - held) / 2, 1)
), chosen AS MATERIALIZED (
    SELECT id
    FROM preparation
    WHERE due_time <= now()
      AND id IN (SELECT id FROM ranked WHERE rank <= most ORDER BY rank, failed, due_time, id LIMIT ($1 + 1) / 2)
    FOR UPDATE SKIP LOCKED
)
UPDATE preparation
SET busy = true, due_time = now() + make_interval(secs => $5)
FROM chosen
WHERE preparation.id = chosen.id
RETURNING preparation.id, tenant, host, account, subject, tries, extract(epoch FROM now() - create_time)::float8,
    coalesce((SELECT task.source_uri
              FROM preparation_task AS waiter
              JOIN task ON task.id = waiter.task_id
              WHERE waiter.preparation_id = preparation.id
              LIMIT 1), '')`

// How long subjects are: the ids of uploaded sources, and the SHA-256 of URIs.
const (
	sourceIDLength = 36
	uriHashLength  = 64
)

// ClaimPreparations implements source.Preparations.
func (s *Preparations) ClaimPreparations(ctx context.Context, want source.Claim) ([]source.Claimed, error) {
	tenants, hosts, numbers := make([]string, 0, len(want.Made)), make([]string, 0, len(want.Made)), make([]int32, 0, len(want.Made))
	for p, n := range want.Made {
		tenants, hosts, numbers = append(tenants, p.Tenant), append(hosts, p.Host), append(numbers, int32(n)) //nolint:gosec // A replica makes a few.
	}
	length := uriHashLength
	if want.Uploaded {
		length = sourceIDLength
	}
	rows, err := s.pool.Query(ctx, claimPreparations, want.Free, tenants, hosts, numbers, want.Lease.Seconds(), length)
	if err != nil {
		return nil, fmt.Errorf("claim preparations: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (source.Claimed, error) {
		var c source.Claimed
		var subject string
		var age float64 // Seconds.
		err := row.Scan(&c.ID, &c.Tenant, &c.Party.Host, &c.Account, &subject, &c.Tries, &age, &c.URI)
		c.Party.Tenant, c.Age = c.Tenant, time.Duration(age*float64(time.Second))
		if c.Subject() != subject {
			c.URI = "" // The subject has no URI, so a preparation without waiters can't be made.
			if len(subject) == sourceIDLength {
				c.Source = task.SourceID(subject)
			}
		}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("claim preparations: %w", err)
	}
	return claimed, nil
}

// renewPreparations prolongs leases. A row that another transaction holds is passed over, which avoids a deadlock: the next
// renewal prolongs it, long before the lease ends.
const renewPreparations = `
WITH free AS (
    SELECT id FROM preparation WHERE id = ANY ($1::bigint[]) AND busy FOR UPDATE SKIP LOCKED
)
UPDATE preparation
SET due_time = now() + make_interval(secs => $2)
FROM free
WHERE preparation.id = free.id`

// RenewPreparations implements source.Preparations.
func (s *Preparations) RenewPreparations(ctx context.Context, ids []source.PreparationID, lease time.Duration) error {
	if _, err := s.pool.Exec(ctx, renewPreparations, ids, lease.Seconds()); err != nil {
		return fmt.Errorf("keep preparations: %w", err)
	}
	return nil
}

const delayPreparation = `
UPDATE preparation
SET busy = false, due_time = now() + make_interval(secs => $2), tries = tries + $3, message = $4
WHERE id = $1`

// DelayPreparation implements source.Preparations.
func (s *Preparations) DelayPreparation(ctx context.Context, id source.PreparationID, delay time.Duration, message string) error {
	return s.putOff(ctx, id, delay, 1, message)
}

// GiveBackPreparation implements source.Preparations.
func (s *Preparations) GiveBackPreparation(ctx context.Context, c source.Claimed) error {
	return s.putOff(ctx, c.ID, 0, 0, "")
}

func (s *Preparations) putOff(ctx context.Context, id source.PreparationID, delay time.Duration, tries int, message string) error {
	if _, err := s.pool.Exec(ctx, delayPreparation, id, delay.Seconds(), tries, message); err != nil {
		return fmt.Errorf("put preparation %d off: %w", id, err)
	}
	return nil
}

// selectWaiters finds the tasks that wait for a preparation still. The number of joins comes from an earlier statement
// than the waiters, so that it counts none that they lack.
const selectWaiters = `
SELECT task.id, task.revision
FROM preparation_task AS waiter
JOIN task ON task.id = waiter.task_id
WHERE waiter.preparation_id = $1 AND task.revision = waiter.revision AND task.state = 'QUEUED' AND task.not_before_time = 'infinity'
LIMIT $2`

const selectJoined = `SELECT joined FROM preparation WHERE id = $1`

// PreparationWaiters implements source.Preparations.
func (s *Preparations) PreparationWaiters(ctx context.Context, id source.PreparationID, limit int) (waiters []source.Waiter, joined int64, err error) {
	err = s.pool.QueryRow(ctx, selectJoined, id).Scan(&joined)
	if err == nil {
		var rows pgx.Rows
		if rows, err = s.pool.Query(ctx, selectWaiters, id, limit); err == nil {
			waiters, err = pgx.CollectRows(rows, pgx.RowToStructByPos[source.Waiter])
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the waiters of preparation %d: %w", id, dbpool.NotFound(err, source.ErrNotFound))
	}
	return waiters, joined, nil
}

// endPreparation removes a preparation unless a task joined it since.
//
// NOTE: it compares the count and does not look at the waiters: a statement that had to wait for the row sees the row as it is
// then, and all other tables as they were before.
const endPreparation = `DELETE FROM preparation WHERE id = $1 AND joined = $2`

// EndPreparation implements source.Preparations.
func (s *Preparations) EndPreparation(ctx context.Context, id source.PreparationID, joined int64) (bool, error) {
	tag, err := s.pool.Exec(ctx, endPreparation, id, joined)
	if err != nil {
		return false, fmt.Errorf("end preparation %d: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

// selectSourceWait returns the state of the preparation that a task waits for.
const selectSourceWait = `
SELECT preparation.message, CASE WHEN NOT preparation.busy AND preparation.due_time > now() THEN preparation.due_time END
FROM preparation_task AS waiter
JOIN preparation ON preparation.id = waiter.preparation_id
WHERE waiter.task_id = $1`

func sourceWait(ctx context.Context, q querier, id task.ID) (*admission.SourceWait, error) {
	var w admission.SourceWait
	var until *time.Time
	err := q.QueryRow(ctx, selectSourceWait, id).Scan(&w.Message, &until)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil // It has ended this moment.
	}
	if until != nil {
		w.Until = *until
	}
	return &w, err
}

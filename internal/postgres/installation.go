package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// Installation has the row of the database about itself: its id and its epoch, and whether admission is open.
type Installation struct{ pool *pgxpool.Pool }

const (
	insertInstallation = `INSERT INTO installation DEFAULT VALUES ON CONFLICT ON CONSTRAINT installation_pkey DO NOTHING`
	selectInstallation = `SELECT id::text, epoch, epoch_time, set_backs, cluster FROM installation`
)

// selectCluster names the place of the database.
const selectCluster = `
SELECT system_identifier || '/' || timeline_id || '/' || pg_database.oid
FROM pg_control_system(), pg_control_checkpoint(), pg_database
WHERE datname = current_database()`

// cluster returns the name of the place of the database, or an empty name if the role may not read it.
func (s *Installation) cluster(ctx context.Context) (name string, err error) {
	err = s.pool.QueryRow(ctx, selectCluster).Scan(&name)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused && !dbpool.Unavailable(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the place of the database: %w", err)
	}
	return name, nil
}

// Enter implements fence.Store.
func (s *Installation) Enter(ctx context.Context) (fence.Installation, error) {
	var i fence.Installation
	if _, err := s.pool.Exec(ctx, insertInstallation); err != nil {
		return i, fmt.Errorf("give the database an id: %w", err)
	}
	here, err := s.cluster(ctx)
	if err != nil {
		return i, err
	}
	var before string
	if err := s.pool.QueryRow(ctx, selectInstallation).Scan(&i.ID, &i.Epoch, &i.EpochTime, &i.SetBacks, &before); err != nil {
		return i, fmt.Errorf("read the id of the database: %w", err)
	}
	i.Moved = here == "" || here != before
	return i, nil
}

// wasSetBack is whether admission is closed because the database or the bucket was set back.
const wasSetBack = `coalesce(close_reason IN ('DATABASE_SET_BACK', 'BUCKET_SET_BACK'), false)`

const advanceEpoch = `
WITH before AS (
    SELECT epoch_time FROM installation WHERE NOT ` + wasSetBack + ` FOR UPDATE
)
UPDATE installation
SET epoch = epoch + 1, epoch_time = now(), cluster = $1
FROM before
RETURNING id::text, epoch, before.epoch_time, set_backs`

// Advance implements fence.Store.
func (s *Installation) Advance(ctx context.Context) (now fence.Installation, ok bool, err error) {
	here, err := s.cluster(ctx)
	if err != nil {
		return now, false, err
	}
	err = s.pool.QueryRow(ctx, advanceEpoch, here).Scan(&now.ID, &now.Epoch, &now.EpochTime, &now.SetBacks)
	if errors.Is(err, pgx.ErrNoRows) {
		return now, false, nil
	}
	if err != nil {
		return now, false, fmt.Errorf("advance the epoch of the database: %w", err)
	}
	return now, true, nil
}

const raiseEpoch = `UPDATE installation SET epoch = greatest(epoch, $1)`

// closeSetBack keeps the earliest known_time, since a database can be set back twice before an operator has looked. A bucket that was
// emptied closes admission in any case: opening it then takes the records, or --accept-unknown.
const closeSetBack = `
UPDATE installation
SET close_reason = $1, close_message = $2, close_time = now(), known_time = least(known_time, $3), set_backs = set_backs + 1
WHERE set_backs = $4 OR $1 = 'BUCKET_SET_BACK'`

// SetBack implements fence.Store.
func (s *Installation) SetBack(ctx context.Context, a fence.Admission, epoch int64, known fence.Installation) (closed bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, raiseEpoch, epoch); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, closeSetBack, a.Reason, a.Message, a.KnownTime, known.SetBacks)
		closed = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("close admission: %w", err)
	}
	return closed, nil
}

const selectAdmission = `SELECT coalesce(close_reason, ''), close_message, close_time, known_time FROM installation`

// Admission implements fence.Store.
func (s *Installation) Admission(ctx context.Context) (fence.Admission, error) {
	var a fence.Admission
	var closed, known *time.Time
	err := s.pool.QueryRow(ctx, selectAdmission).Scan(&a.Reason, &a.Message, &closed, &known)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, nil // No replica has started yet.
	}
	if err != nil {
		return a, fmt.Errorf("read whether admission is open: %w", err)
	}
	a.CloseTime, a.KnownTime = orZero(closed), orZero(known)
	return a, nil
}

const closeAdmission = `
UPDATE installation
SET close_reason = $1, close_message = $2, close_time = coalesce(close_time, now())
WHERE NOT ` + wasSetBack

// CloseAdmission implements fence.Store.
func (s *Installation) CloseAdmission(ctx context.Context, reason fence.Reason, message string) error {
	if err := s.changeAdmission(ctx, "close", closeAdmission, reason, message); err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("close admission: %w", err)
	}
	return nil
}

// openAdmission opens admission only if it is closed as the caller has seen it: SetBack may have closed it for another reason since.
const openAdmission = `
UPDATE installation
SET close_reason = NULL, close_message = '', close_time = NULL, known_time = NULL
WHERE close_reason = $1 AND close_time = $2`

// OpenAdmission implements fence.Store.
func (s *Installation) OpenAdmission(ctx context.Context, a fence.Admission) (bool, error) {
	err := s.changeAdmission(ctx, "open", openAdmission, a.Reason, a.CloseTime)
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open admission: %w", err)
	}
	return true, nil
}

// selectAdmissionValues reads what the audit log records of admission.
const selectAdmissionValues = `
SELECT jsonb_strip_nulls(jsonb_build_object('close_reason', close_reason, 'close_message', nullif(close_message, '')))
FROM installation
WHERE singleton = $1
FOR UPDATE`

// errUnchanged means that a change of admission did not apply.
var errUnchanged = errors.New("admission is closed for another reason")

// changeAdmission changes admission by a verb, which the audit log has as admission.VERB. A change that does not apply is not recorded.
func (s *Installation) changeAdmission(ctx context.Context, verb, statement string, args ...any) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		c := audit.Change{Action: "admission." + verb, Target: "admission"}
		return auditlog.Row(ctx, tx, c, selectAdmissionValues, func() error {
			tag, err := tx.Exec(ctx, statement, args...)
			if err == nil && tag.RowsAffected() == 0 {
				return errUnchanged
			}
			return err
		}, true)
	})
}

const selectDiscarded = `SELECT EXISTS (SELECT FROM unkept_file WHERE key = $1 AND create_time >= $2)`

// Discarded implements fence.Store.
func (s *Installation) Discarded(ctx context.Context, key string, since time.Time) (bool, error) {
	var discarded bool
	if err := s.pool.QueryRow(ctx, selectDiscarded, key, since).Scan(&discarded); err != nil {
		return false, fmt.Errorf("look whether %s was given up: %w", key, err)
	}
	return discarded, nil
}

// Keep implements fence.Store.
func (s *Installation) Keep(ctx context.Context, key string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM unkept_file WHERE key = $1`, key); err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	return nil
}

const selectSentTasks = `
SELECT coalesce(task.id::text, ''), coalesce(task.state, ''), (SELECT count(*) FROM attempt WHERE attempt.task_id = task.id AND attempt.sent)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS request (tenant, request_id, place)
LEFT JOIN task ON task.tenant = request.tenant AND task.request_id = request.request_id
ORDER BY request.place`

// SentTasks implements fence.Store.
func (s *Installation) SentTasks(ctx context.Context, requests []fence.Request) ([]fence.SentTask, error) {
	tenants, ids := make([]string, len(requests)), make([]string, len(requests))
	for i, r := range requests {
		tenants[i], ids[i] = r.Tenant, r.RequestID
	}
	rows, err := s.pool.Query(ctx, selectSentTasks, tenants, ids)
	if err != nil {
		return nil, fmt.Errorf("read the tasks of %d requests: %w", len(requests), err)
	}
	tasks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t fence.SentTask, err error) {
		var id string
		err = row.Scan(&id, &t.State, &t.Sent)
		t.Task = task.ID(id)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tasks of %d requests: %w", len(requests), err)
	}
	return tasks, nil
}

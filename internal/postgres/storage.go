package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/task"
)

// Storage records whether results can be stored: what each replica found when it probed the storage, and why the outputs of an
// attempt are not saved yet. When a method fails, the record is that of before, or of the call if the answer to its commit was
// lost. A record of a replica is used for three minutes.
type Storage struct{ pool *pgxpool.Pool }

// recordStorage renews a replica's row, and removes those of replicas that died.
const recordStorage = `
WITH died AS (
    DELETE FROM storage_probe WHERE probe_time < now() - interval '1 hour' AND replica <> $1
)
INSERT INTO storage_probe AS former (replica, cause) VALUES ($1, $2)
ON CONFLICT (replica) DO UPDATE
SET cause = excluded.cause, probe_time = now(),
    since_time = CASE WHEN former.cause = excluded.cause THEN former.since_time ELSE now() END`

// RecordStorage records that a replica has probed the storage, and why it fails, in words for callers; empty where it works.
func (s *Storage) RecordStorage(ctx context.Context, replica, cause string) error {
	if _, err := s.pool.Exec(ctx, recordStorage, replica, cause); err != nil {
		return fmt.Errorf("record the storage's state: %w", err)
	}
	return nil
}

const forgetStorage = `DELETE FROM storage_probe WHERE replica = $1`

// ForgetStorage removes the record of a replica that stops.
func (s *Storage) ForgetStorage(ctx context.Context, replica string) error {
	if _, err := s.pool.Exec(ctx, forgetStorage, replica); err != nil {
		return fmt.Errorf("remove the record of the storage's state: %w", err)
	}
	return nil
}

// storageCause is why the storage fails at every replica that has probed it lately, and is NULL while it works at one of them:
// that one admits tasks and saves results. A replica probes every 30 seconds, and waits for a slow probe for a minute and a half.
const storageCause = `(
    SELECT max(cause)
    FROM storage_probe
    WHERE probe_time > now() - interval '3 minutes'
    HAVING NOT bool_or(cause = ''))`

const selectStorage = `SELECT coalesce(` + storageCause + `, '')`

// noteSaveTrouble keeps since when the save of an attempt fails. What is older than its job is of a save that was given up. A
// save that fails because of the storage, and then for another cause, or the other way round, begins to fail anew.
const noteSaveTrouble = `
INSERT INTO save_trouble AS former (attempt_id, cause, message, until_time, storage_cause, storage_since_time, storage_until_time)
VALUES ($1, $2, $3, now() + make_interval(secs => $5), $6, CASE WHEN $6 <> '' THEN now() END, CASE WHEN $6 <> '' THEN now() END)
ON CONFLICT (attempt_id) DO UPDATE
SET cause = excluded.cause, message = excluded.message, until_time = excluded.until_time, update_time = now(),
    since_time = CASE
        WHEN former.update_time >= $4 AND (former.cause = 'STORAGE_UNAVAILABLE') = (excluded.cause = 'STORAGE_UNAVAILABLE') THEN former.since_time
        ELSE now()
    END,
    storage_cause = CASE
        WHEN excluded.storage_cause <> '' THEN excluded.storage_cause
        WHEN former.update_time >= $4 THEN former.storage_cause
        ELSE ''
    END,
    storage_since_time = CASE
        WHEN former.update_time >= $4 AND former.storage_since_time IS NOT NULL THEN former.storage_since_time
        ELSE excluded.storage_since_time
    END,
    storage_until_time = CASE
        WHEN excluded.storage_cause <> '' THEN now()
        WHEN former.update_time >= $4 THEN former.storage_until_time
    END
RETURNING ` + saveTroubleColumns

const saveTroubleColumns = `cause, message, since_time, until_time, storage_cause,
    coalesce(storage_since_time, since_time), coalesce(storage_until_time, since_time)`

// NoteSaveTrouble implements output.Troubles. It records why a try to save the outputs of an attempt failed, and when the next one follows. began is when
// the job began that saves them. It returns what is known of the save since then.
func (s *Storage) NoteSaveTrouble(ctx context.Context, id task.AttemptID, began time.Time, n task.SaveTry) (task.SaveTrouble, error) {
	rows, err := s.pool.Query(ctx, noteSaveTrouble, id, n.Cause, n.Message, began, n.RetryAfter.Seconds(), n.Storage)
	if err != nil {
		return task.SaveTrouble{}, fmt.Errorf("note why attempt %s is not saved: %w", id, err)
	}
	trouble, err := pgx.CollectExactlyOneRow(rows, scanSaveTrouble)
	if err != nil {
		return trouble, fmt.Errorf("note why attempt %s is not saved: %w", id, err)
	}
	return trouble, nil
}

func scanSaveTrouble(row pgx.CollectableRow) (task.SaveTrouble, error) {
	var t task.SaveTrouble
	err := row.Scan(&t.Cause, &t.Message, &t.Since, &t.Until, &t.Storage.Cause, &t.Storage.Since, &t.Storage.Until)
	return t, err
}

const selectSaveTrouble = `SELECT ` + saveTroubleColumns + ` FROM save_trouble WHERE attempt_id = $1 AND update_time >= $2`

// SaveTrouble implements lifecycle.Store.
func (s *Storage) SaveTrouble(ctx context.Context, id task.AttemptID, since time.Time) (trouble task.SaveTrouble, storage string, err error) {
	var batch pgx.Batch
	batch.Queue(selectStorage).QueryRow(func(row pgx.Row) error { return row.Scan(&storage) })
	batch.Queue(selectSaveTrouble, id, since).Query(func(rows pgx.Rows) error {
		trouble, err = pgx.CollectExactlyOneRow(rows, scanSaveTrouble)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		return err
	})
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return trouble, "", fmt.Errorf("read why attempt %s is not saved: %w", id, err)
	}
	return trouble, storage, nil
}

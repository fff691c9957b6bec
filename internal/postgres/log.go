package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/frontier"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

// Log has the events of all tasks, by task and in the order of their positions. It is read only; Tasks writes events with the change
// that they describe. A method that fails has read nothing. One Log follows the frontier for all callers, who wait for each other
// in Frontier.
type Log struct {
	outputReader

	pool     *pgxpool.Pool
	frontier *frontier.Tracker
}

func newLog(pool *pgxpool.Pool, periods retention.Periods) *Log {
	return &Log{outputReader: outputReader{periods}, pool: pool, frontier: frontier.New(pool)}
}

// Frontier implements watch.Log.
func (s *Log) Frontier(ctx context.Context) (settled, newest task.Position, err error) {
	return s.frontier.Advance(ctx)
}

// selectLastPosition counts entries that were removed, too: what begins after one of these must not count as
// older than retention.
const selectLastPosition = `
SELECT greatest(
    coalesce((SELECT max(position) FROM task_event WHERE position <= $1), 0),
    coalesce((SELECT max(position) FROM event_removal WHERE position <= $1), 0))`

// LastPosition implements watch.Log.
func (s *Log) LastPosition(ctx context.Context, upTo task.Position) (task.Position, error) {
	var p task.Position
	if err := s.pool.QueryRow(ctx, selectLastPosition, upTo).Scan(&p); err != nil {
		return 0, fmt.Errorf("read the last position: %w", err)
	}
	return p, nil
}

const entryColumns = `event.position, coalesce(event.tenant, ''), event.task_id, task.request_id, task.labels, event.revision,
	event.state, event.attempt, event.message, coalesce(event.failure_reason, ''), coalesce(event.failure_message, ''),
	coalesce(event.failure_payment, ''), event.create_time,
	CASE WHEN event.state = 'SUCCEEDED' THEN coalesce(task.result_attempt::text, '') ELSE '' END`

// selectEntries reads the log by position. Its cost depends only on what there is to read.
const selectEntries = `
SELECT ` + entryColumns + `
FROM task_event AS event JOIN task ON task.id = event.task_id
WHERE event.position > $1 AND event.position <= $2
ORDER BY event.position
LIMIT $3`

// selectTenantEntries is the same for one tenant, by an index that begins with it: other tenants' events cost nothing.
const selectTenantEntries = `
SELECT ` + entryColumns + `
FROM task_event AS event JOIN task ON task.id = event.task_id
WHERE event.position > $1 AND event.position <= $2 AND event.tenant = $4
ORDER BY event.position
LIMIT $3`

const selectRemoved = `SELECT coalesce((SELECT position FROM event_removal WHERE tenant = $1), 0)`

// Entries implements watch.Log.
func (s *Log) Entries(ctx context.Context, after, upTo task.Position, limit int) ([]task.Entry, error) {
	rows, err := s.pool.Query(ctx, selectEntries, after, upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("read the log after position %d: %w", after, err)
	}
	entries, err := s.collectEntries(ctx, rows)
	if err != nil {
		return nil, fmt.Errorf("read the log after position %d: %w", after, err)
	}
	return entries, nil
}

// TenantEntries implements watch.Log. The position up to which entries were removed is read after the entries, so it covers
// all removed entries that these lack.
func (s *Log) TenantEntries(ctx context.Context, tenant string, after, upTo task.Position, limit int) (
	entries []task.Entry, removed task.Position, err error,
) {
	var batch pgx.Batch
	var results []entryRow
	batch.Queue(selectTenantEntries, after, upTo, limit, tenant).Query(func(rows pgx.Rows) (err error) {
		results, err = pgx.CollectRows(rows, scanEntry)
		return err
	})
	batch.Queue(selectRemoved, tenant).QueryRow(func(row pgx.Row) error { return row.Scan(&removed) })
	if err = s.pool.SendBatch(ctx, &batch).Close(); err == nil {
		entries, err = s.completeEntries(ctx, results)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the log of tenant %q after position %d: %w", tenant, after, err)
	}
	return entries, removed, nil
}

// entryRow is an entry with the attempt that it takes its outputs from, if it has any.
type entryRow struct {
	task.Entry
	result string
}

func scanEntry(row pgx.CollectableRow) (entryRow, error) {
	var r entryRow
	var f task.Failure
	e := &r.Event
	err := row.Scan(&r.Position, &r.Tenant, &r.Task, &r.RequestID, &r.Labels, &e.Revision, &e.State, &e.Attempt, &e.Message,
		&f.Reason, &f.Message, &f.Payment, &e.CreateTime, &r.result)
	if f.Reason != "" {
		e.Failure = &f
	}
	return r, err
}

func (s *Log) collectEntries(ctx context.Context, rows pgx.Rows) ([]task.Entry, error) {
	results, err := pgx.CollectRows(rows, scanEntry)
	if err != nil {
		return nil, err
	}
	return s.completeEntries(ctx, results)
}

// completeEntries adds the outputs of tasks that succeeded, as they are now: some may have expired.
func (s *Log) completeEntries(ctx context.Context, rows []entryRow) ([]task.Entry, error) {
	entries := make([]task.Entry, len(rows))
	byResult := make(map[string]*task.Entry)
	var results []string
	for i := range rows {
		entries[i] = rows[i].Entry
		if r := rows[i].result; r != "" {
			byResult[r] = &entries[i]
			results = append(results, r)
		}
	}
	if len(results) == 0 {
		return entries, nil
	}
	err := s.eachOutput(ctx, s.pool, results, func(attempt string, o task.Output) {
		e := byResult[attempt]
		e.Outputs = append(e.Outputs, o)
	})
	return entries, err
}

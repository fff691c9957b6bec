package frontier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/task"
)

// Tracker follows the frontier for all readers of a replica. It may be used concurrently: calls wait for each other.
type Tracker struct {
	pool *pgxpool.Pool

	mu        sync.Mutex
	settled   task.Position
	markLimit time.Duration
	mark      *mark
	bystander bool // Whether only transactions that do not count delayed the last mark.
}

type mark struct {
	position task.Position
	next     uint32 // The id that the next transaction was to get. Ids are compared around their circle.
	taken    time.Time
}

// markLimit is how long a mark waits for all transactions before it is read which of them count. That takes
// the locks of the lock table, so it is not read each time.
const markLimit = 50 * time.Millisecond

const selectNewestPosition = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM task_event_position`

// selectTransactions returns the oldest id that may be running, and the one that is next. A snapshot's xmax is not the
// latter: ids that are handed out but younger than all completed ones lie beyond it.
const selectTransactions = `
SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295), ((age('3'::xid)::bigint + 3) & 4294967295)`

// selectWriter reports whether a transaction older than an id has written events: its lock on the table, which it had
// before it took a position, lasts until it ends. One read of pg_locks is one moment, so it has both locks.
const selectWriter = `
SELECT EXISTS (
    SELECT
    FROM pg_locks
    WHERE granted
      AND (locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'task_event'::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           OR locktype = 'transactionid')
    GROUP BY virtualtransaction
    HAVING bool_or(locktype = 'relation')
       AND bool_or((($1::bigint - transactionid::text::bigint) & 4294967295) BETWEEN 1 AND 2147483647))`

// New returns the tracker of a database.
func New(pool *pgxpool.Pool) *Tracker { return &Tracker{pool: pool, markLimit: markLimit} }

// Advance moves the frontier as far as it can, and returns it with the newest position that was taken.
func (f *Tracker) Advance(ctx context.Context) (settled, newest task.Position, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest, next int64
	// One round trip of two statements, each with a moment of its own: the ids are read after the position.
	var batch pgx.Batch
	batch.Queue(selectNewestPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&newest) })
	batch.Queue(selectTransactions).QueryRow(func(row pgx.Row) error { return row.Scan(&oldest, &next) })
	if err := f.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, 0, fmt.Errorf("read the newest position: %w", err)
	}
	// After a crash, positions that were never committed may be handed out again.
	f.settled = min(f.settled, newest)
	for {
		if f.mark == nil {
			if newest == f.settled {
				return f.settled, newest, nil
			}
			f.mark = &mark{position: newest, next: uint32(next), taken: time.Now()} //nolint:gosec // Masked to 32 bits.
		}
		over, err := f.over(ctx, uint32(oldest)) //nolint:gosec // As above.
		if err != nil || !over {
			return f.settled, newest, err
		}
		f.settled, f.mark = max(f.settled, min(f.mark.position, newest)), nil
	}
}

// over reports whether no transaction is left that can have taken a position up to the mark.
func (f *Tracker) over(ctx context.Context, oldest uint32) (bool, error) {
	if int32(oldest-f.mark.next) >= 0 { //nolint:gosec // The difference wraps on purpose.
		f.bystander = false
		return true, nil
	}
	if !f.bystander && time.Since(f.mark.taken) < f.markLimit {
		return false, nil
	}
	var writer bool
	if err := f.pool.QueryRow(ctx, selectWriter, int64(f.mark.next)).Scan(&writer); err != nil {
		return false, fmt.Errorf("look for writers of events: %w", err)
	}
	f.bystander = !writer
	return !writer, nil
}

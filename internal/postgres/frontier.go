package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/task"
)

// frontier is the position up to which the log of events is settled: nothing that is not visible yet will appear at or before it.
// Positions are taken before they are committed, so a reader that goes by the newest visible position steps over those that are
// still in flight.
//
// It takes marks: a position that had been taken at some time, and the transaction id that was next afterwards. A transaction that
// took that position, or one before it, has an older id, since it has its id before it takes a position. So once no transaction
// with an older id is left, everything up to the mark is visible or never will be.
//
// A transaction that has nothing to do with us, even in another database of the server, may stay open for hours and
// would delay this. So when a mark waits for long, only transactions that have written events count: they hold a lock on
// the table until they end. A transaction that does not write delays nothing here, and writers never wait for readers.
type frontier struct {
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

// Frontier implements watch.Log.
func (s *Log) Frontier(ctx context.Context) (settled, newest task.Position, err error) {
	f := &s.frontier
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest, next int64
	// One round trip of two statements, each with a moment of its own: the ids are read after the position.
	var batch pgx.Batch
	batch.Queue(selectNewestPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&newest) })
	batch.Queue(selectTransactions).QueryRow(func(row pgx.Row) error { return row.Scan(&oldest, &next) })
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
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
		over, err := s.over(ctx, f, uint32(oldest)) //nolint:gosec // As above.
		if err != nil || !over {
			return f.settled, newest, err
		}
		f.settled, f.mark = max(f.settled, min(f.mark.position, newest)), nil
	}
}

// over reports whether no transaction is left that can have taken a position up to the mark.
func (s *Log) over(ctx context.Context, f *frontier, oldest uint32) (bool, error) {
	if int32(oldest-f.mark.next) >= 0 { //nolint:gosec // The difference wraps on purpose.
		f.bystander = false
		return true, nil
	}
	if !f.bystander && time.Since(f.mark.taken) < f.markLimit {
		return false, nil
	}
	var writer bool
	if err := s.pool.QueryRow(ctx, selectWriter, int64(f.mark.next)).Scan(&writer); err != nil {
		return false, fmt.Errorf("look for writers of events: %w", err)
	}
	f.bystander = !writer
	return !writer, nil
}

package webhooks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// Tasks reads tasks.
type Tasks interface {
	// QueueTasks adds the statements to a batch that read tasks with their attempts and outputs. When the batch is closed, the map has
	// those that exist.
	QueueTasks(batch *pgx.Batch, ids []task.ID) map[task.ID]*task.Task
}

// Store has the endpoints and the deliveries. It implements notify.Deliveries, api.WebhookEndpoints and api.WebhookDeliveries.
type Store struct {
	pool  *pgxpool.Pool
	tasks Tasks
	wake  func()
}

// New returns the store of a database. It calls wake when deliveries may be due before they are looked for again.
func New(pool *pgxpool.Pool, tasks Tasks, wake func()) *Store { return &Store{pool, tasks, wake} }

// timeout bounds the transactions of Claim and Finish, whose callers would otherwise wait without an end for a database that does
// not answer.
const timeout = 30 * time.Second

// byIndex keeps PostgreSQL from reading whole tables in a transaction. The plan of a statement is kept, and with one that was made
// while a table was small, each call would read all of it when it has grown. SET LOCAL would do the same with a warning, since the
// transactions of write have no BEGIN.
const byIndex = `SELECT set_config('enable_seqscan', 'off', true)`

// repeatable is byIndex for a transaction whose commit does not wait for the disk. If the database forgets a lease or a result in a crash,
// the event is sent again, which may happen to every event.
const repeatable = `SELECT set_config('enable_seqscan', 'off', true), set_config('synchronous_commit', 'off', true)`

// write runs a batch as one transaction with one of the settings above. It runs it again when the server rolled it back in favor of
// another one.
func (s *Store) write(ctx context.Context, settings string, queue func(*pgx.Batch)) error {
	return dbpool.Transact(ctx, timeout, func(ctx context.Context) error {
		var batch pgx.Batch // Without BEGIN it is a transaction by itself.
		batch.Queue(settings)
		queue(&batch)
		return s.pool.SendBatch(ctx, &batch).Close()
	})
}

// value returns the zero value for nil, which is NULL.
func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

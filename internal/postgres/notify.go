package postgres

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/task"
)

// channel is where replicas tell each other which tasks changed.
const channel = "refract_task"

// notifyBatch is how many task ids go into one notification: 36 bytes and a comma each, under the 8000
// bytes that PostgreSQL allows.
const notifyBatch = 200

// pendingNotifications bounds the ids that wait to be sent. What does not fit is dropped: a notification is
// only a hint, and watchers find out within a second without it.
const pendingNotifications = 100_000

// Notifier tells the other replicas which tasks changed. NOTIFY takes a lock of the whole database when it
// commits, so it is sent after the write and not inside it, and one at a time: while one is under way the
// next gathers.
type Notifier struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	pending map[task.ID]struct{}
}

// NewNotifier returns a notifier; its Run must be running for anything to be sent.
func NewNotifier(pool *pgxpool.Pool, log *slog.Logger) *Notifier {
	return &Notifier{pool: pool, log: log, wake: make(chan struct{}, 1), pending: map[task.ID]struct{}{}}
}

// Add queues the notification of a task. It never blocks.
func (n *Notifier) Add(id task.ID) {
	n.mu.Lock()
	if len(n.pending) < pendingNotifications {
		n.pending[id] = struct{}{}
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run sends notifications until ctx ends. A notification that can't be sent is dropped.
func (n *Notifier) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		}
		for batch := n.take(); len(batch) > 0; batch = n.take() {
			_, err := n.pool.Exec(ctx, "SELECT pg_notify($1, $2)", channel, strings.Join(batch, ","))
			if err != nil && ctx.Err() == nil {
				n.log.WarnContext(ctx, "notification dropped; watchers on other replicas are up to a second late", "error", err)
			}
		}
	}
}

func (n *Notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := make([]string, 0, min(len(n.pending), notifyBatch))
	for id := range n.pending {
		if len(batch) == notifyBatch {
			break
		}
		batch = append(batch, string(id))
		delete(n.pending, id)
	}
	return batch
}

// Listener hears which tasks other replicas changed, over a connection of its own.
type Listener struct {
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Replica is the name of this replica at the job queue. The connection holds its lock, which tells that it
	// lives. Empty means that there is nothing to tell.
	Replica string
	// Wake is told the ids of changed tasks.
	Wake func(ids ...task.ID)
	// WakeAll is called when the connection was (re)made: notifications may have been missed.
	WakeAll func()
}

// silence is how long the connection may be silent before it is asked whether it still lives.
const silence = 10 * time.Second

// Run listens until ctx ends, and reconnects when the connection breaks.
func (l *Listener) Run(ctx context.Context) error {
	for {
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Whatever broke the connection, it is wanted no more.
		}
		l.Log.WarnContext(ctx, "listening for task changes was interrupted; watchers fall back to the table", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (l *Listener) listen(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, l.Pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer hangUp(conn) //nolint:contextcheck // Also when ctx has ended.
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	if l.Replica != "" {
		if _, err := conn.Exec(ctx, holdReplicaLock, l.Replica); err != nil {
			return err
		}
	}
	l.WakeAll()
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		notification, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			l.hear(notification.Payload)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			if err := ping(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// ping asks whether the other end still lives; a silent one does not.
func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// hangUp closes a connection, whose other end may be silent. Nothing is lost when the farewell is not heard.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func (l *Listener) hear(payload string) {
	parts := strings.Split(payload, ",")
	ids := make([]task.ID, len(parts))
	for i, p := range parts {
		ids[i] = task.ID(p)
	}
	l.Wake(ids...)
}

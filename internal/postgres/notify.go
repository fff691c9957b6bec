package postgres

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// channel is where replicas tell each other which tasks changed.
const channel = "refract_task"

// sender marks the part of a notification that names the replica which sent it.
const sender = "@"

// notifyBatch is how many task ids go into one notification: 36 bytes and a comma each, under the 8000
// bytes that PostgreSQL allows.
const notifyBatch = 200

// pendingNotifications bounds the ids that wait to be sent. What does not fit is dropped: a notification is
// only a hint, and watchers find out within a second without it.
const pendingNotifications = 100_000

// Notifier tells the other replicas which tasks changed, and the workers of all in which queues there is a new job.
// NOTIFY takes a lock of the whole database when it commits, so it is sent after the write and not inside it, and
// one at a time: while one is under way the next gathers. Under load each would still tell of few tasks, and wakes every
// listener of every replica, so after one the ids gather for a while longer; workers are told at once.
type Notifier struct {
	// Replica is the name of this replica at the job queue. The listener of the same name does not hear what the
	// notifier sends, since whoever changes a task here wakes its watchers directly. Empty means that all hear it.
	Replica string

	pool   *pgxpool.Pool
	log    *slog.Logger
	wake   chan struct{} // There is something to send,
	urgent chan struct{} // and this has no time to gather.

	mu      sync.Mutex
	pending map[task.ID]struct{}
	queues  map[string]struct{}
}

// NewNotifier returns a notifier; its Run must be running for anything to be sent.
func NewNotifier(pool *pgxpool.Pool, log *slog.Logger) *Notifier {
	return &Notifier{pool: pool, log: log, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), pending: map[task.ID]struct{}{}, queues: map[string]struct{}{}}
}

// Add queues the notification of a task. It never blocks.
func (n *Notifier) Add(id task.ID) {
	n.mu.Lock()
	if len(n.pending) < pendingNotifications {
		n.pending[id] = struct{}{}
	}
	n.mu.Unlock()
	signal(n.wake)
}

// addQueue queues the notification of a new job. It never blocks.
func (n *Notifier) addQueue(queue string) {
	n.mu.Lock()
	n.queues[queue] = struct{}{}
	n.mu.Unlock()
	signal(n.urgent)
}

// signal leaves word in a channel that has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sendNotifications sends one notification to replicas, unless there is nothing to tell, and one for each queue to
// workers, in the form of the job queue's own. What is lost with a crash of the database was only a hint, so the commit
// does not wait for the disk.
const sendNotifications = `
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
FROM (SELECT $1 AS channel, $2 AS payload
      WHERE $2 <> ''
      UNION ALL
      SELECT concat(current_schema(), '.river_insert'), json_build_object('queue', queue)::text
      FROM unnest($3::text[]) AS queue) AS message`

// gathering is for how long ids gather after a notification.
const gathering = 5 * time.Millisecond

// Run sends notifications until ctx ends. A notification that can't be sent is dropped.
func (n *Notifier) Run(ctx context.Context) error {
	rest := time.NewTimer(0) // Fires when ids have gathered for long enough.
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.urgent:
		case <-rest.C:
			select {
			case <-ctx.Done():
				return nil
			case <-n.urgent:
			case <-n.wake:
			}
		}
		for ids, queues := n.take(); len(ids)+len(queues) > 0; ids, queues = n.take() {
			_, err := n.pool.Exec(ctx, sendNotifications, channel, n.payload(ids), queues)
			if err != nil && ctx.Err() == nil {
				n.log.WarnContext(ctx, "notification dropped; watchers on other replicas and workers are up to a second late", "error", err)
			}
		}
		rest.Reset(gathering)
	}
}

// payload is what replicas are told of these tasks: nothing where there are none.
func (n *Notifier) payload(ids []string) string {
	if n.Replica != "" && len(ids) > 0 {
		ids = append([]string{sender + n.Replica}, ids...) // A listener of the release before takes it for a task that nobody watches.
	}
	return strings.Join(ids, ",")
}

func (n *Notifier) take() (ids, queues []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids = make([]string, 0, min(len(n.pending), notifyBatch))
	for id := range n.pending {
		if len(ids) == notifyBatch {
			break
		}
		ids = append(ids, string(id))
		delete(n.pending, id)
	}
	queues = slices.AppendSeq([]string{}, maps.Keys(n.queues))
	clear(n.queues)
	return ids, queues
}

// Listener hears which tasks other replicas changed, over a connection of its own.
type Listener struct {
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Replica is the name of this replica at the job queue. The connection holds its lock, which tells that it
	// lives. Empty means that there is nothing to tell, and that it hears what it sent itself.
	Replica string
	// Wake is told the ids of changed tasks.
	Wake func(ids ...task.ID)
	// WakeAll is called when the connection was (re)made: notifications may have been missed.
	WakeAll func()

	reconnectWait time.Duration // The pause before it reconnects; 0 means reconnectWait.
}

// reconnectWait is the pause between a connection of a listener that broke and the next one.
const reconnectWait = time.Second

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
		case <-time.After(cmp.Or(l.reconnectWait, reconnectWait)):
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
			if err := checkListening(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// checkListening asks whether the other end still lives, and whether changes are still made there: a server that became a
// standby stays silent for good.
func checkListening(ctx context.Context, conn *pgx.Conn) error {
	return dbpool.CheckWritable(ctx, conn)
}

// hangUp closes a connection, whose other end may be silent. Nothing is lost when the farewell is not heard.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func (l *Listener) hear(payload string) {
	parts := strings.Split(payload, ",")
	if from, named := strings.CutPrefix(parts[0], sender); named {
		if from == l.Replica {
			return
		}
		parts = parts[1:]
	}
	ids := make([]task.ID, len(parts))
	for i, p := range parts {
		ids[i] = task.ID(p)
	}
	l.Wake(ids...)
}

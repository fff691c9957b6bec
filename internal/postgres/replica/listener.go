package replica

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/task"
)

// Listener receives which tasks other replicas changed, and which loops of workers have work, over a connection of its own.
type Listener struct {
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Replica is the name of this replica at the job queue. The connection holds the lock that shows JobRescuer that the replica
	// lives. When it is empty, the connection holds no lock, and the listener receives what its own replica sent.
	Replica string
	// Wake is called with the ids of changed tasks.
	Wake func(ids ...task.ID)
	// WakeAll is called when the connection was (re)made: notifications may have been missed.
	WakeAll func()
	// Topics are called when a replica announces a topic, and when the connection was (re)made. None may block.
	Topics map[Topic]func()

	reconnectWait time.Duration // The pause before it reconnects; 0 means reconnectWait.
}

// reconnectWait is the pause between a connection of a listener that broke and the next one.
const reconnectWait = time.Second

// silence is how long the connection may be silent before it is checked.
const silence = 10 * time.Second

// Run listens until ctx ends, and reconnects when the connection breaks.
func (l *Listener) Run(ctx context.Context) error {
	for {
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // The connection is no longer needed, so its error does not matter.
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
	for _, name := range []string{wakeChannel, channel} {
		if _, err := conn.Exec(ctx, "LISTEN "+name); err != nil {
			return err
		}
	}
	if l.Replica != "" {
		if _, err := conn.Exec(ctx, holdReplicaLock, l.Replica); err != nil {
			return err
		}
	}
	l.WakeAll()
	for _, wake := range l.Topics {
		wake()
	}
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		notification, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil && notification.Channel == wakeChannel:
			if wake := l.Topics[Topic(notification.Payload)]; wake != nil {
				wake()
			}
		case err == nil:
			l.hear(notification.Payload)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			// A server that became a standby answers, and never sends a notification again.
			if err := dbpool.CheckWritable(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// hangUp closes a connection whose other end may be silent. Nothing is lost when the server does not receive the end.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// hear wakes the watchers of the tasks that a notification names.
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

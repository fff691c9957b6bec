package replica

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/task"
)

// channel is where replicas notify each other of changed tasks.
const channel = "refract_task"

// wakeChannel is where replicas wake the loops of workers. The payload is a topic.
const wakeChannel = "refract_wake"

// Topic is what a loop of workers waits for.
type Topic string

// The topics.
const (
	Admission Topic = "admission" // A task may be admitted.
	Checks    Topic = "checks"    // A check may be due.
	Webhooks  Topic = "webhooks"  // A webhook is to be sent.
	Intake    Topic = "intake"    // An ingress stored a callback.
)

// sender marks the part of a notification that names the replica which sent it.
const sender = "@"

// notifyBatch is how many task ids one notification has: 36 bytes and a comma each, under the 8000
// bytes that PostgreSQL allows.
const notifyBatch = 200

// pendingNotifications bounds the ids that wait to be sent. What does not fit is dropped: a notification is
// only a hint, and watchers notice a change within a second without it.
const pendingNotifications = 100_000

// Notifier notifies the other replicas of changed tasks, the workers of all replicas of new jobs, by queue, and the loops of workers
// of what this replica leaves to them.
//
// NOTIFY takes a lock of the whole database when it commits. So it is sent after the write and not inside it, and one at a time:
// while one is under way the ids for the next one gather. Under load each notification would still name few tasks, and it wakes
// every listener of every replica, so the ids gather for a while after each one. Workers are notified at once.
type Notifier struct {
	cfg    NotifierConfig
	wake   chan struct{} // There are ids to send.
	urgent chan struct{} // There are queues to send, which do not gather.

	mu      sync.Mutex
	pending map[task.ID]struct{}
	topics  map[Topic]struct{}
	queues  map[string]struct{}
}

// NotifierConfig is what a Notifier works with.
type NotifierConfig struct {
	Pool *pgxpool.Pool
	// Replica is the name of this replica. The Listener of the same name ignores what the notifier sends, since a change that is
	// made here wakes its watchers directly. When it is empty, all listeners of all replicas hear it.
	Replica string
	Log     *slog.Logger
}

// NewNotifier returns a notifier. It sends nothing unless its Run runs.
func NewNotifier(cfg NotifierConfig) *Notifier {
	return &Notifier{
		cfg: cfg, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), pending: map[task.ID]struct{}{},
		topics: map[Topic]struct{}{}, queues: map[string]struct{}{},
	}
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

// Announce queues a wake of the loops of workers. It never blocks. A replica that has these loops wakes its own directly.
func (n *Notifier) Announce(topic Topic) {
	n.mu.Lock()
	n.topics[topic] = struct{}{}
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

// signal fills a channel that has room for one signal. It never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sendNotifications sends one notification to replicas, unless its payload is empty, one for each topic to the loops of workers, and one
// for each queue to workers, in the form of the job queue's own. The commit does not wait for the disk, since a notification that a crash of the
// database loses is only a hint.
const sendNotifications = `
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
FROM (SELECT $1 AS channel, $2 AS payload
      WHERE $2 <> ''
      UNION ALL
      SELECT $4, topic
      FROM unnest($5::text[]) AS topic
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
		for ids, topics, queues := n.take(); len(ids)+len(topics)+len(queues) > 0; ids, topics, queues = n.take() {
			_, err := n.cfg.Pool.Exec(ctx, sendNotifications, channel, n.payload(ids), queues, wakeChannel, topics)
			if err != nil && ctx.Err() == nil {
				n.cfg.Log.WarnContext(ctx, "notification dropped; watchers on other replicas and workers are up to a second late", "error", err)
			}
		}
		rest.Reset(gathering)
	}
}

// payload is the notification of these tasks; empty when there are none.
func (n *Notifier) payload(ids []string) string {
	if n.cfg.Replica != "" && len(ids) > 0 {
		ids = append([]string{sender + n.cfg.Replica}, ids...) // To a listener of the release before it is a task without watchers.
	}
	return strings.Join(ids, ",")
}

func (n *Notifier) take() (ids, topics, queues []string) {
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
	topics = make([]string, 0, len(n.topics))
	for topic := range n.topics {
		topics = append(topics, string(topic))
	}
	clear(n.topics)
	queues = slices.AppendSeq([]string{}, maps.Keys(n.queues))
	clear(n.queues)
	return ids, topics, queues
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// WatchConfig says what Watchers are to do.
type WatchConfig struct {
	Address     string   // The gRPC address of the service, without TLS.
	Token       string   // An API token; empty sends none.
	Connections int      // How many connections share the streams.
	Tasks       []string // One stream is opened for each; none of them must be terminal.
	Openers     int      // How many streams are opened at the same time.
}

// Watchers are many open WatchTask streams.
type Watchers struct {
	cfg    WatchConfig
	conns  []*grpc.ClientConn
	cancel context.CancelFunc
	all    sync.WaitGroup // Of the streams that are open.

	events, bookmarks, drained, broken atomic.Int64

	latencies latencies // Of events.

	mu  sync.Mutex
	err error // The first one with which a stream broke.
}

// OpenWatchers opens the streams, and returns once each has its first message, which is the task. The time that took is
// the first figure. Close ends them.
func OpenWatchers(ctx context.Context, cfg WatchConfig) (*Watchers, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watchers{cfg: cfg, cancel: cancel}
	if cfg.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+cfg.Token)
	}
	for range cfg.Connections {
		conn, err := grpc.NewClient(cfg.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("connect to %s: %w", cfg.Address, err), w.Close())
		}
		w.conns = append(w.conns, conn)
	}
	began := time.Now()
	var g errgroup.Group
	g.SetLimit(cfg.Openers)
	for i, id := range cfg.Tasks {
		client := refractv1.NewTaskServiceClient(w.conns[i%len(w.conns)])
		g.Go(func() error { return w.open(ctx, client, id) })
	}
	if err := g.Wait(); err != nil {
		return nil, 0, errors.Join(err, w.Close())
	}
	return w, time.Since(began), nil
}

func (w *Watchers) open(ctx context.Context, client refractv1.TaskServiceClient, id string) error {
	stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id})
	if err != nil {
		return fmt.Errorf("watch task %s: %w", id, err)
	}
	if _, err := stream.Recv(); err != nil {
		return fmt.Errorf("watch task %s: %w", id, err)
	}
	w.all.Go(func() { w.receive(stream) })
	return nil
}

func (w *Watchers) receive(stream grpc.ServerStreamingClient[refractv1.WatchTaskResponse]) {
	for {
		m, err := stream.Recv()
		switch {
		case status.Code(err) == codes.Unavailable:
			w.drained.Add(1)
			return
		case err != nil:
			w.failed(err)
			return
		case m.GetEvent() == nil:
			w.bookmarks.Add(1)
		default:
			w.measure(m.GetEvent())
		}
	}
}

func (w *Watchers) failed(err error) {
	w.broken.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// measure notes how long ago an event was committed, as its message says.
func (w *Watchers) measure(e *refractv1.TaskEvent) {
	now := time.Now()
	w.events.Add(1)
	nanos, err := strconv.ParseInt(e.GetMessage(), 10, 64)
	if err != nil {
		return // Not one of ours.
	}
	w.latencies.add(now.Sub(time.Unix(0, nanos)))
}

// Change commits one event for each of these tasks, with a message, as another replica of the service would.
type Change func(ctx context.Context, tasks []string, message string) error

// changeEvery is the time between two sets of changes.
const changeEvery = 10 * time.Millisecond

// FanOut is how long events took to arrive.
type FanOut struct {
	Committed, Received int64
	PerSecond           float64 // How many were committed: less than was asked for where the database did not keep up.
	Bookmarks           int64   // Which the streams carried meanwhile.
	Commit              Latency // From when each change was due to its commit.
	Latency                     // From when each change was due to the receipt of its event.
}

// FanOut changes tasks at random, at a rate a second and for some time, and measures from when each change was due to the
// receipt by the watcher of the task: what waits for its turn has begun to wait. The clock is that of this machine, on which Change must run.
func (w *Watchers) FanOut(ctx context.Context, change Change, rate int, lasts time.Duration) (FanOut, error) {
	var f FanOut
	received, bookmarks := w.events.Load(), w.bookmarks.Load()
	w.latencies.reset()
	var commits latencies
	g, changing := errgroup.WithContext(ctx)
	g.SetLimit(16)
	began := time.Now()
	for at := began; at.Before(began.Add(lasts)); at = at.Add(changeEvery) {
		select {
		case <-time.After(time.Until(at)):
		case <-changing.Done():
			return f, g.Wait()
		}
		tasks := w.pick(rate * int(changeEvery) / int(time.Second))
		f.Committed += int64(len(tasks))
		g.Go(func() error { // Waits where many are under way.
			err := change(changing, tasks, strconv.FormatInt(at.UnixNano(), 10))
			commits.add(time.Since(at))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return f, err
	}
	f.PerSecond = float64(f.Committed) / time.Since(began).Seconds()
	// What was lost does not come however long it is waited for.
	for until := time.Now().Add(10 * time.Second); w.events.Load()-received < f.Committed && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-time.After(changeEvery):
		}
	}
	f.Received, f.Bookmarks = w.events.Load()-received, w.bookmarks.Load()-bookmarks
	f.Commit, f.Latency = commits.latency(), w.latencies.latency()
	return f, nil
}

// pick returns n different tasks.
func (w *Watchers) pick(n int) []string {
	picked := make(map[string]bool, n)
	tasks := make([]string, 0, n)
	for len(tasks) < min(n, len(w.cfg.Tasks)) {
		id := w.cfg.Tasks[rand.IntN(len(w.cfg.Tasks))] //nolint:gosec // It needs no secrecy.
		if !picked[id] {
			picked[id] = true
			tasks = append(tasks, id)
		}
	}
	return tasks
}

// Drain stops the service by a function that does not wait for it, and returns how long it took until every stream had
// ended with UNAVAILABLE.
func (w *Watchers) Drain(ctx context.Context, stop func() error) (time.Duration, error) {
	began := time.Now()
	if err := stop(); err != nil {
		return 0, fmt.Errorf("stop the service: %w", err)
	}
	ended := make(chan struct{})
	go func() { w.all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		return 0, fmt.Errorf("%d of %d streams ended: %w", w.drained.Load(), len(w.cfg.Tasks), ctx.Err())
	}
	took := time.Since(began)
	if n := w.broken.Load(); n > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return took, fmt.Errorf("%d streams broke, the first with: %w", n, w.err)
	}
	return took, nil
}

// Close ends the streams that are still open and waits for them.
func (w *Watchers) Close() error {
	w.cancel()
	w.all.Wait()
	var errs []error
	for _, c := range w.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

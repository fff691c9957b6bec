package watch

import (
	"context"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

const (
	// coarsest is the longest beat. With a longer one, more bookmarks are sent at once, and events wait behind them.
	coarsest = 100 * time.Millisecond
	// stall is how long the queue of bookmarks may make no progress before more goroutines join.
	stall = 10 * time.Millisecond
	// unconfirmedDelay is the time until the next try of a bookmark that the log does not confirm yet.
	unconfirmedDelay = 500 * time.Millisecond
)

// bookmarks sends bookmarks on quiet streams. One goroutine sends those that are due. If each stream sent its own
// bookmarks, thousands of goroutines would wake at once during a garbage collection, each would have to assist it, and
// events would wait behind them.
//
// A goroutine that sends to a receiver which does not read is blocked until the receiver reads or disconnects. More
// goroutines then join, twice as many each time, so many such receivers delay the bookmarks of the other streams only
// for a moment.
type bookmarks struct {
	began time.Time
	every time.Duration // How long a stream may be quiet.
	beat  time.Duration // Due times are multiples of it, so that streams of one connection share its writes.
	log   *logState

	mu      sync.Mutex
	at      int64      // The newest beat whose streams were queued.
	ring    [][]*pulse // The streams that are due at each beat after it.
	queue   []*pulse   // The streams that are due, in order.
	taken   int        // How many streams were ever taken off the queue,
	seen    int        // and how many at the last step.
	senders int        // How many goroutines send.
	more    int        // How many join them when the queue makes no progress.
}

func newBookmarks(every time.Duration, log *logState) *bookmarks {
	b := &bookmarks{began: time.Now(), every: every, beat: min(coarsest, max(every/2, 1)), log: log, more: 1}
	b.ring = make([][]*pulse, every/b.beat+2)
	return b
}

// now returns the newest beat, and due the beat at which a stream is due that is quiet from now on.
func (b *bookmarks) now() int64 { return int64(time.Since(b.began) / b.beat) }
func (b *bookmarks) due() int64 { return int64((time.Since(b.began) + b.every) / b.beat) }

// retry returns the beat for the next try of a bookmark that the log does not confirm yet.
func (b *bookmarks) retry() int64 { return int64((time.Since(b.began) + unconfirmedDelay) / b.beat) }

// add begins to send bookmarks on a stream.
func (b *bookmarks) add(p *pulse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(p)
}

// remove stops sending them. The caller holds the stream's lock and never releases it, so no goroutine is sending.
func (b *bookmarks) remove(p *pulse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.ended = true
	if p.slot == nil {
		return // It is queued, and will be dropped.
	}
	last := len(*p.slot) - 1
	moved := (*p.slot)[last]
	(*p.slot)[p.place], moved.place = moved, p.place
	(*p.slot)[last] = nil
	*p.slot, p.slot = (*p.slot)[:last], nil
}

// put adds a stream to the beat at which it is due: the next beat at the earliest.
func (b *bookmarks) put(p *pulse) {
	if p.ended {
		return
	}
	n := int64(len(b.ring))
	due := min(max(p.due.Load(), b.at+1), b.at+n-1)
	p.slot = &b.ring[due%n]
	p.place = len(*p.slot)
	*p.slot = append(*p.slot, p)
}

// run sends bookmarks until ctx ends, and then waits for the goroutines that are sending.
func (b *bookmarks) run(ctx context.Context) {
	var senders sync.WaitGroup
	defer senders.Wait()
	for {
		join, idle := b.step(b.log.expire(ctx))
		for range join {
			senders.Go(func() { b.send(ctx) })
		}
		next := b.beat - time.Since(b.began)%b.beat
		if !idle {
			next = min(next, stall)
		}
		if loop.Sleep(ctx, next) != nil {
			return
		}
	}
}

// step queues the streams that are due, or all streams when all is set. It returns how many senders must join, and
// whether the queue is empty.
func (b *bookmarks) step(all bool) (join int, idle bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stalled := len(b.queue) > 0 && b.taken == b.seen
	for now := b.now(); b.at < now; {
		b.at++
		b.enqueue()
	}
	if all {
		b.enqueueAll()
	}
	switch {
	case len(b.queue) == 0:
		b.more = 1
	case b.senders == 0:
		join = 1
	case stalled:
		join = min(b.more, len(b.queue))
		b.more *= 2
	}
	b.senders += join
	b.seen = b.taken
	return join, len(b.queue) == 0
}

// enqueue queues the streams that are due at the current beat. A stream that has sent something in the meantime is due
// later.
func (b *bookmarks) enqueue() {
	slot := &b.ring[b.at%int64(len(b.ring))]
	for _, p := range *slot {
		if p.slot = nil; p.due.Load() > b.at {
			b.put(p)
		} else {
			b.queue = append(b.queue, p)
		}
	}
	clear(*slot)
	*slot = (*slot)[:0]
}

// enqueueAll queues every stream.
func (b *bookmarks) enqueueAll() {
	for i := range b.ring {
		for _, p := range b.ring[i] {
			p.slot = nil
			b.queue = append(b.queue, p)
		}
		clear(b.ring[i])
		b.ring[i] = b.ring[i][:0]
	}
}

// send sends the bookmarks of queued streams until the queue is empty.
func (b *bookmarks) send(ctx context.Context) {
	for p := b.take(ctx); p != nil; p = b.take(ctx) {
		if p.tick() {
			b.add(p)
		}
	}
}

// take returns the next stream that is due, or nil, and then the sender must end.
func (b *bookmarks) take(ctx context.Context) *pulse {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 || ctx.Err() != nil {
		b.senders--
		return nil
	}
	p := b.queue[0]
	b.queue[0] = nil
	b.queue = b.queue[1:]
	b.taken++
	return p
}

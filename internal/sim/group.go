package sim

import (
	"context"
	"sync"
)

// group owns every goroutine of a server: none starts after close, and close waits for all of them.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newGroup() *group {
	ctx, cancel := context.WithCancel(context.Background())
	return &group{ctx: ctx, cancel: cancel}
}

// enter joins the group, and reports whether it could. After true the caller must call leave.
func (g *group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Add(1)
	return true
}

func (g *group) leave() { g.wg.Done() }

// spawn runs f in a goroutine of the group, or not at all when the group is closed.
func (g *group) spawn(f func(context.Context)) {
	if !g.enter() {
		return
	}
	go func() {
		defer g.leave()
		f(g.ctx)
	}()
}

// stop refuses new members, and cancels the context of the present ones and of every request.
func (g *group) stop() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
}

func (g *group) wait() { g.wg.Wait() }

// notice wakes the goroutines that wait for a change.
type notice struct {
	mu sync.Mutex
	ch chan struct{}
}

func newNotice() *notice { return &notice{ch: make(chan struct{})} }

// changed wakes the present waiters.
func (n *notice) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.ch)
	n.ch = make(chan struct{})
}

// next returns a channel that is closed by the next change.
func (n *notice) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ch
}

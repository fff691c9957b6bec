// Package connlimit bounds the connections of a listener, so that a flood of them takes neither the file descriptors of other
// listeners nor the places of callers that are being served: a new connection takes the place of one that does nothing.
package connlimit

import (
	"container/list"
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Listener accepts at most Max connections at a time. Over that, the longest silent connection of the address that has the
// most of them is closed for a new one. Where all are busy the new one is closed.
type Listener struct {
	net.Listener
	max      int
	announce bool

	mu    sync.Mutex
	conns *list.List // Of *conn, the oldest first.
}

// New returns a listener whose servers say by Busy when a connection is busy. Before that it counts as silent.
func New(l net.Listener, limit int) *Listener {
	return &Listener{Listener: l, max: limit, announce: true, conns: list.New()}
}

// NewBusy returns a listener whose connections count as busy as long as they last.
func NewBusy(l net.Listener, limit int) *Listener {
	return &Listener{Listener: l, max: limit, conns: list.New()}
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	listener *Listener
	host     string
	place    *list.Element // Among those of the listener; nil where it has none any more.
	busy     atomic.Int32  // How many requests are being served on it.
	once     sync.Once
}

// Accept waits for the next connection that has a place.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(accepted.RemoteAddr().String())
		c := &conn{Conn: accepted, listener: l, host: host}
		if !l.announce {
			c.busy.Store(1)
		}
		if l.add(c) {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// add gives a connection a place, and reports whether there is one.
func (l *Listener) add(c *conn) bool {
	l.mu.Lock()
	var evicted *conn
	if l.conns.Len() >= l.max {
		evicted = l.silent()
		if evicted == nil {
			l.mu.Unlock()
			return false
		}
		l.remove(evicted)
	}
	c.place = l.conns.PushBack(c)
	l.mu.Unlock()
	if evicted != nil {
		_ = evicted.Conn.Close()
	}
	return true
}

// silent returns the connection that may go; nil where all are busy.
func (l *Listener) silent() *conn {
	if !l.announce {
		return nil
	}
	counts := map[string]int{}
	for e := l.conns.Front(); e != nil; e = e.Next() {
		counts[e.Value.(*conn).host]++
	}
	var found *conn
	for e := l.conns.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); c.busy.Load() == 0 && (found == nil || counts[c.host] > counts[found.host]) {
			found = c
		}
	}
	return found
}

func (l *Listener) remove(c *conn) {
	if c.place != nil {
		l.conns.Remove(c.place)
		c.place = nil
	}
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		defer c.listener.mu.Unlock()
		c.listener.remove(c)
	})
	return c.Conn.Close()
}

// connKey is the key under which the context of a request has its connection.
type connKey struct{}

// Context is for http.Server.ConnContext.
func Context(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, counted)
	}
	return ctx
}

// Busy makes the connection of a request busy until done is called. It is to be called when the request has come whole: one whose
// caller holds back the rest must not keep others out.
func Busy(ctx context.Context) (done func()) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return func() {}
	}
	c.busy.Add(1)
	return func() { c.busy.Add(-1) }
}

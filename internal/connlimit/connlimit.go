// Package connlimit bounds the number of connections of a listener. So a flood of connections does not use up the file
// descriptors of other listeners. It does not close connections in use either: a new connection replaces an idle one.
package connlimit

import (
	"container/list"
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Listener accepts at most a number of connections at a time. Beyond that, it closes an idle connection for each new
// one: the oldest idle connection of the address that has the most connections. If all are busy, it closes the new one.
type Listener struct {
	net.Listener
	max    int
	marked bool // Whether servers mark busy connections; if not, all are busy.

	mu    sync.Mutex
	conns *list.List // Of *conn, the oldest first.
}

// New returns a listener whose servers mark a connection as busy with Busy. Before that, it counts as idle.
func New(l net.Listener, limit int) *Listener {
	return &Listener{Listener: l, max: limit, marked: true, conns: list.New()}
}

// NewBusy returns a listener whose connections are always busy.
func NewBusy(l net.Listener, limit int) *Listener {
	return &Listener{Listener: l, max: limit, conns: list.New()}
}

// conn is a counted connection.
type conn struct {
	net.Conn
	listener *Listener
	host     string
	place    *list.Element // Its element in the listener's list; nil after it was removed.
	busy     atomic.Int32  // How many requests are being served on it.
	once     sync.Once
}

// Accept waits for the next connection that fits into the limit.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(accepted.RemoteAddr().String())
		c := &conn{Conn: accepted, listener: l, host: host}
		if !l.marked {
			c.busy.Store(1)
		}
		if l.add(c) {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// add adds a connection, and reports whether it fits into the limit.
func (l *Listener) add(c *conn) bool {
	l.mu.Lock()
	var evicted *conn
	if l.conns.Len() >= l.max {
		evicted = l.idle()
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

// idle returns the idle connection to close for a new one, or nil if all are busy.
func (l *Listener) idle() *conn {
	if !l.marked {
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

// Close closes the connection and stops counting it.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		defer c.listener.mu.Unlock()
		c.listener.remove(c)
	})
	return c.Conn.Close()
}

// connKey is the context key of a request's connection.
type connKey struct{}

// Context adds the connection to the context of its requests. It is meant for http.Server.ConnContext.
func Context(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, counted)
	}
	return ctx
}

// Busy makes the connection of a request busy until done is called. It must be called only after the whole request was
// received: a caller that holds back the rest of a request must not keep others out.
func Busy(ctx context.Context) (done func()) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return func() {}
	}
	c.busy.Add(1)
	return func() { c.busy.Add(-1) }
}

package receiver

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Behavior is what a receiver does with a request.
type Behavior struct {
	name  string
	early bool // Whether it begins before the body is read.
	run   func(*exchange)
}

// String returns the name of the behavior.
func (b Behavior) String() string { return b.name }

// The behaviors of a receiver.
var (
	// Accept answers 204.
	Accept = Status(http.StatusNoContent)
	// Drop closes the connection before it reads the body.
	Drop = Behavior{"drop", true, func(x *exchange) { x.hijack(func(net.Conn) {}) }}
	// CutRequest closes the connection within the body of the request.
	CutRequest = Behavior{"cut the request", true, func(x *exchange) {
		_, _ = io.CopyN(io.Discard, x.req.Body, max(x.req.ContentLength/2, 1))
		x.hijack(func(net.Conn) {})
	}}
	// DropAnswer reads the whole request and closes the connection.
	DropAnswer = Behavior{"drop the answer", false, func(x *exchange) { x.hijack(func(net.Conn) {}) }}
	// CutAnswer answers 200 and closes the connection within the body of the answer.
	CutAnswer = Behavior{"cut the answer", false, func(x *exchange) {
		x.hijack(func(conn net.Conn) {
			x.answered(http.StatusOK)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe first half")
		})
	}}
	// Stall reads the request and does not answer until the sender gives up.
	Stall = Behavior{"stall", false, func(x *exchange) { x.gone() }}
	// Drip answers one byte per second. A sender that waits for less than half a minute never sees the end of the first line.
	Drip = Behavior{"drip", false, func(x *exchange) {
		x.hijack(func(conn net.Conn) {
			ticker := time.NewTicker(time.Second)
			defer ticker.Stop()
			for _, c := range []byte("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n") {
				select {
				case <-ticker.C:
				case <-x.receiver.closing:
					return
				}
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
			}
		})
	}}
	// DripBody answers 200 at once, and then one byte of the body per second without end.
	DripBody = Behavior{"drip a body", false, func(x *exchange) {
		x.answered(http.StatusOK)
		x.w.WriteHeader(http.StatusOK)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			_, err := x.w.Write([]byte("x"))
			if err != nil || http.NewResponseController(x.w).Flush() != nil {
				return
			}
			select {
			case <-ticker.C:
			case <-x.receiver.closing:
				return
			case <-x.req.Context().Done():
				return
			}
		}
	}}
)

// Status answers with a status and a short body.
func Status(status int) Behavior { return statusWith(status, "", "") }

// RetryAfter answers with a status and the header Retry-After, in seconds.
func RetryAfter(status, seconds int) Behavior {
	return statusWith(status, "Retry-After", strconv.Itoa(seconds))
}

// Redirect answers with a status that redirects to the trap of the receiver.
func Redirect(status int) Behavior { return statusWith(status, "Location", "") }

// statusWith answers with a status and a header. An empty location is that of the trap.
func statusWith(status int, name, value string) Behavior {
	return Behavior{strconv.Itoa(status), false, func(x *exchange) {
		switch {
		case name == "Location" && value == "":
			x.w.Header().Set(name, x.receiver.Trap.URL)
		case name != "":
			x.w.Header().Set(name, value)
		}
		x.answered(status)
		x.w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(x.w, "status "+strconv.Itoa(status))
		}
	}}
}

// exchange is a request and its answer.
type exchange struct {
	receiver *Receiver
	index    int // Of the request.
	w        http.ResponseWriter
	req      *http.Request
}

// answered records that an answer with a status is about to leave.
func (x *exchange) answered(status int) {
	x.receiver.update(x.index, func(q *Request) {
		x.receiver.clock++
		q.Status, q.Answered = status, x.receiver.clock
	})
}

// gone waits until the sender has gone, or the receiver closes.
func (x *exchange) gone() {
	select {
	case <-x.req.Context().Done():
		x.receiver.update(x.index, func(q *Request) { q.Gone = true })
	case <-x.receiver.closing:
	}
}

// hijack passes the connection to a function and closes it.
func (x *exchange) hijack(use func(net.Conn)) {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // The sender sees that it is closed.
	use(conn)
}

// Trap is a listener that nothing may connect to.
type Trap struct {
	URL   string
	conns atomic.Int64
}

// NewTrap makes a trap of a listener, which is closed when the test ends.
func NewTrap(t testing.TB, lis net.Listener) *Trap {
	t.Helper()
	trap := &Trap{URL: "http://" + lis.Addr().String() + "/trap"}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			trap.conns.Add(1)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		served.Wait()
	})
	return trap
}

// Connections returns how many connections reached the trap.
func (t *Trap) Connections() int { return int(t.conns.Load()) }

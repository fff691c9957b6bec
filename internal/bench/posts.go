package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// keptPosts is how many requests a receiver keeps for PlainPosts.
const keptPosts = 256

// Receiver is an endpoint in this process that accepts every event. Its methods may be called concurrently.
type Receiver struct {
	server *httptest.Server
	after  time.Duration

	mu          sync.Mutex
	kept        []post
	count       receiverCount
	connections int
}

// post is a request as the service sent it.
type post struct {
	header http.Header
	body   []byte
}

// receiverCount counts until a number of events have arrived.
type receiverCount struct {
	want, received int
	first, last    time.Time
	connections    int // The most at a time.
	complete       chan struct{}
}

// StartReceiver starts a receiver that answers after a time. Close ends it.
func StartReceiver(after time.Duration) *Receiver {
	r := &Receiver{after: after}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ConnState = r.connection
	r.server.Start()
	return r
}

// URL is where the receiver accepts events.
func (r *Receiver) URL() string { return r.server.URL + "/webhooks" }

// Close ends the receiver.
func (r *Receiver) Close() { r.server.Close() }

// ServeHTTP accepts an event.
func (r *Receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if r.after > 0 {
		time.Sleep(r.after)
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < keptPosts {
		header := req.Header.Clone()
		header.Del("Content-Length") // net/http writes it.
		r.kept = append(r.kept, post{header, body})
	}
	c := &r.count
	if c.received == 0 {
		c.first = now
	}
	c.received, c.last = c.received+1, now
	if c.received == c.want {
		close(c.complete)
	}
}

func (r *Receiver) connection(_ net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateNew:
		r.connections++
		r.count.connections = max(r.count.connections, r.connections)
	case http.StateClosed, http.StateHijacked:
		r.connections--
	default:
	}
}

// Receive makes events due by a function, and returns the rate from the arrival of the first one to that of the last, and the largest
// number of connections meanwhile.
func (r *Receiver) Receive(ctx context.Context, events int, deliver func(context.Context) error) (rate Rate, connections int, err error) {
	complete := make(chan struct{})
	r.mu.Lock()
	r.count = receiverCount{want: events, connections: r.connections, complete: complete}
	r.mu.Unlock()
	if err := deliver(ctx); err != nil {
		return Rate{}, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	select {
	case <-complete:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.count
	r.count = receiverCount{}
	if c.received < events {
		return Rate{}, 0, fmt.Errorf("%d of %d events arrived: %w", c.received, events, ctx.Err())
	}
	return Rate{Done: events, PerSecond: float64(events-1) / c.last.Sub(c.first).Seconds()}, c.connections, nil
}

// Plain posts the events that the receiver has kept to it again, with net/http alone: the rate that the machine, its network stack and
// the receiver allow.
func (r *Receiver) Plain(ctx context.Context, connections int, duration time.Duration) (Rate, error) {
	r.mu.Lock()
	posts := r.kept
	r.mu.Unlock()
	if len(posts) == 0 {
		return Rate{}, errors.New("no event has arrived that could be posted again")
	}
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var next atomic.Int64
	return drive(ctx, connections, duration, 1, func() (func(context.Context) error, func(), error) {
		return func(ctx context.Context) error {
			return posts[int(next.Add(1))%len(posts)].send(ctx, client, r.URL())
		}, func() {}, nil
	})
}

func (p post) send(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.body))
	if err != nil {
		return err
	}
	req.Header = p.header
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post an event: %w", err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer to an event: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("an event was answered %s", resp.Status)
	}
	return nil
}

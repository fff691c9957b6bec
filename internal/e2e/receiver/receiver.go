// Package receiver is a webhook endpoint for tests: a real HTTP listener that records every request, checks its signature with the
// library of Standard Webhooks, and misbehaves on request.
//
// It shares no code with the service. A request is recorded when its headers have arrived, so that one whose body or answer is cut off
// is recorded too.
package receiver

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Receiver is a listener with any number of endpoints, one for each path. Its methods may be called concurrently.
type Receiver struct {
	// Trap is the listener to which redirects lead. No connection may reach it.
	Trap *Trap

	url      string
	closing  chan struct{}
	handlers sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{}  // Closed and replaced with each change of requests.
	clock    int            // Counts arrivals and answers.
	seen     map[string]int // Requests by endpoint and event.
	secrets  map[string][]string
	choose   func(Request) Behavior
	requests []Request
}

// Request is one request that arrived.
type Request struct {
	Endpoint string // The name of the endpoint.
	EventID  string // The header webhook-id.
	Nth      int    // How many requests with this event arrived at this endpoint before it.
	Header   http.Header
	Body     []byte // Nil unless it arrived whole.
	Time     time.Time

	// Secrets are the secrets of the endpoint with which the library accepted the request when it arrived.
	Secrets []string

	// Behavior is the name of what the receiver did with it.
	Behavior string
	// Status is the status of the answer, or 0 if none was sent.
	Status int
	// Gone reports whether the sender has given up a request that stalled.
	Gone bool

	// Arrived and Answered order the arrivals of all requests and the answers with a status, which count when their first byte is about
	// to leave. Answered is 0 if none was sent.
	Arrived, Answered int
}

// Accepted reports whether the answer has a 2xx status.
func (r Request) Accepted() bool { return r.Status/100 == 2 }

// Start starts a receiver that accepts everything. It is closed when the test ends.
func Start(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{
		Trap: NewTrap(t, listen(t)), closing: make(chan struct{}), changed: make(chan struct{}), seen: map[string]int{}, secrets: map[string][]string{},
		choose: func(Request) Behavior { return Accept },
	}
	lis := listen(t)
	r.url = "http://" + lis.Addr().String() + "/"
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(lis)
	}()
	t.Cleanup(func() {
		close(r.closing)
		_ = server.Close()
		<-served
		r.handlers.Wait()
	})
	return r
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// URL returns the URL of an endpoint.
func (r *Receiver) URL(endpoint string) string { return r.url + endpoint }

// Trust sets the secrets with which the requests to an endpoint are verified from now on.
func (r *Receiver) Trust(endpoint string, secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[endpoint] = secrets
}

// Behave makes the receiver ask choose what to do with each request, whose body and signature have not been read then. Choose must
// not call the receiver, and is called for one request at a time.
func (r *Receiver) Behave(choose func(Request) Behavior) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.choose = choose
}

// Requests returns the requests to an endpoint in the order of their arrival, or all with an empty name.
func (r *Receiver) Requests(endpoint string) []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.requests), func(q Request) bool { return endpoint != "" && q.Endpoint != endpoint })
}

// Await waits until a condition holds, which it evaluates after each change of the requests. The error is that of ctx.
func (r *Receiver) Await(ctx context.Context, cond func() bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.handlers.Add(1)
	defer r.handlers.Done()
	i, b := r.arrive(req)
	x := &exchange{receiver: r, index: i, w: w, req: req}
	if b.early {
		b.run(x)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // It was cut off.
	}
	r.update(i, func(q *Request) {
		q.Body = body
		for _, s := range r.secrets[q.Endpoint] {
			if verifier, err := standardwebhooks.NewWebhook(s); err == nil && verifier.Verify(body, q.Header) == nil {
				q.Secrets = append(q.Secrets, s)
			}
		}
	})
	b.run(x)
}

// arrive records a request and returns its index, and what to do with it.
func (r *Receiver) arrive(req *http.Request) (int, Behavior) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := Request{
		Endpoint: strings.TrimPrefix(req.URL.Path, "/"), EventID: req.Header.Get(standardwebhooks.HeaderWebhookID),
		Header: req.Header.Clone(), Time: time.Now(),
	}
	key := q.Endpoint + " " + q.EventID
	q.Nth = r.seen[key]
	r.seen[key]++
	b := r.choose(q)
	r.clock++
	q.Arrived, q.Behavior = r.clock, b.name
	r.requests = append(r.requests, q)
	r.wake()
	return len(r.requests) - 1, b
}

// update changes a recorded request.
func (r *Receiver) update(i int, change func(*Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.requests[i])
	r.wake()
}

// wake wakes those who wait for a change. The caller holds the lock.
func (r *Receiver) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

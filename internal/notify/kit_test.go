package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/task"
)

// keyring returns a keyring and the text of a secret with its sealed key.
func keyring(t *testing.T) (ring *Keyring, text string, sealed []byte) {
	t.Helper()
	ring, err := OpenKeeper(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() })
	text, key := NewSecret()
	if sealed, err = Seal(t.Context(), ring, key); err != nil {
		t.Fatal(err)
	}
	return ring, text, sealed
}

// request is what an endpoint received.
type request struct {
	at     time.Time
	url    string
	id     string // The webhook-id.
	header http.Header
	body   []byte
}

// receiver is the transport of a client in tests that bend time. It records the requests and answers them.
type receiver struct {
	// answer returns the status of an answer, or an error. It may block.
	answer func(ctx context.Context, r request) (int, error)
	header http.Header // Of the answers.

	mu       sync.Mutex
	requests []request
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	got := request{at: time.Now(), url: req.URL.String(), header: http.Header{}, body: body}
	for name, values := range req.Header {
		got.header[http.CanonicalHeaderKey(name)] = values
	}
	got.id = got.header.Get(standardwebhooks.HeaderWebhookID)
	r.mu.Lock()
	r.requests = append(r.requests, got)
	r.mu.Unlock()
	status := http.StatusOK
	if r.answer != nil {
		if status, err = r.answer(req.Context(), got); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader([]byte("thanks"))), Request: req}, nil
}

func (r *receiver) received() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.requests...)
}

// ids returns the ids of the events in the order in which they came.
func (r *receiver) ids() []string {
	var ids []string
	for _, got := range r.received() {
		ids = append(ids, got.id)
	}
	return ids
}

// config returns the configuration of a sender over a store.
func config(t *testing.T, store Deliveries, client *http.Client) (cfg Config, secret string, secrets Secrets) {
	t.Helper()
	ring, secret, sealed := keyring(t)
	cfg = Config{
		Store: store, Keeper: ring, Client: client, Now: time.Now, Meter: noop.Meter{}, Log: slog.New(slog.DiscardHandler),
		Guard: media.Guard{},
		Task: func(_ context.Context, t task.Task, d Detail) ([]byte, error) {
			return fmt.Appendf(nil, `{"id":%q,"state":%q,"revision":"%d","detail":%d}`, t.ID, t.State, t.Revision, d), nil
		},
	}
	return cfg, secret, Secrets{Current: sealed}
}

// run runs a sender until stop is called, which waits for it.
func run(t *testing.T, s *Sender) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func newSender(t *testing.T, cfg Config) *Sender {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wait lets time pass in a bubble of synctest.
func wait(d time.Duration) { <-time.After(d) }

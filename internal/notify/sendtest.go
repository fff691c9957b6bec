package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/fair"
)

// TestType is the type of the events that Sender.Test sends.
const TestType = "webhook.test"

// maxTests is how many tests one replica sends at a time.
const maxTests = 32

var (
	// ErrTestRunning means that a test of the endpoint is in progress, or that the replica sends as many tests as it may, for all
	// tenants or for that of the endpoint.
	ErrTestRunning = errors.New("a test of the webhook endpoint, or too many of other endpoints, are in progress")
	// ErrNoURL means that an endpoint has no URL to which a test could be sent.
	ErrNoURL = errors.New("the webhook endpoint has no URL")
)

// tests are the endpoints that are being tested.
type tests struct {
	mu      sync.Mutex
	running map[EndpointID]string // With the tenant of each.
}

// Test posts an event of TestType to an endpoint now, also to one that is disabled or paused, and returns what happened. It stores
// nothing and does not repeat the request. The error is ErrTestRunning, ErrNoURL, that of ctx, or a failure of ours. It may be called
// concurrently.
func (s *Sender) Test(ctx context.Context, e Endpoint) (Attempt, error) {
	if e.URL == "" {
		return Attempt{}, ErrNoURL
	}
	if !s.tests.begin(e) {
		return Attempt{}, ErrTestRunning
	}
	defer s.tests.end(e.ID)
	body := envelope(TestType, s.Now(), fmt.Appendf(nil, `{"endpointId":%q}`, e.ID))
	a, v, err := s.poster.post(ctx, message{id: "evt_test_" + uuid.NewString(), url: e.URL, secrets: e.Secrets, body: body})
	if err != nil {
		return Attempt{}, fmt.Errorf("send a test to webhook endpoint %s: %w", e.ID, err)
	}
	s.metrics.attempted(ctx, v.outcome)
	return a, nil
}

func (t *tests) begin(e Endpoint) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := 0
	for _, tenant := range t.running {
		if tenant == e.Tenant {
			own++
		}
	}
	free := maxTests - len(t.running)
	if _, runs := t.running[e.ID]; runs || free == 0 || own >= fair.Limit(own+free) {
		return false
	}
	if t.running == nil {
		t.running = map[EndpointID]string{}
	}
	t.running[e.ID] = e.Tenant
	return true
}

func (t *tests) end(id EndpointID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, id)
}

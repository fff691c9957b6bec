package fal

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	taskID   = "764cabcf-b745-4b3e-ae38-1200304cf45b"
	remote   = "fal-ai/luma-dream-machine/ray-2/modify"
	accepted = `{"request_id":"764cabcf-b745-4b3e-ae38-1200304cf45b",` +
		`"response_url":"https://queue.fal.run/fal-ai/luma-dream-machine/requests/764cabcf-b745-4b3e-ae38-1200304cf45b",` +
		`"status_url":"https://queue.fal.run/fal-ai/luma-dream-machine/requests/764cabcf-b745-4b3e-ae38-1200304cf45b/status",` +
		`"cancel_url":"https://queue.fal.run/fal-ai/luma-dream-machine/requests/764cabcf-b745-4b3e-ae38-1200304cf45b/cancel",` +
		`"queue_position":0}`
)

// newProvider returns an adapter for the server at url that leaves no connection behind.
func newProvider(t testing.TB, url string, change ...func(*Config)) *Provider {
	t.Helper()
	cfg := Config{BaseURL: url, APIKey: wiretest.Key}
	for _, f := range change {
		f(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(p.wire.CloseIdleConnections)
	return p
}

// answering returns an adapter whose provider gives one answer to everything.
func answering(t testing.TB, status int, body string) *Provider {
	t.Helper()
	return newProvider(t, wiretest.Answering(t, status, body))
}

// adapter is what the tests that adapters share have to know of this one.
func adapter() wiretest.Adapter {
	return wiretest.Adapter{
		New: func(t testing.TB, url string, client *http.Client) provider.Provider {
			t.Helper()
			return newProvider(t, url, func(c *Config) { c.HTTPClient = client })
		},
		Accepted: accepted,
		Scheme:   "Key",
		Remote:   remote,
	}
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	wiretest.TestExchanges(t, adapter())
}

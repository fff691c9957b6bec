package lumaagents

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	taskID = "123e4567-e89b-12d3-a456-426614174000"

	// What the contract shows of a generation at its end.
	documentedGeneration = `{"id":"` + taskID + `","type":"video_edit","model":"ray-3.2","state":"completed","created_at":"2026-05-30T12:34:56Z",
 "output":[{"type":"video","url":"https://h/1.mp4?X-Amz-Signature=1"}],"failure_code":null,"failure_reason":null}`

	accepted = `{"id":"` + taskID + `","type":"video_edit","model":"ray-3.2","state":"queued","created_at":"2026-05-30T12:34:56Z",` +
		`"output":null,"failure_code":null,"failure_reason":null}`
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
	t.Cleanup(p.Wire.CloseIdleConnections)
	return p
}

// answering returns an adapter whose provider gives one answer to everything.
func answering(t testing.TB, status int, body string) *Provider {
	t.Helper()
	return newProvider(t, wiretest.Answering(t, status, body))
}

// longAgo is the submission of a generation that must be visible.
func longAgo() time.Time { return time.Now().Add(-time.Hour) }

// adapter is what the tests that adapters share have to know of this one.
func adapter() wiretest.Adapter {
	return wiretest.Adapter{
		New: func(t testing.TB, url string, client *http.Client) provider.Provider {
			t.Helper()
			return newProvider(t, url, func(c *Config) { c.HTTPClient = client })
		},
		Accepted: accepted,
	}
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	wiretest.TestExchanges(t, adapter())
}

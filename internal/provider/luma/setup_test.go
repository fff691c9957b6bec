package luma

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	taskID = "123e4567-e89b-12d3-a456-426614174000"

	// What the contract shows of a generation at its end.
	documentedGeneration = `{"id":"123e4567-e89b-12d3-a456-426614174000","generation_type":"video","state":"completed","failure_reason":null,
 "created_at":"2026-05-30T12:34:56.000Z","model":"ray-2",
 "assets":{"video":"https://storage.cdn-luma.com/.../x.mp4","image":null,"progress_video":null},
 "request":{"generation_type":"modify_video","model":"ray-2","mode":"flex_1","media":{"url":"https://example.com/video.mp4"}}}`

	accepted = `{"id":"123e4567-e89b-12d3-a456-426614174000","generation_type":"video","state":"queued","failure_reason":null,` +
		`"created_at":"2026-05-30T12:34:56.000Z","model":"ray-2","assets":null}`
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

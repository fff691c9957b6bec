package kie

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey   = wiretest.Key
	testToken = wiretest.Token
	taskID    = "774d9a7dd608a0e49293903095e45a4c"
	accepted  = `{"code":200,"msg":"success","data":{"taskId":"774d9a7dd608a0e49293903095e45a4c"}}`
)

var submission = wiretest.Submission

// newProvider returns an adapter for the server at url that leaves no connection behind.
func newProvider(t testing.TB, url string, change ...func(*Config)) *Provider {
	t.Helper()
	cfg := Config{BaseURL: url, APIKey: testKey}
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
func answering(t testing.TB, status int, body string, header ...string) *Provider {
	t.Helper()
	return newProvider(t, wiretest.Answering(t, status, body, header...))
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

package lumaagents

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

func TestNew_ZeroConfigIsTheDocumentedAccount(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	want := provider.Capabilities{
		Callbacks:       provider.NoCallbacks,
		LinkLifetime:    time.Hour,
		PollInterval:    10 * time.Second,
		TypicalDuration: 5 * time.Minute,
		Limits:          provider.Limits{Submissions: 10, Window: time.Minute, InFlight: 10},
	}
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.Name() != "luma-agents" || p.Wire.BaseURL() != "https://agents.lumalabs.ai/v1" {
		t.Errorf("name %q, base %q", p.Name(), p.Wire.BaseURL())
	}
	if p := newProvider(t, "http://localhost:1/proxy/"); p.Wire.BaseURL() != "http://localhost:1/proxy" {
		t.Errorf("base is %q", p.Wire.BaseURL())
	}
}

func TestCallback_IsNeverOne(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", documentedGeneration} {
		got, err := newProvider(t, "").Callback(t.Context(), http.Header{}, []byte(body), time.Now())
		if !errors.Is(err, provider.ErrCallbackMalformed) {
			t.Errorf("error is %v, want malformed", err)
		}
		if diff := cmp.Diff(provider.Callback{}, got); diff != "" {
			t.Errorf("callback (-want +got):\n%s", diff)
		}
	}
}

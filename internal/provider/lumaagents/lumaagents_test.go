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
		Callbacks: provider.NoCallbacks,
		Strengths: []string{
			"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
		},
		Strength:          "flex_1",
		Models:            []string{"ray-3.2"},
		Model:             "ray-3.2",
		FirstFrame:        true,
		MaxPrompt:         6000,
		MaxSourceBytes:    200_000_000,
		MaxSourceDuration: 18 * time.Second,
		LinkLifetime:      time.Hour,
		PollInterval:      10 * time.Second,
		TypicalDuration:   5 * time.Minute,
		Limits:            provider.Limits{Submissions: 10, Window: time.Minute, InFlight: 10},
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
		got, err := newProvider(t, "").Callback(http.Header{}, []byte(body), time.Now())
		if !errors.Is(err, provider.ErrCallbackMalformed) {
			t.Errorf("error is %v, want malformed", err)
		}
		if diff := cmp.Diff(provider.Callback{}, got); diff != "" {
			t.Errorf("callback (-want +got):\n%s", diff)
		}
	}
}

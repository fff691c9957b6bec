package luma

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

func TestNew_ZeroConfigIsTheDocumentedAccount(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	want := provider.Capabilities{
		Callbacks:       provider.UnsignedCallbacks,
		LinkLifetime:    time.Hour,
		PollInterval:    30 * time.Second,
		TypicalDuration: 5 * time.Minute,
		Limits:          provider.Limits{Submissions: 18, Window: time.Minute, InFlight: 10},
	}
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.Name() != "luma" || p.Wire.BaseURL() != "https://api.lumalabs.ai/dream-machine/v1" {
		t.Errorf("name %q, base %q", p.Name(), p.Wire.BaseURL())
	}
	if p := newProvider(t, "http://localhost:1/proxy/"); p.Wire.BaseURL() != "http://localhost:1/proxy" {
		t.Errorf("base is %q", p.Wire.BaseURL())
	}
}

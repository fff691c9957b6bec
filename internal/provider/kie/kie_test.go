package kie

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

func TestNew_ZeroConfigIsTheDocumentedAccount(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	want := provider.Capabilities{
		Callbacks:         provider.UnsignedCallbacks,
		Upload:            true,
		RefreshLinks:      true,
		Watermark:         true,
		MaxSourceBytes:    500_000_000,
		MaxSourceDuration: 10 * time.Second,
		LinkLifetime:      20 * time.Hour,
		Limits:            provider.Limits{Submissions: 18, Window: 10 * time.Second, InFlight: 100, Queries: 10},
		PollInterval:      30 * time.Second,
		TypicalDuration:   5 * time.Minute,
	}
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.Name() != "kie" || p.wire.BaseURL() != "https://api.kie.ai" || p.window != 300*time.Second {
		t.Errorf("name %q, base %q, window %v", p.Name(), p.wire.BaseURL(), p.window)
	}
}

func TestNew_TakesEachSetting(t *testing.T) {
	t.Parallel()
	lent := &http.Client{Timeout: time.Nanosecond}
	p := newProvider(t, "http://localhost:1/proxy/", withKeys("k"), func(c *Config) {
		c.Limits = provider.Limits{Submissions: 5, Queries: 3}
		c.PollInterval = time.Second
		c.HTTPClient = lent
	})
	want := newProvider(t, "").Capabilities()
	want.Callbacks = provider.SignedCallbacks
	want.Limits = provider.Limits{Submissions: 5, Window: 10 * time.Second, InFlight: 100, Queries: 3}
	want.PollInterval = time.Second
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.wire.BaseURL() != "http://localhost:1/proxy" {
		t.Errorf("base is %q", p.wire.BaseURL())
	}
	if lent.CheckRedirect != nil {
		t.Error("lent client changed")
	}
}

func TestNew_RefusesABrokenConfigWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"no API key":        func(c *Config) { c.APIKey = "" },
		"API key, newline":  func(c *Config) { c.APIKey = "s3cr3t\n" },
		"API key, umlaut":   func(c *Config) { c.APIKey = "s3cr3tü" },
		"relative URL":      func(c *Config) { c.BaseURL = "api.kie.ai/s3cr3t" },
		"no host":           func(c *Config) { c.BaseURL = "https:///s3cr3t" },
		"another scheme":    func(c *Config) { c.BaseURL = "ftp://s3cr3t" },
		"no URL":            func(c *Config) { c.BaseURL = "https://s3cr3t\x7f" },
		"user in URL":       func(c *Config) { c.BaseURL = "https://u:s3cr3t@h" },
		"query in URL":      func(c *Config) { c.BaseURL = "https://h?k=s3cr3t" },
		"three keys":        func(c *Config) { c.SigningKeys = []string{"s3cr3t", "b", "c"} },
		"empty key":         func(c *Config) { c.SigningKeys = []string{"s3cr3t", ""} },
		"negative window":   func(c *Config) { c.SignatureWindow = -1 },
		"negative poll":     func(c *Config) { c.PollInterval = -1 },
		"negative duration": func(c *Config) { c.TypicalDuration = -1 },
		"negative limit":    func(c *Config) { c.Limits.InFlight = -1 },
		"negative queries":  func(c *Config) { c.Limits.Queries = -1 },
	} {
		cfg := Config{APIKey: testKey}
		change(&cfg)
		_, err := New(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), testKey) {
			t.Errorf("%s: error %q tells a secret", name, err)
		}
	}
}

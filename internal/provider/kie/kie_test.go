package kie

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestNew_ZeroConfigIsTheDocumentedAccount(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	want := provider.Capabilities{
		Callbacks:       provider.UnsignedCallbacks,
		Confidential:    []string{"remainedCredits"},
		Upload:          true,
		RefreshLinks:    true,
		UploadLifetime:  24 * time.Hour,
		LinkLifetime:    20 * time.Hour,
		Limits:          provider.Limits{Submissions: 18, Window: 10 * time.Second, InFlight: 100, Queries: 10},
		PollInterval:    30 * time.Second,
		TypicalDuration: 5 * time.Minute,
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
	want.Callbacks, want.CallbackHeaders = provider.IDSignedCallbacks, []string{"X-Webhook-Signature", "X-Webhook-Timestamp"}
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
	wiretest.TestBrokenConfigs(t, Name, map[string]Config{
		"no API key":        {},
		"API key, newline":  {APIKey: "s3cr3t\n"},
		"API key, umlaut":   {APIKey: "s3cr3tü"},
		"relative URL":      {APIKey: wiretest.Key, BaseURL: "api.kie.ai/s3cr3t"},
		"no host":           {APIKey: wiretest.Key, BaseURL: "https:///s3cr3t"},
		"another scheme":    {APIKey: wiretest.Key, BaseURL: "ftp://s3cr3t"},
		"no URL":            {APIKey: wiretest.Key, BaseURL: "https://s3cr3t\x7f"},
		"user in URL":       {APIKey: wiretest.Key, BaseURL: "https://u:s3cr3t@h"},
		"query in URL":      {APIKey: wiretest.Key, BaseURL: "https://h?k=s3cr3t"},
		"three keys":        {APIKey: wiretest.Key, SigningKeys: []string{"s3cr3t", "b", "c"}},
		"empty key":         {APIKey: wiretest.Key, SigningKeys: []string{"s3cr3t", ""}},
		"negative window":   {APIKey: wiretest.Key, SignatureWindow: -1},
		"negative poll":     {APIKey: wiretest.Key, PollInterval: -1},
		"negative duration": {APIKey: wiretest.Key, TypicalDuration: -1},
		"negative limit":    {APIKey: wiretest.Key, Limits: provider.Limits{InFlight: -1}},
		"negative queries":  {APIKey: wiretest.Key, Limits: provider.Limits{Queries: -1}},
	}, func(cfg Config) error {
		_, err := New(cfg)
		return err
	})
}

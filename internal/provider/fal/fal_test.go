package fal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestNew_ZeroConfigIsANewAccount(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	want := provider.Capabilities{
		Callbacks: provider.BodySignedCallbacks,
		CallbackHeaders: []string{
			"X-Fal-Webhook-Request-Id", "X-Fal-Webhook-User-Id", "X-Fal-Webhook-Timestamp", "X-Fal-Webhook-Signature",
		},
		Upload:          true,
		UploadLifetime:  7 * 24 * time.Hour,
		LinkLifetime:    6 * 24 * time.Hour,
		Limits:          provider.Limits{Submissions: 60, Window: time.Minute, InFlight: 4},
		PollInterval:    30 * time.Second,
		TypicalDuration: 5 * time.Minute,
	}
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.Name() != "fal" || p.wire.BaseURL() != "https://queue.fal.run" || p.keys.url != "https://rest.fal.ai/.well-known/jwks.json" {
		t.Errorf("name %q, base %q, keys at %q", p.Name(), p.wire.BaseURL(), p.keys.url)
	}
}

func TestNew_TakesEachSetting(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "http://localhost:1/queue/", func(c *Config) {
		c.RestURL = "http://localhost:2/rest/"
		c.UserID = "u"
		c.Limits = provider.Limits{Submissions: 5, Queries: 3, InFlight: 40}
		c.PollInterval = time.Second
	})
	want := newProvider(t, "").Capabilities()
	want.Limits = provider.Limits{Submissions: 5, Window: time.Minute, InFlight: 40, Queries: 3}
	want.PollInterval = time.Second
	if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if p.wire.BaseURL() != "http://localhost:1/queue" || p.restURL != "http://localhost:2/rest" || p.userID != "u" {
		t.Errorf("base %q, rest %q, user %q", p.wire.BaseURL(), p.restURL, p.userID)
	}
	if p := newProvider(t, "http://localhost:1/queue/"); p.restURL != "http://localhost:1/queue" {
		t.Errorf("the rest URL with another base is %q", p.restURL)
	}
}

func TestNew_RefusesABrokenConfigWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	wiretest.TestBrokenConfigs(t, Name, map[string]Config{
		"no API key":           {},
		"API key, newline":     {APIKey: "s3cr3t\n"},
		"relative URL":         {APIKey: wiretest.Key, BaseURL: "queue.fal.run/s3cr3t"},
		"relative rest URL":    {APIKey: wiretest.Key, RestURL: "rest.fal.ai/s3cr3t"},
		"user in rest URL":     {APIKey: wiretest.Key, RestURL: "https://u:s3cr3t@h"},
		"query in rest URL":    {APIKey: wiretest.Key, RestURL: "https://h?k=s3cr3t"},
		"fragment in rest URL": {APIKey: wiretest.Key, RestURL: "https://h#s3cr3t"},
		"negative poll":        {APIKey: wiretest.Key, PollInterval: -1},
		"negative limit":       {APIKey: wiretest.Key, Limits: provider.Limits{InFlight: -1}},
	}, func(cfg Config) error {
		_, err := New(cfg)
		return err
	})
}

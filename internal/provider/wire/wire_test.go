package wire

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

const (
	testKey     = "provider-api-key-0123456789"
	testToken   = "attempt-7.c2VjcmV0LXRva2Vu"
	callbackURL = "https://refract.example.com/v1/callbacks/provider/" + testToken
)

func newClient(t testing.TB, baseURL string, lent *http.Client) *Client {
	t.Helper()
	c, err := NewClient(Config{BaseURL: baseURL, APIKey: testKey, HTTPClient: lent})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return c
}

// untraced returns the transport that makes the requests of a client.
func untraced(t *testing.T, c *http.Client) http.RoundTripper {
	t.Helper()
	traced, ok := c.Transport.(interface{ Unwrap() http.RoundTripper })
	if !ok {
		t.Fatalf("requests through a %T are not traced", c.Transport)
	}
	return traced.Unwrap()
}

func TestNewClient_TakesTheTransportAlone(t *testing.T) {
	t.Parallel()
	lent := &http.Client{Timeout: time.Nanosecond, Transport: &http.Transport{}}
	c := newClient(t, "http://localhost:1/proxy//", lent)
	if c.BaseURL() != "http://localhost:1/proxy" {
		t.Errorf("base is %q", c.BaseURL())
	}
	for _, own := range []*http.Client{c.submits, c.queries} {
		if own.Timeout != 0 || untraced(t, own) != lent.Transport || lent.CheckRedirect != nil {
			t.Errorf("timeout %v, own transport %v, lent client changed %v",
				own.Timeout, untraced(t, own) != lent.Transport, lent.CheckRedirect != nil)
		}
	}
}

func TestNewClient_RefusesABrokenConfigWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no URL":           {APIKey: testKey},
		"URL without host": {APIKey: testKey, BaseURL: "https:///s3cr3t"},
		"fragment in URL":  {APIKey: testKey, BaseURL: "https://h#s3cr3t"},
		"user in URL":      {APIKey: testKey, BaseURL: "https://s3cr3t@h"},
		"no API key":       {BaseURL: "https://s3cr3t"},
		"API key, space":   {APIKey: "s3cr3t key", BaseURL: "https://h"},
	} {
		_, err := NewClient(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), testKey) {
			t.Errorf("%s: error %q leaks a secret", name, err)
		}
	}
}

func TestConfig_ReplaceOnlyWhatTheyName(t *testing.T) {
	t.Parallel()
	defaults := provider.Capabilities{
		RefreshLinks:    true,
		PollInterval:    time.Second,
		TypicalDuration: time.Minute,
		Limits:          provider.Limits{Submissions: 1, Window: time.Second, InFlight: 2, Queries: 3},
	}
	got, err := Config{}.capabilities(defaults)
	if diff := cmp.Diff(defaults, got); diff != "" || err != nil {
		t.Errorf("zero settings: %v (-want +got):\n%s", err, diff)
	}
	all := Config{
		Limits:          provider.Limits{Submissions: 10, Window: time.Hour, InFlight: 20, Queries: 30},
		PollInterval:    2 * time.Second,
		TypicalDuration: 2 * time.Minute,
	}
	want := provider.Capabilities{
		RefreshLinks: true, PollInterval: all.PollInterval, TypicalDuration: all.TypicalDuration, Limits: all.Limits,
	}
	got, err = all.capabilities(defaults)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("all settings: %v (-want +got):\n%s", err, diff)
	}
	for _, s := range []Config{
		{PollInterval: -1},
		{TypicalDuration: -1},
		{Limits: provider.Limits{Submissions: -1}},
		{Limits: provider.Limits{Window: -1}},
		{Limits: provider.Limits{InFlight: -1}},
		{Limits: provider.Limits{Queries: -1}},
	} {
		if _, err := s.capabilities(defaults); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

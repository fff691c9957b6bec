// Package wire is what provider adapters share: one HTTP exchange with a provider, bounded in
// time and size, and the cleaning of what it answers.
//
// A [Client] sends a [Call] once and follows no redirect. When no answer came, it knows whether the provider
// may have seen the request: a submission of which no byte left is NotSent, every other one is Ambiguous,
// and a question is Unavailable. What an answer means is the adapter's: its [Table] gives a [Verdict] for
// each code, and [Client.Judge] makes the error of it. Package wire knows no provider's codes or fields.
//
// Providers echo requests, callback URL included. All text of a provider that leaves an adapter goes through
// [Client.Redact], which removes our secrets and cuts URLs to their host.
package wire

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// Config says how to reach a provider, and what an operator changes about its capabilities.
type Config struct {
	// BaseURL is the root of the API, an absolute http or https URL.
	BaseURL string

	// APIKey is the key of the account. It is a secret and appears in no error.
	APIKey string

	// Scheme is the scheme of the Authorization header that carries the key. Empty means Bearer.
	Scheme string

	// HTTPClient lends its transport, and nil means one of our own. The client is not changed; its
	// timeout, its cookies and its redirect policy are not used.
	HTTPClient *http.Client

	// Limits are what the account may do. A zero field leaves the adapter's default, like those below.
	Limits provider.Limits

	// PollInterval is how often a running attempt is checked.
	PollInterval time.Duration

	// TypicalDuration is how long an attempt usually takes.
	TypicalDuration time.Duration
}

// Client speaks HTTP with one provider for one account. It is made by NewClient and may be used
// concurrently.
type Client struct {
	base    string // Without a slash at the end.
	apiKey  string
	scheme  string       // Of the Authorization header.
	submits *http.Client // For submissions, which can create something.
	queries *http.Client // For everything else.
}

// NewClient returns a client for the account in cfg, or says what is wrong with cfg without quoting it. It
// makes no request.
func NewClient(cfg Config) (*Client, error) {
	base, err := baseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.APIKey == "" {
		return nil, errors.New("API key: missing")
	}
	for _, r := range cfg.APIKey {
		if r <= ' ' || r > '~' { // It would break the header that carries it.
			return nil, errors.New("API key: want printable ASCII without spaces")
		}
	}
	submits, queries := newHTTPClients(cfg.HTTPClient)
	return &Client{base: base, apiKey: cfg.APIKey, scheme: cmp.Or(cfg.Scheme, "Bearer"), submits: submits, queries: queries}, nil
}

// BaseURL returns the root of the API, without a slash at the end.
func (c *Client) BaseURL() string { return c.base }

// CloseIdleConnections closes the connections that no call uses.
func (c *Client) CloseIdleConnections() {
	c.submits.CloseIdleConnections()
	c.queries.CloseIdleConnections()
}

func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || !isWebURL(u) {
		return "", errors.New("base URL: want an absolute http or https URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("base URL: want no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

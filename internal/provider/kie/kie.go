// Package kie speaks the wire format of kie.ai's "Luma Modify" API.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request, follows no
// redirect, reads a bounded answer in bounded time, and turns whatever comes back into a class that
// says what is known about money. What each code of the provider means stands in one table, in codes.go.
//
// The provider reports errors in the HTTP status, in the body's code beside HTTP 200, or in both; the
// Cloudflare in front of it answers with pages that are not JSON at all. A submission that is answered
// by silence, a cut body, a redirect or a 5xx is Ambiguous: the provider has no idempotency key, so
// nobody can know. A question in the same trouble is Unavailable and may be asked again.
//
// The provider echoes requests, callback URL included. All words that leave this package went through
// words, which takes out our secrets and cuts URLs to their host.
package kie

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// Name is what tasks, metrics and callback URLs call this provider.
const Name = "kie"

// DefaultBaseURL is where the API lives.
const DefaultBaseURL = "https://api.kie.ai"

// The documented limit is 20 submissions in 10 s per account, and excess is refused, not queued; two
// are left for people and scripts that use the same account. The provider names 100 running tasks as
// what follows from it.
const (
	defaultSubmissions = 18
	defaultWindow      = 10 * time.Second
	defaultInFlight    = 100
)

const (
	defaultPollInterval    = 30 * time.Second // What the provider's pages advise.
	defaultTypicalDuration = 5 * time.Minute  // The documented sample took 309 s.
	defaultSignatureWindow = 300 * time.Second
	maxSigningKeys         = 2
)

// Config says how to reach the provider and how to trust what it sends. Only APIKey is required.
type Config struct {
	// BaseURL is the root of the API, an absolute http or https URL. Empty means DefaultBaseURL.
	BaseURL string

	// APIKey is the bearer key of the account. It is a secret and appears in no error.
	APIKey string

	// SigningKeys are the account's webhookHmacKey values, at most two, so that a key can be changed
	// while callbacks signed with the old one are under way. Without one, callbacks are hints.
	SigningKeys []string

	// SignatureWindow is how far a signature's timestamp may lie in the past or in the future. Zero
	// means 300 s; it counts in whole seconds, as the timestamps do.
	SignatureWindow time.Duration

	// Limits are what the account may do. Zero fields mean 18 submissions per 10 s and 100 in flight.
	Limits provider.Limits

	// PollInterval is how often a running attempt is checked. Zero means 30 s.
	PollInterval time.Duration

	// TypicalDuration is how long an attempt usually takes. Zero means 5 min.
	TypicalDuration time.Duration

	// HTTPClient lends its transport, and nil means one of our own. The client is not changed; its
	// timeout, its cookies and its redirect policy are not used.
	HTTPClient *http.Client
}

// Provider is the kie.ai adapter. It is made by New and may be used concurrently.
type Provider struct {
	base         string // Without a slash at the end.
	apiKey       string
	signingKeys  [][]byte
	window       time.Duration
	capabilities provider.Capabilities
	http         *http.Client
}

var _ provider.Provider = (*Provider)(nil)

// New returns an adapter for the account in cfg, or says what is wrong with cfg without quoting any of
// its secrets. It makes no request.
func New(cfg Config) (*Provider, error) {
	base, err := baseURL(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("configure kie: %w", err)
	}
	if err := validate(cfg); err != nil {
		return nil, fmt.Errorf("configure kie: %w", err)
	}
	keys := make([][]byte, len(cfg.SigningKeys))
	for i, key := range cfg.SigningKeys {
		keys[i] = []byte(key)
	}
	return &Provider{
		base:        base,
		apiKey:      cfg.APIKey,
		signingKeys: keys,
		window:      cmp.Or(cfg.SignatureWindow, defaultSignatureWindow),
		capabilities: provider.Capabilities{
			Limits: provider.Limits{
				Submissions: cmp.Or(cfg.Limits.Submissions, defaultSubmissions),
				Window:      cmp.Or(cfg.Limits.Window, defaultWindow),
				InFlight:    cmp.Or(cfg.Limits.InFlight, defaultInFlight),
			},
			PollInterval:    cmp.Or(cfg.PollInterval, defaultPollInterval),
			TypicalDuration: cmp.Or(cfg.TypicalDuration, defaultTypicalDuration),
		},
		http: newClient(cfg.HTTPClient),
	}, nil
}

// Name returns "kie".
func (p *Provider) Name() string { return Name }

// Capabilities returns the limits and durations of the configuration.
func (p *Provider) Capabilities() provider.Capabilities { return p.capabilities }

func baseURL(s string) (string, error) {
	if s == "" {
		s = DefaultBaseURL
	}
	u, err := url.Parse(s)
	if err != nil || !isWebURL(u) {
		return "", errors.New("base URL: want an absolute http or https URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("base URL: want no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func validate(cfg Config) error {
	if cfg.APIKey == "" {
		return errors.New("API key: missing")
	}
	for _, r := range cfg.APIKey {
		if r <= ' ' || r > '~' { // It would break the header that carries it.
			return errors.New("API key: want printable ASCII without spaces")
		}
	}
	if len(cfg.SigningKeys) > maxSigningKeys {
		return fmt.Errorf("signing keys: want at most %d, got %d", maxSigningKeys, len(cfg.SigningKeys))
	}
	for i, key := range cfg.SigningKeys {
		if key == "" { // Anyone can sign with the empty key.
			return fmt.Errorf("signing key %d: empty", i+1)
		}
	}
	if cfg.SignatureWindow < 0 || cfg.PollInterval < 0 || cfg.TypicalDuration < 0 ||
		cfg.Limits.Submissions < 0 || cfg.Limits.Window < 0 || cfg.Limits.InFlight < 0 {
		return errors.New("durations and limits: want none below zero")
	}
	return nil
}

// Package kie speaks the wire formats of kie.ai: its "Luma Modify" API, and its market, which sells all other models with one
// pair of calls. The remote name of a model selects the format; key, limits, answers and callbacks are the account's.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request, follows no
// redirect, reads a bounded answer in bounded time, and turns whatever comes back into a class that
// says what is known about money. What each code of the provider means stands in one table, in codes.go.
//
// The provider reports errors in the HTTP status, in the body's code under HTTP 200, or in both; the
// Cloudflare in front of it answers with pages that are not JSON at all. A submission that is answered
// by silence, a cut body, a redirect or a 5xx is Ambiguous: the provider has no idempotency key, so
// the outcome stays unknown. A query that is answered so is Unavailable and may be repeated.
//
// The provider echoes requests, callback URL included. The exchange itself, and the cleaning of all words
// that leave this package, is in package wire.
//
// In comments, [D] is what the provider documents, [L] what was recorded, [T] what third parties saw, and [I] what we infer.
package kie

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is the provider's name in tasks, metrics and callback URLs.
const Name = "kie"

// DefaultBaseURL is where the API lives, and DefaultUploadURL where files are uploaded to [D]. One staging page shows
// uploads at the API's own host instead.
const (
	DefaultBaseURL   = "https://api.kie.ai"
	DefaultUploadURL = "https://kieai.redpandaai.co"
)

// The limit is 20 submissions in 10 s per account, and excess is refused, not queued [D]; two are left for
// people and scripts that use the same account. The provider names "100+" running tasks as what follows from
// it [D]. It allows 10 queries a second on the page of a sibling product [T].
const (
	defaultSubmissions = 18
	defaultWindow      = 10 * time.Second
	defaultInFlight    = 100
	defaultQueries     = 10
)

const (
	uploadLifetime = 24 * time.Hour // Uploads expire "after 24 h" and "after 3 days" on one page [D].
	linkLifetime   = 20 * time.Hour // Links "typically" last 24 h [T]; another page keeps media for 14 days [D].
)

const (
	defaultPollInterval    = 30 * time.Second // What the provider's pages advise [D].
	defaultTypicalDuration = 5 * time.Minute  // The documented sample took 309 s [D].
	defaultSignatureWindow = 300 * time.Second
	maxSigningKeys         = 2
)

// Config says how to reach the provider and how to trust what it sends. Only APIKey is required.
type Config struct {
	// BaseURL is the root of the API, an absolute http or https URL. Empty means DefaultBaseURL.
	BaseURL string

	// UploadURL is the root of the upload API. Empty means DefaultUploadURL, or BaseURL where that is not the
	// provider's own.
	UploadURL string

	// APIKey is the bearer key of the account. It is a secret and appears in no error.
	APIKey string

	// SigningKeys are the account's webhookHmacKey values, at most two, so that a key can be changed
	// while callbacks signed with the old one are under way. Without one, callbacks are hints.
	SigningKeys []string

	// SignatureWindow is how far a signature's timestamp may lie in the past or in the future. Zero
	// means 300 s; it counts in whole seconds, as the timestamps do.
	SignatureWindow time.Duration

	// Limits are what the account may do. Zero fields mean 18 submissions per 10 s, 100 in flight and 10
	// queries a second.
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
	wire         *wire.Client
	uploadURL    string // Without a slash at the end.
	signingKeys  [][]byte
	window       time.Duration
	capabilities provider.Capabilities
}

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Uploader = (*Provider)(nil)
)

// New returns an adapter for the account in cfg, or says what is wrong with cfg without quoting any of
// its secrets. It makes no request.
func New(cfg Config) (*Provider, error) {
	client, caps, err := wire.Open(Name, wire.Config{
		BaseURL: cmp.Or(cfg.BaseURL, DefaultBaseURL), APIKey: cfg.APIKey, HTTPClient: cfg.HTTPClient,
		Limits: cfg.Limits, PollInterval: cfg.PollInterval, TypicalDuration: cfg.TypicalDuration,
	}, defaultCapabilities())
	if err != nil {
		return nil, err
	}
	keys, err := signingKeys(cfg)
	if err != nil {
		return nil, fmt.Errorf("configure kie: %w", err)
	}
	if len(keys) > 0 {
		caps.Callbacks, caps.CallbackHeaders = provider.IDSignedCallbacks, []string{signatureHeader, timestampHeader}
	}
	return &Provider{
		wire:         client,
		uploadURL:    strings.TrimRight(uploadURL(cfg), "/"),
		signingKeys:  keys,
		window:       cmp.Or(cfg.SignatureWindow, defaultSignatureWindow),
		capabilities: caps,
	}, nil
}

func uploadURL(cfg Config) string {
	if cfg.BaseURL == "" || cfg.BaseURL == DefaultBaseURL {
		return cmp.Or(cfg.UploadURL, DefaultUploadURL)
	}
	return cmp.Or(cfg.UploadURL, cfg.BaseURL)
}

func defaultCapabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks:       provider.UnsignedCallbacks,
		Confidential:    confidential(),
		Upload:          true,
		RefreshLinks:    true,
		UploadLifetime:  uploadLifetime,
		LinkLifetime:    linkLifetime,
		PollInterval:    defaultPollInterval,
		TypicalDuration: defaultTypicalDuration,
		Limits: provider.Limits{
			Submissions: defaultSubmissions,
			Window:      defaultWindow,
			InFlight:    defaultInFlight,
			Queries:     defaultQueries,
		},
	}
}

// Name returns "kie".
func (p *Provider) Name() string { return Name }

// Capabilities returns what the API is documented to take and give, with the configured limits and
// durations. Callbacks count as signed where a signing key is configured.
func (p *Provider) Capabilities() provider.Capabilities { return p.capabilities }

// CloseIdleConnections closes the connections to the API that no call uses. More are made when there are more calls.
func (p *Provider) CloseIdleConnections() { p.wire.CloseIdleConnections() }

func signingKeys(cfg Config) ([][]byte, error) {
	if len(cfg.SigningKeys) > maxSigningKeys {
		return nil, fmt.Errorf("signing keys: want at most %d, got %d", maxSigningKeys, len(cfg.SigningKeys))
	}
	keys := make([][]byte, len(cfg.SigningKeys))
	for i, key := range cfg.SigningKeys {
		if key == "" { // Anyone can sign with the empty key.
			return nil, fmt.Errorf("signing key %d: empty", i+1)
		}
		keys[i] = []byte(key)
	}
	if cfg.SignatureWindow < 0 {
		return nil, errors.New("signature window: want none below zero")
	}
	return keys, nil
}

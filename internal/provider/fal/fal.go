// Package fal speaks the wire format of fal.ai's queue, where many companies sell models that modify videos.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request that could create something, follows
// no redirect, reads bounded answers in bounded time, and turns whatever comes back into a class that says what is known about
// money. What each HTTP status means stands in one table, in codes.go, and what each type of an error means in failure.go.
//
// The queue takes nearly every input and answers with a request id. A request that failed is COMPLETED too: then its status has
// an error, or its result is one. The queue has no idempotency key. Its clients send a submission again after connection errors,
// 408, 409 and 429, and turn to another host. This adapter sends it once, to one host, and asks the queue not to retry either.
//
// A webhook comes at the end of a request. Its signature covers the whole body, so that it is believed, links included. The keys
// are published by fal and fetched when a webhook arrives, see jwks.go.
//
// In comments, [D] is what fal documents, [S] what its own clients do, [L] what was recorded, [T] what third parties saw, [I]
// what we infer, and [U] what is unknown.
package fal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is the provider's name in tasks, metrics and callback URLs.
const Name = "fal"

// DefaultBaseURL is where the queue lives, and DefaultRestURL where the key set and the uploads are [D].
const (
	DefaultBaseURL = "https://queue.fal.run"
	DefaultRestURL = "https://rest.fal.ai"
)

// A new account runs 2 requests at a time, and one that bought credits up to 40 [D]. The others wait in the queue, which is free
// and has no bound [T]. So more attempts in flight than an account runs cost nothing but waiting, and keep its runners busy: with
// 4, a new account has one waiting behind each running request, and an attempt waits for about one other. An account with more
// runners sets its own limit.
//
// fal documents no limit of submissions in a time. 60 a minute is a guess, far above what 4 attempts in flight need.
const (
	defaultSubmissions = 60
	defaultWindow      = time.Minute
	defaultInFlight    = 4
)

// Files live for 7 days at least, and without a limit unless the account or the request sets one [T]. Each submission and each
// upload asks for 7 days, so that no caller's video stays at a public address without a limit. Whether the time runs from the
// submission or from the end of the request is not documented, so a day of it is left for waiting and running.
const (
	fileLifetime   = 7 * 24 * time.Hour
	uploadLifetime = 7 * 24 * time.Hour
	linkLifetime   = 6 * 24 * time.Hour
)

const (
	// defaultPollInterval finds the end of a request whose webhook was lost while fal still has the answer: about an hour, or
	// 6 min for an answer of 10 KB and more [D].
	defaultPollInterval    = 30 * time.Second
	defaultTypicalDuration = 5 * time.Minute // A reseller of one of the models took 309 s [T].
)

// Config says how to reach the provider and how to trust what it sends. Only APIKey is required.
type Config struct {
	// BaseURL is the root of the queue, an absolute http or https URL. Empty means DefaultBaseURL.
	BaseURL string

	// RestURL is the root of the host that has the key set and the uploads. Empty means DefaultRestURL, or BaseURL where that
	// is not the provider's own.
	RestURL string

	// APIKey is the key of the account. It is a secret and appears in no error.
	APIKey string

	// UserID is the account that webhooks must name. Empty means any.
	UserID string

	// Limits are what the account may do. Zero fields mean 60 submissions per minute, 4 in flight and no limit of queries.
	Limits provider.Limits

	// PollInterval is how often a running attempt is checked. Zero means 30 s.
	PollInterval time.Duration

	// TypicalDuration is how long an attempt usually takes. Zero means 5 min.
	TypicalDuration time.Duration

	// HTTPClient lends its transport, and nil means one of our own. The client is not changed; its
	// timeout, its cookies and its redirect policy are not used.
	HTTPClient *http.Client
}

// Provider is the fal adapter. It is made by New and may be used concurrently. It has no cancel.
type Provider struct {
	wire         *wire.Client
	restURL      string // Without a slash at the end.
	userID       string
	keys         *keySet
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
		BaseURL: cmp.Or(cfg.BaseURL, DefaultBaseURL), APIKey: cfg.APIKey, Scheme: "Key", HTTPClient: cfg.HTTPClient,
		Limits: cfg.Limits, PollInterval: cfg.PollInterval, TypicalDuration: cfg.TypicalDuration,
	}, defaultCapabilities())
	if err != nil {
		return nil, err
	}
	rest, err := restURL(cfg)
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", Name, err)
	}
	return &Provider{
		wire: client, restURL: rest, userID: cfg.UserID, capabilities: caps,
		keys: &keySet{wire: client, url: rest + keySetPath},
	}, nil
}

func restURL(cfg Config) (string, error) {
	rest := cmp.Or(cfg.RestURL, DefaultRestURL)
	if cfg.BaseURL != "" && cfg.BaseURL != DefaultBaseURL {
		rest = cmp.Or(cfg.RestURL, cfg.BaseURL)
	}
	u, err := url.Parse(rest)
	if err != nil || !wire.IsLink(rest) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("rest URL: want an absolute http or https URL without a user, query or fragment")
	}
	return strings.TrimRight(rest, "/"), nil
}

func defaultCapabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks:       provider.BodySignedCallbacks,
		CallbackHeaders: []string{requestIDHeader, userIDHeader, timestampHeader, signatureHeader},
		Upload:          true,
		UploadLifetime:  uploadLifetime,
		LinkLifetime:    linkLifetime,
		PollInterval:    defaultPollInterval,
		TypicalDuration: defaultTypicalDuration,
		Limits: provider.Limits{
			Submissions: defaultSubmissions,
			Window:      defaultWindow,
			InFlight:    defaultInFlight,
		},
	}
}

// Name returns "fal".
func (p *Provider) Name() string { return Name }

// Capabilities returns what the queue is known to take and give, with the configured limits and durations.
func (p *Provider) Capabilities() provider.Capabilities { return p.capabilities }

// CloseIdleConnections closes the connections to fal that no call uses. More are made when there are more calls.
func (p *Provider) CloseIdleConnections() { p.wire.CloseIdleConnections() }

// RefreshLink returns an error of class Rejected and sends no request: fal does not renew links.
func (p *Provider) RefreshLink(context.Context, string) (string, error) {
	return "", &provider.Error{Class: provider.Rejected, Op: string(wire.OpLink), Err: errors.New("links can't be renewed")}
}

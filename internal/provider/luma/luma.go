// Package luma speaks the wire format of Luma's Dream Machine API, version 1: its "modify video" endpoint.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request, follows no
// redirect, reads a bounded answer in bounded time, and turns whatever comes back into a class that
// says what is known about money. What each HTTP status means stands in one table, in codes.go.
//
// The API has no envelope: errors are real HTTP statuses with a JSON body. It has no idempotency key either,
// and Luma's own SDKs send a create again after connection errors and 408, 409, 429 and 5xx, paying twice
// where the first one arrived; here a create is sent once, and all of those but 429 are Ambiguous.
//
// Callbacks carry the whole generation at every change of its state and are not signed, so nothing is ever
// Proven. They are tried again for less than 21 s: a restart loses them, and checks find what they said.
//
// In comments, [D] is what Luma documents, [T] what third parties saw, and [I] what we infer.
package luma

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is what tasks, metrics and callback URLs call this provider.
const Name = "luma"

// DefaultBaseURL is where the API lives.
const DefaultBaseURL = "https://api.lumalabs.ai/dream-machine/v1"

// The models and the strength of a submission that names none. The guide lists ray-2 alone, the SDKs both [D].
const (
	modelRay2       = "ray-2"
	modelRayFlash2  = "ray-flash-2"
	defaultStrength = "flex_1"
)

// The Build tier has 20 creates a minute and 10 generations at a time [D]. Two creates are left for people
// and scripts that use the same account, and for what the way there does to our spacing.
const (
	defaultSubmissions = 18
	defaultWindow      = time.Minute
	defaultInFlight    = 10
)

// What the API takes and gives.
const (
	maxPrompt         = 5000             // Characters; the shortest has 3 [D].
	maxSourceBytes    = 100_000_000      // [D]
	maxSourceDuration = 10 * time.Second // [D]
	linkLifetime      = time.Hour        // Not documented; that of Luma's newer API [I]. A check returns the links again.
)

const (
	defaultPollInterval    = 30 * time.Second // Not documented; callbacks come between [I].
	defaultTypicalDuration = 5 * time.Minute  // Not documented; a reseller of the same model took 309 s [T].
)

// Config says how to reach the provider. Only APIKey is required.
type Config struct {
	// BaseURL is the root of the API, an absolute http or https URL. Empty means DefaultBaseURL.
	BaseURL string

	// APIKey is the bearer key of the account. It is a secret and appears in no error.
	APIKey string

	// Limits are what the account may do. Zero fields mean 18 submissions a minute, 10 in flight and no
	// limit of queries.
	Limits provider.Limits

	// PollInterval is how often a running attempt is checked. Zero means 30 s.
	PollInterval time.Duration

	// TypicalDuration is how long an attempt usually takes. Zero means 5 min.
	TypicalDuration time.Duration

	// HTTPClient lends its transport, and nil means one of our own. The client is not changed; its
	// timeout, its cookies and its redirect policy are not used.
	HTTPClient *http.Client
}

// Provider is the Dream Machine adapter. It is made by New and may be used concurrently.
type Provider struct {
	wire         *wire.Client
	capabilities provider.Capabilities
}

var _ provider.Provider = (*Provider)(nil)

// New returns an adapter for the account in cfg, or says what is wrong with cfg without quoting any of
// its secrets. It makes no request.
func New(cfg Config) (*Provider, error) {
	client, caps, err := wire.Open(Name, wire.Config{
		BaseURL: cmp.Or(cfg.BaseURL, DefaultBaseURL), APIKey: cfg.APIKey, HTTPClient: cfg.HTTPClient,
	}, wire.Settings{
		Limits: cfg.Limits, PollInterval: cfg.PollInterval, TypicalDuration: cfg.TypicalDuration,
	}, defaultCapabilities())
	if err != nil {
		return nil, err
	}
	return &Provider{wire: client, capabilities: caps}, nil
}

func defaultCapabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks: provider.UnsignedCallbacks,
		Strengths: []string{
			"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
		},
		Strength:          defaultStrength,
		Models:            []string{modelRay2, modelRayFlash2},
		Model:             modelRay2,
		FirstFrame:        true,
		MaxPrompt:         maxPrompt,
		MaxSourceBytes:    maxSourceBytes,
		MaxSourceDuration: maxSourceDuration,
		LinkLifetime:      linkLifetime,
		PollInterval:      defaultPollInterval,
		TypicalDuration:   defaultTypicalDuration,
		Limits: provider.Limits{
			Submissions: defaultSubmissions,
			Window:      defaultWindow,
			InFlight:    defaultInFlight,
		},
	}
}

// Name returns "luma".
func (p *Provider) Name() string { return Name }

// Capabilities returns what the API is documented to take and give, with the configured limits and
// durations. There is no cancel: deleting a generation is documented, its effect on a running one is not.
func (p *Provider) Capabilities() provider.Capabilities { return p.capabilities }

// CloseIdleConnections closes the connections to the API that no call uses. More are made when there are more calls.
func (p *Provider) CloseIdleConnections() { p.wire.CloseIdleConnections() }

// RefreshLink refuses, with class Rejected and without a request: a link can't be exchanged. A check
// returns the generation with its links as long as the provider keeps it.
func (p *Provider) RefreshLink(context.Context, string) (string, error) {
	return "", &provider.Error{
		Class: provider.Rejected,
		Op:    string(wire.OpLink),
		Err:   errors.New("links can't be exchanged; a check returns them again"),
	}
}

// Package lumaagents speaks the wire format of the Luma Agents API: its "video_edit" generations.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request, follows no
// redirect, reads a bounded answer in bounded time, and turns whatever comes back into a class that
// says what is known about money. What each HTTP status and each failure code means stands in two tables, in
// codes.go.
//
// The API has no envelope: errors are real HTTP statuses with a JSON body that holds "detail". It never
// calls, so checks alone tell how a generation does. It documents no idempotency key: the X-Request-Id that
// a client may send is for tracing only, and is not sent. X-API-Version is only answered.
//
// In comments, [D] is what Luma documents, [T] what third parties saw, and [I] what we infer.
package lumaagents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is what tasks, metrics and callback URLs call this provider.
const Name = "luma-agents"

// DefaultBaseURL is where the API lives.
const DefaultBaseURL = "https://agents.lumalabs.ai/v1"

const (
	modelRay32      = "ray-3.2" // The one model for videos [D].
	defaultStrength = "flex_1"
	resolution      = "720p" // Of 540p, 720p and 1080p [D]; what the API takes without one is not documented.
)

// Creates are counted over any 60 s, and active generations beside them; both allowances depend on the plan
// and are published only in the account's dashboard [D]. These are guesses on the low side [I].
const (
	defaultSubmissions = 10
	defaultWindow      = time.Minute
	defaultInFlight    = 10
)

// What the API takes and gives.
const (
	maxPrompt         = 6000             // Characters [T].
	maxSourceBytes    = 200_000_000      // [T]
	maxSourceDuration = 18 * time.Second // [D]; output has the length of the source.
	linkLifetime      = time.Hour        // Links are presigned for so long [D]; a check mints fresh ones [T].
)

const (
	defaultPollInterval    = 10 * time.Second // Not documented for videos; nothing but checks tells of the end [I].
	defaultTypicalDuration = 5 * time.Minute  // Not documented; a reseller of an older model took 309 s [T].
)

// Config says how to reach the provider. Only APIKey is required.
type Config struct {
	// BaseURL is the root of the API, an absolute http or https URL. Empty means DefaultBaseURL.
	BaseURL string

	// APIKey is the bearer key of the account. It is a secret and appears in no error.
	APIKey string

	// Limits are what the account may do, as its dashboard shows. Zero fields mean 10 submissions a minute,
	// 10 in flight and no limit of queries.
	Limits provider.Limits

	// PollInterval is how often a running attempt is checked. Zero means 10 s.
	PollInterval time.Duration

	// TypicalDuration is how long an attempt usually takes. Zero means 5 min.
	TypicalDuration time.Duration

	// HTTPClient lends its transport, and nil means one of our own. The client is not changed; its
	// timeout, its cookies and its redirect policy are not used.
	HTTPClient *http.Client
}

// Provider is the Luma Agents adapter. It is made by New and may be used concurrently.
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
		Callbacks: provider.NoCallbacks,
		Strengths: []string{
			"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
		},
		Strength:          defaultStrength,
		Models:            []string{modelRay32},
		Model:             modelRay32,
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

// Name returns "luma-agents".
func (p *Provider) Name() string { return Name }

// Capabilities returns what the API is documented to take and give, with the configured limits and
// durations.
func (p *Provider) Capabilities() provider.Capabilities { return p.capabilities }

// CloseIdleConnections closes the connections to the API that no call uses. More are made when there are more calls.
func (p *Provider) CloseIdleConnections() { p.wire.CloseIdleConnections() }

// RefreshLink refuses, with class Rejected and without a request: a link can't be exchanged. A check
// returns the generation with fresh links.
func (p *Provider) RefreshLink(context.Context, string) (string, error) {
	return "", &provider.Error{
		Class: provider.Rejected,
		Op:    string(wire.OpLink),
		Err:   errors.New("links can't be exchanged; a check returns fresh ones"),
	}
}

// Callback refuses whatever comes, with ErrCallbackMalformed: the provider never calls.
func (p *Provider) Callback(http.Header, []byte, time.Time) (provider.Callback, error) {
	return provider.Callback{}, fmt.Errorf("%w: the provider sends no callbacks", provider.ErrCallbackMalformed)
}

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
// Proven. They are tried again for less than 21 s: a restart loses them, and checks find the same status.
//
// In comments, [D] is what Luma documents, [T] what third parties saw, and [I] what we infer. Package lumalabs has what both
// of Luma's APIs have in common.
package luma

import (
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is the provider's name in tasks, metrics and callback URLs.
const Name = "luma"

// DefaultBaseURL is where the API lives.
const DefaultBaseURL = "https://api.lumalabs.ai/dream-machine/v1"

// The Build tier has 20 creates a minute and 10 generations at a time [D]. Two creates are left for people
// and scripts that use the same account, and for what the way there does to our spacing.
const (
	defaultSubmissions = 18
	defaultWindow      = time.Minute
	defaultInFlight    = 10
)

// linkLifetime is not documented. It is that of Luma's newer API [I]. A check returns the links again.
const linkLifetime = time.Hour

const (
	defaultPollInterval    = 30 * time.Second // Not documented; callbacks come between [I].
	defaultTypicalDuration = 5 * time.Minute  // Not documented; a reseller of the same model took 309 s [T].
)

// Config says how to reach the provider. Only APIKey is required. By default an account has 18 submissions a minute, 10
// generations in flight and no limit of queries; an attempt is checked every 30 s, and takes 5 min.
type Config = wire.Config

// Provider is the Dream Machine adapter. It is made by New and may be used concurrently. It has no cancel: Luma documents
// how to delete a generation, and not what that does to a running one.
type Provider struct{ *lumalabs.API }

var _ provider.Provider = (*Provider)(nil)

// New returns an adapter for the account in cfg, or says what is wrong with cfg without quoting any of
// its secrets. It makes no request.
func New(cfg Config) (*Provider, error) {
	api, err := lumalabs.Open(cfg, lumalabs.Spec{
		Name: Name, BaseURL: DefaultBaseURL, Capabilities: defaultCapabilities(), Codes: codes(),
		Running: "dreaming", Results: results, Failure: failure, Secrets: echoSecrets,
	})
	if err != nil {
		return nil, err
	}
	return &Provider{api}, nil
}

func defaultCapabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks:       provider.UnsignedCallbacks,
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

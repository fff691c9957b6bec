// Package lumaagents speaks the wire format of the Luma Agents API: its "video_edit" generations.
//
// It promises what [provider.Provider] asks for: every call makes at most one HTTP request, follows no
// redirect, reads a bounded answer in bounded time, and turns whatever comes back into a class that
// says what is known about money. What each HTTP status and each failure code means stands in two tables, in
// codes.go.
//
// It never calls, so only checks show how a generation does. It documents no idempotency key: the X-Request-Id that
// a client may send is for tracing only, and is not sent. X-API-Version is only answered.
//
// In comments, [D] is what Luma documents, [T] what third parties saw, and [I] what we infer. Package lumalabs has what both
// of Luma's APIs have in common.
package lumaagents

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/lumalabs"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Name is the provider's name in tasks, metrics and callback URLs.
const Name = "luma-agents"

// DefaultBaseURL is where the API lives.
const DefaultBaseURL = "https://agents.lumalabs.ai/v1"

// Creates are counted over any 60 s, as active generations are apart from them; both allowances depend on the plan
// and are published only in the account's dashboard [D]. These are guesses on the low side [I].
const (
	defaultSubmissions = 10
	defaultWindow      = time.Minute
	defaultInFlight    = 10
)

// linkLifetime is how long links are presigned for [D]. A check mints fresh ones [T].
const linkLifetime = time.Hour

const (
	defaultPollInterval    = 10 * time.Second // Not documented for videos; only checks show the end [I].
	defaultTypicalDuration = 5 * time.Minute  // Not documented; a reseller of an older model took 309 s [T].
)

// Config says how to reach the provider. Only APIKey is required. Limits are what the dashboard of the account shows; by
// default it has 10 submissions a minute, 10 generations in flight and no limit of queries. An attempt is checked every 10 s,
// and takes 5 min.
type Config = wire.Config

// Provider is the Luma Agents adapter. It is made by New and may be used concurrently.
type Provider struct{ *lumalabs.API }

var _ provider.Provider = (*Provider)(nil)

// New returns an adapter for the account in cfg, or says what is wrong with cfg without quoting any of
// its secrets. It makes no request.
func New(cfg Config) (*Provider, error) {
	api, err := lumalabs.Open(cfg, lumalabs.Spec{
		Name: Name, BaseURL: DefaultBaseURL, Capabilities: defaultCapabilities(), Codes: codes(),
		Running: "processing", Results: results, Failure: failure,
	})
	if err != nil {
		return nil, err
	}
	return &Provider{api}, nil
}

func defaultCapabilities() provider.Capabilities {
	return provider.Capabilities{
		Callbacks:       provider.NoCallbacks,
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

// Callback refuses every callback with ErrCallbackMalformed: the provider sends none.
func (p *Provider) Callback(context.Context, http.Header, []byte, time.Time) (provider.Callback, error) {
	return provider.Callback{}, fmt.Errorf("%w: the provider sends no callbacks", provider.ErrCallbackMalformed)
}

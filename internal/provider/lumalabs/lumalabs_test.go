package lumalabs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// adapters make a provider, by its name.
var adapters = map[string]func(wire.Config) (provider.Provider, error){
	luma.Name:       func(cfg wire.Config) (provider.Provider, error) { return luma.New(cfg) },
	lumaagents.Name: func(cfg wire.Config) (provider.Provider, error) { return lumaagents.New(cfg) },
}

func TestNew_TakesEachSetting(t *testing.T) {
	t.Parallel()
	for name, open := range adapters {
		plain, err := open(wire.Config{APIKey: wiretest.Key})
		if err != nil {
			t.Fatal(err)
		}
		p, err := open(wire.Config{
			APIKey: wiretest.Key, PollInterval: time.Second, TypicalDuration: time.Minute,
			Limits: provider.Limits{Submissions: 100, InFlight: 50, Queries: 5},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := plain.Capabilities()
		want.Limits = provider.Limits{Submissions: 100, Window: time.Minute, InFlight: 50, Queries: 5}
		want.PollInterval, want.TypicalDuration = time.Second, time.Minute
		if diff := cmp.Diff(want, p.Capabilities()); diff != "" {
			t.Errorf("%s: capabilities (-want +got):\n%s", name, diff)
		}
		if p.Name() != name {
			t.Errorf("name %q, want %q", p.Name(), name)
		}
	}
}

func TestNew_RefusesABrokenConfigWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for name, open := range adapters {
		wiretest.TestBrokenConfigs(t, name, map[string]wire.Config{
			"no API key":        {},
			"API key, newline":  {APIKey: "s3cr3t\n"},
			"relative URL":      {APIKey: wiretest.Key, BaseURL: "lumalabs.ai/s3cr3t"},
			"query in URL":      {APIKey: wiretest.Key, BaseURL: "https://h?k=s3cr3t"},
			"negative poll":     {APIKey: wiretest.Key, PollInterval: -1},
			"negative duration": {APIKey: wiretest.Key, TypicalDuration: -1},
			"negative limit":    {APIKey: wiretest.Key, Limits: provider.Limits{InFlight: -1}},
		}, func(cfg wire.Config) error {
			_, err := open(cfg)
			return err
		})
	}
}

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
)

// providerFlags are the settings of the providers. A provider is one line here, for its flags and variables,
// and one in registrations.
type providerFlags struct {
	Route []string `name:"route" env:"REFRACT_ROUTE" help:"Providers of tasks that name none, in the order in which they are tried. Default: the first that has a key." json:"route"`

	KIE        upstreamFlags `embed:"" prefix:"kie-" envprefix:"KIE_" json:"kie"`
	Luma       upstreamFlags `embed:"" prefix:"luma-" envprefix:"LUMA_" json:"luma"`
	LumaAgents upstreamFlags `embed:"" prefix:"luma-agents-" envprefix:"LUMA_AGENTS_" json:"luma_agents"`
}

// registrations are the providers that Refract knows, in the order of preference.
func (f *providerFlags) registrations() []registration {
	return []registration{
		{kie.Name, &f.KIE, func(u upstreamConfig) (provider.Provider, error) {
			return kie.New(kie.Config{BaseURL: u.url, APIKey: u.key, SigningKeys: u.webhookKeys, TypicalDuration: u.typical, PollInterval: u.poll})
		}},
		{luma.Name, &f.Luma, func(u upstreamConfig) (provider.Provider, error) {
			return luma.New(luma.Config{BaseURL: u.url, APIKey: u.key, TypicalDuration: u.typical, PollInterval: u.poll})
		}},
		{lumaagents.Name, &f.LumaAgents, func(u upstreamConfig) (provider.Provider, error) {
			return lumaagents.New(lumaagents.Config{BaseURL: u.url, APIKey: u.key, TypicalDuration: u.typical, PollInterval: u.poll})
		}},
	}
}

// registration is how a provider is made of its settings.
type registration struct {
	name  string
	flags *upstreamFlags
	make  func(upstreamConfig) (provider.Provider, error)
}

// upstreamFlags are the settings of one provider.
type upstreamFlags struct {
	APIKeys     []secret `name:"api-key" env:"API_KEY" placeholder:"[ACCOUNT=]KEY" help:"API key. Several accounts have a name each, which begins like the provider's." json:"api_keys"`
	WebhookKeys []secret `name:"webhook-key" env:"WEBHOOK_KEY" placeholder:"[ACCOUNT=]KEY" help:"Key with which the provider signs callbacks; two an account while one replaces the other. Without it callbacks are only hints." json:"webhook_keys"`
	URL         string   `name:"url" env:"URL" help:"Address of the API. Default: the provider's." json:"url"`
	// Typical and Poll are set by the demo and by tests, whose provider is faster than a real one.
	Typical time.Duration `kong:"-" json:"-"`
	Poll    time.Duration `kong:"-" json:"-"`
}

// upstreamConfig is what one account is made of.
type upstreamConfig struct {
	key, url    string
	webhookKeys []string
	typical     time.Duration
	poll        time.Duration
}

// openAccounts makes the adapters of all configured accounts, and returns the route of tasks that name no
// provider.
func (f *providerFlags) openAccounts() (provider.Accounts, []string, error) {
	accounts := provider.Accounts{}
	for _, r := range f.registrations() {
		if err := r.addTo(accounts); err != nil {
			return nil, nil, err
		}
	}
	configured := slices.DeleteFunc(f.registrations(), func(r registration) bool { return len(r.flags.APIKeys) == 0 })
	if len(configured) == 0 {
		return nil, nil, errors.New("no provider is configured: set KIE_API_KEY, or try `refract demo` without one")
	}
	if len(f.Route) == 0 {
		return accounts, []string{configured[0].name}, nil
	}
	for _, name := range f.Route {
		if len(accounts.At(name)) == 0 {
			return nil, nil, fmt.Errorf("--route names provider %q, which has no API key", name)
		}
	}
	return accounts, f.Route, nil
}

func (r registration) addTo(accounts provider.Accounts) error {
	webhooks := map[string][]string{}
	for _, k := range r.flags.WebhookKeys {
		account, key := r.split(k)
		webhooks[account] = append(webhooks[account], key)
	}
	for _, k := range r.flags.APIKeys {
		account, key := r.split(k)
		if _, taken := accounts[account]; taken {
			return fmt.Errorf("two API keys for account %s: give each a name of its own, as in %s-2=KEY", account, r.name)
		}
		p, err := r.make(upstreamConfig{key: key, url: r.flags.URL, webhookKeys: webhooks[account], typical: r.flags.Typical, poll: r.flags.Poll})
		if err != nil {
			return fmt.Errorf("configure account %s of %s: %w", account, r.name, err)
		}
		if len(webhooks[account]) > 0 && p.Capabilities().Callbacks != provider.SignedCallbacks {
			return fmt.Errorf("%s does not sign callbacks: take its webhook key away", r.name)
		}
		accounts[account] = p
		delete(webhooks, account)
	}
	for account := range webhooks {
		return fmt.Errorf("a webhook key is for account %s of %s, which has no API key", account, r.name)
	}
	return nil
}

// accountName is how an account is called: like its provider, with a suffix or without.
var accountName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// split takes ACCOUNT=KEY apart. A key without the name of an account is the provider's own.
func (r registration) split(s secret) (account, key string) {
	name, rest, ok := strings.Cut(s.reveal(), "=")
	if ok && rest != "" && accountName.MatchString(name) && (name == r.name || strings.HasPrefix(name, r.name+"-")) {
		return name, rest
	}
	return r.name, s.reveal()
}

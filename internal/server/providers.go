package server

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/fal"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
)

// Providers are the settings of the providers. A provider is one line here, for its flags and variables,
// and one in registrations.
type Providers struct {
	Route []string `name:"route" env:"REFRACT_ROUTE" sep:";" placeholder:"[MODEL=]PROVIDER,…" help:"Providers to try, in order. With MODEL=, for tasks of this model, in place of the catalog's route; without, for tasks that name neither provider nor model. A semicolon separates several routes. Default: the catalog's routes, and the first provider that has a key." json:"route"`

	KIE        Upstream `embed:"" prefix:"kie-" envprefix:"KIE_" json:"kie"`
	Luma       Upstream `embed:"" prefix:"luma-" envprefix:"LUMA_" json:"luma"`
	LumaAgents Upstream `embed:"" prefix:"luma-agents-" envprefix:"LUMA_AGENTS_" json:"luma_agents"`
	Fal        Fal      `embed:"" prefix:"fal-" envprefix:"FAL_" json:"fal"`
}

// Fal are the settings of fal, which publishes the keys of its callbacks.
type Fal struct {
	Upstream `embed:""`

	UserIDs []string `name:"user-id" env:"USER_ID" placeholder:"[ACCOUNT=]ID" help:"Account at the provider that signs callbacks. Default: the one that signs the first callback about a task that it is known to have." json:"user_ids"`
	RestURL string   `name:"rest-url" env:"REST_URL" help:"Address of the host that has the keys of callbacks and takes uploads. Default: the provider's, or with --fal-url that address." json:"rest_url"`
}

// registrations are the providers that Refract knows, in the order of preference.
func (f *Providers) registrations() []registration {
	return []registration{
		{name: kie.Name, flags: &f.KIE, make: func(u upstreamConfig) (provider.Provider, error) {
			return kie.New(kie.Config{BaseURL: u.url, APIKey: u.key, SigningKeys: u.webhookKeys, TypicalDuration: u.typical, PollInterval: u.poll, Limits: u.limits})
		}},
		{name: luma.Name, flags: &f.Luma, make: func(u upstreamConfig) (provider.Provider, error) {
			return luma.New(luma.Config{BaseURL: u.url, APIKey: u.key, TypicalDuration: u.typical, PollInterval: u.poll, Limits: u.limits})
		}},
		{name: lumaagents.Name, flags: &f.LumaAgents, make: func(u upstreamConfig) (provider.Provider, error) {
			return lumaagents.New(lumaagents.Config{BaseURL: u.url, APIKey: u.key, TypicalDuration: u.typical, PollInterval: u.poll, Limits: u.limits})
		}},
		{name: fal.Name, flags: &f.Fal.Upstream, userIDs: f.Fal.UserIDs, publishesKeys: true, make: func(u upstreamConfig) (provider.Provider, error) {
			return fal.New(fal.Config{BaseURL: u.url, RestURL: f.Fal.RestURL, APIKey: u.key, UserID: u.userID, TypicalDuration: u.typical, PollInterval: u.poll, Limits: u.limits})
		}},
	}
}

// Configure gives a provider its settings. Webhook keys are left out where the provider signs no callbacks.
func (f *Providers) Configure(name string, u Upstream) error {
	for _, r := range f.registrations() {
		if r.name != name {
			continue
		}
		var keys []string
		for _, key := range u.WebhookKeys {
			keys = append(keys, key.Reveal())
		}
		p, err := r.make(upstreamConfig{key: u.APIKeys[0].Reveal(), url: u.URL, webhookKeys: keys})
		if err != nil {
			return err
		}
		if r.publishesKeys || !p.Capabilities().Callbacks.Signed() {
			u.WebhookKeys = nil
		}
		*r.flags = u
		return nil
	}
	return fmt.Errorf("there is no provider %q", name)
}

// callbackHeaders returns the HTTP headers that the adapter of any provider needs to judge a callback, with or without an account here.
func (f *Providers) callbackHeaders() ([]string, error) {
	all := provider.Accounts{}
	for _, r := range f.registrations() {
		p, err := r.make(upstreamConfig{key: "none", url: r.flags.URL, webhookKeys: []string{"none"}})
		if err != nil {
			return nil, fmt.Errorf("read the callback headers of %s: %w", r.name, err)
		}
		all[r.name] = p
	}
	return all.CallbackHeaders(), nil
}

// apiKeyVariables returns the environment variables of the API keys of providers.
func apiKeyVariables(providers []string) []string {
	variables := make([]string, len(providers))
	for i, name := range providers {
		variables[i] = strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_API_KEY"
	}
	return variables
}

// registration is how a provider is made of its settings.
type registration struct {
	name  string
	flags *Upstream
	make  func(upstreamConfig) (provider.Provider, error)

	userIDs       []string // Who signs callbacks, by account.
	publishesKeys bool     // Whether the provider publishes the keys of its callbacks, so that it has no webhook key.
}

// Upstream are the settings of one provider.
type Upstream struct {
	APIKeys     []redact.Secret `name:"api-key" env:"API_KEY" placeholder:"[ACCOUNT=]KEY" help:"API key. Several accounts have a name each, which begins like the provider's." json:"api_keys"`
	WebhookKeys []redact.Secret `name:"webhook-key" env:"WEBHOOK_KEY" placeholder:"[ACCOUNT=]KEY" help:"Key with which the provider signs callbacks, if it does; two an account while one replaces the other. Without it callbacks are only hints." json:"webhook_keys"`
	Limits      []string        `name:"limit" env:"LIMIT" placeholder:"[ACCOUNT=]18/10s/100" help:"What the provider allows an account: submissions, in a window, and attempts in flight. Default: what it documents, less a margin." json:"limits"`
	URL         string          `name:"url" env:"URL" help:"Address of the API. Default: the provider's." json:"url"`
	// Typical and Poll are set by the demo and by tests, whose provider is faster than a real one.
	Typical time.Duration `kong:"-" json:"-"`
	Poll    time.Duration `kong:"-" json:"-"`
}

// upstreamConfig is what one account is made of.
type upstreamConfig struct {
	key, url    string
	userID      string
	webhookKeys []string
	limits      provider.Limits
	typical     time.Duration
	poll        time.Duration
}

// Accounts makes the adapters of all configured accounts, and returns the route of tasks that name no
// provider.
func (f *Providers) Accounts() (provider.Accounts, []string, error) {
	accounts := provider.Accounts{}
	var names []string
	for _, r := range f.registrations() {
		names = append(names, r.name)
	}
	for _, r := range f.registrations() {
		if err := r.addTo(accounts, names); err != nil {
			return nil, nil, err
		}
	}
	configured := slices.DeleteFunc(f.registrations(), func(r registration) bool { return len(r.flags.APIKeys) == 0 })
	if len(configured) == 0 {
		return nil, nil, fmt.Errorf("no provider is configured: set one of %s, or try `refract demo` without a key", strings.Join(apiKeyVariables(names), ", "))
	}
	route, _, err := f.routes()
	if err != nil {
		return nil, nil, err
	}
	if len(route) == 0 {
		return accounts, []string{configured[0].name}, nil
	}
	for i, name := range route {
		if len(accounts.At(name)) == 0 {
			return nil, nil, fmt.Errorf("--route names provider %q, which has no API key", name)
		}
		if slices.Contains(route[:i], name) {
			return nil, nil, fmt.Errorf("--route names provider %q twice", name)
		}
	}
	return accounts, route, nil
}

// routes returns the route of tasks that name neither provider nor model, and the routes of models. Their names are not checked.
func (f *Providers) routes() (route []string, ofModels catalog.Routes, err error) {
	var texts []string
	for _, text := range f.Route {
		switch {
		case strings.Contains(text, "="):
			texts = append(texts, text)
		case strings.TrimSpace(text) != "": // A variable may be set and empty.
			for name := range strings.SplitSeq(text, ",") {
				route = append(route, strings.TrimSpace(name))
			}
		}
	}
	if ofModels, err = catalog.ParseRoutes(texts); err != nil {
		return nil, nil, fmt.Errorf("--route: %w", err)
	}
	return route, ofModels, nil
}

// addTo makes the accounts of one provider.
func (r registration) addTo(accounts provider.Accounts, others []string) error {
	keys, err := r.byAccount("API key", r.flags.APIKeys, others)
	if err != nil {
		return err
	}
	webhooks, err := r.byAccount("webhook key", r.flags.WebhookKeys, others)
	if err != nil {
		return err
	}
	limits, err := r.limits(others)
	if err != nil {
		return err
	}
	users, err := r.users(others)
	if err != nil {
		return err
	}
	if r.publishesKeys && len(webhooks) > 0 {
		return fmt.Errorf("%s publishes the keys of its callbacks: take its webhook key away", r.name)
	}
	used := map[string]bool{}
	for account, key := range keys {
		if len(key) > 1 || used[key[0]] {
			return fmt.Errorf("%s: an account has one API key and a name of its own, as in %[1]s-2=KEY, and two accounts have two keys", r.name)
		}
		used[key[0]] = true
		p, err := r.make(upstreamConfig{
			key: key[0], url: r.flags.URL, userID: users[account], webhookKeys: webhooks[account], limits: limits[account], typical: r.flags.Typical, poll: r.flags.Poll,
		})
		if err != nil {
			return fmt.Errorf("configure account %s of %s: %w", account, r.name, err)
		}
		if len(webhooks[account]) > 0 && !p.Capabilities().Callbacks.Signed() {
			return fmt.Errorf("%s does not sign callbacks: take its webhook key away", r.name)
		}
		accounts[account] = p
	}
	for _, account := range slices.Concat(slices.Collect(maps.Keys(webhooks)), slices.Collect(maps.Keys(limits)), slices.Collect(maps.Keys(users))) {
		if _, configured := accounts[account]; !configured {
			return fmt.Errorf("%s: account %s has settings and no API key", r.name, account)
		}
	}
	for account, keys := range webhooks {
		for _, key := range keys {
			if len(key) < minWebhookKey {
				return fmt.Errorf("%s: the webhook key of account %s has less than %d bytes and could be guessed: pass the whole key that the provider shows", r.name, account, minWebhookKey)
			}
		}
	}
	return nil
}

// minWebhookKey is the least length of a webhook key in bytes. A guessed key lets anyone sign callbacks.
const minWebhookKey = 16

// byAccount takes values of the form [ACCOUNT=]VALUE apart.
func (r registration) byAccount(what string, values []redact.Secret, others []string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, v := range values {
		account, value, err := r.split(v.Reveal(), others)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", what, r.name, err)
		}
		all[account] = append(all[account], value)
	}
	return all, nil
}

// accountName is how an account is called.
var accountName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// errAccountName does not quote the name, which may be a part of a key.
var errAccountName = errors.New("the name of an account begins with the provider's and a dash, and not with another provider's")

// split takes ACCOUNT=VALUE apart. A value without the name of an account is that of the provider's own. others
// are the names of the other providers.
func (r registration) split(s string, others []string) (account, value string, err error) {
	name, rest, found := strings.Cut(s, "=")
	if !found || strings.Trim(rest, "=") == "" || !accountName.MatchString(name) {
		return r.name, s, nil // A key may end with equals signs.
	}
	like := func(provider string) bool { return name == provider || strings.HasPrefix(name, provider+"-") }
	longer := func(other string) bool { return len(other) > len(r.name) && like(other) }
	if !like(r.name) || slices.ContainsFunc(others, longer) {
		return "", "", errAccountName
	}
	return name, rest, nil
}

// users parses who signs the callbacks of accounts.
func (r registration) users(others []string) (map[string]string, error) {
	all := map[string]string{}
	for _, v := range r.userIDs {
		account, id, err := r.split(v, others)
		if err != nil {
			return nil, fmt.Errorf("user id of %s: %w", r.name, err)
		}
		if all[account] != "" || id == "" {
			return nil, fmt.Errorf("%s: an account has one user id, as the provider's headers show it", r.name)
		}
		all[account] = id
	}
	return all, nil
}

// limits parses the limits of accounts: SUBMISSIONS/WINDOW/IN_FLIGHT, for example 18/10s/100.
func (r registration) limits(others []string) (map[string]provider.Limits, error) {
	all := map[string]provider.Limits{}
	for _, v := range r.flags.Limits {
		account, value, err := r.split(v, others)
		if err != nil {
			return nil, fmt.Errorf("limit of %s: %w", r.name, err)
		}
		parts := strings.Split(value, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("limit %q of %s is not of the form 18/10s/100: submissions, window, in flight", value, r.name)
		}
		submissions, err1 := strconv.Atoi(parts[0])
		window, err2 := time.ParseDuration(parts[1])
		inFlight, err3 := strconv.Atoi(parts[2])
		if errors.Join(err1, err2, err3) != nil || submissions < 1 || window <= 0 || inFlight < 1 {
			return nil, fmt.Errorf("limit %q of %s is not of the form 18/10s/100, with positive figures", value, r.name)
		}
		all[account] = provider.Limits{Submissions: submissions, Window: window, InFlight: inFlight}
	}
	return all, nil
}

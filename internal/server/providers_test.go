package server

import (
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/redact"
)

// TestProviders_MakeAccounts parses what operators write.
func TestProviders_MakeAccounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		flags Providers
		want  string // The names of the accounts, or a part of the error.
	}{
		{"one key", Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}}}, "kie"},
		{"a key that ends like Base64", Providers{KIE: Upstream{APIKeys: []redact.Secret{"abc="}}}, "kie"},
		{"two accounts", Providers{KIE: Upstream{APIKeys: []redact.Secret{"k", "kie-eu=l"}}}, "kie kie-eu"},
		{"two keys without a name", Providers{KIE: Upstream{APIKeys: []redact.Secret{"hunter2", "l"}}}, "a name of its own"},
		{"one key under two names", Providers{KIE: Upstream{APIKeys: []redact.Secret{"hunter2", "kie-eu=hunter2"}}}, "two accounts have two keys"},
		{"a name of another provider", Providers{Luma: Upstream{APIKeys: []redact.Secret{"luma-agents=hunter2"}}}, "not with another provider's"},
		{"a name of no provider", Providers{KIE: Upstream{APIKeys: []redact.Secret{"eu=hunter2"}}}, "begins with the provider's"},
		{"a webhook key of nobody", Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}, WebhookKeys: []redact.Secret{"kie-eu=hunter2"}}}, "no API key"},
		{"a webhook key for a provider that does not sign", Providers{Luma: Upstream{APIKeys: []redact.Secret{"k"}, WebhookKeys: []redact.Secret{"hunter2"}}}, "does not sign"},
		{"a webhook key for a provider that publishes its keys", Providers{Fal: Fal{Upstream: Upstream{APIKeys: []redact.Secret{"k"}, WebhookKeys: []redact.Secret{"hunter2"}}}}, "publishes the keys"},
		{"user ids", Providers{Fal: Fal{Upstream: Upstream{APIKeys: []redact.Secret{"k", "fal-eu=l"}}, UserIDs: []string{"auth0|1", "fal-eu=auth0|2"}}}, "fal fal-eu"},
		{"a user id without an account", Providers{Fal: Fal{Upstream: Upstream{APIKeys: []redact.Secret{"k"}}, UserIDs: []string{"fal-eu=auth0|2"}}}, "no API key"},
		{"two user ids", Providers{Fal: Fal{Upstream: Upstream{APIKeys: []redact.Secret{"k"}}, UserIDs: []string{"a", "b"}}}, "one user id"},
		{"a rest URL that is none", Providers{Fal: Fal{Upstream: Upstream{APIKeys: []redact.Secret{"k"}}, RestURL: "https://u:hunter2@h"}}, "rest URL"},
		{"a limit that is none", Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}, Limits: []string{"18 per 10 s"}}}, "18/10s/100"},
		{"a limit of nothing", Providers{KIE: Upstream{APIKeys: []redact.Secret{"k"}, Limits: []string{"0/10s/100"}}}, "positive"},
		{"a route twice over one provider", Providers{Route: []string{"kie", "kie"}, KIE: Upstream{APIKeys: []redact.Secret{"k"}}}, "twice"},
		{"a route over two, in one text", Providers{Route: []string{"kie, luma"}, KIE: Upstream{APIKeys: []redact.Secret{"k"}}, Luma: Upstream{APIKeys: []redact.Secret{"l"}}}, "kie luma"},
		{"a route over a provider without a key", Providers{Route: []string{"luma"}, KIE: Upstream{APIKeys: []redact.Secret{"k"}}}, "no API key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			accounts, _, err := tc.flags.Accounts()
			if err == nil && strings.Join(accounts.Names(), " ") != tc.want || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want %q", accounts.Names(), err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
	f := Providers{KIE: Upstream{APIKeys: []redact.Secret{"k", "kie-eu=l"}, Limits: []string{"kie-eu=5/1m/7"}}}
	accounts, _, err := f.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	if got := accounts["kie-eu"].Capabilities().Limits; got.Submissions != 5 || got.Window != time.Minute || got.InFlight != 7 {
		t.Errorf("kie-eu has limits %+v, want 5 in a minute and 7 in flight", got)
	}
	if got := accounts["kie"].Capabilities().Limits; got.Submissions != 18 {
		t.Errorf("kie has limits %+v, want its own", got)
	}
}

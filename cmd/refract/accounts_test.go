package main

import (
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/sim"
)

// TestUnsignedCallback_CantGiveAnAttemptAForeignID tells an attempt whose answer was lost the id of a task that
// is not there, right after the submission, when providers may not know their own tasks yet. The genuine callbacks come
// once the provider was asked about that id.
//
// It fails when age (internal/worker/check.go) excuses a provider that does not know the id of a hint.
func TestUnsignedCallback_CantGiveAnAttemptAForeignID(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	ts := startService(t, func(f *serviceFlags, c *simConfig) {
		everyProvider(f, c)
		f.CallbackURL, c.Luma.CallbackAttempts = g.url, 2000
	})
	g.to(ts)
	id := ts.submit(t, "[sim:drop-after]", at(luma.Name)).GetId()
	ts.await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.sim.Ledger()[0]
	status, _, answer := request(t, "POST", strings.Replace(entry.CallbackURL, g.url, "http://"+ts.ingressListener.Addr().String(), 1),
		`{"id":"00000000-dead-4eef-8000-000000000000","state":"dreaming"}`)
	if status != 200 {
		t.Fatalf("answered %d %s, want 200", status, answer)
	}
	eventually(t, "the provider to be asked about it", func() bool { return asked(ts.sim) > 0 })
	g.open.Store(true)
	if last := ts.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED by the genuine callback", last)
	}
	if got := ts.get(t, id).GetAttempt().GetProviderTaskId(); got != entry.TaskID {
		t.Errorf("the attempt has provider task id %q, want %q", got, entry.TaskID)
	}
}

// TestAccounts_OneBlockedLeavesTheWorkToTheOther gives a provider a wrong key beside a good one.
func TestAccounts_OneBlockedLeavesTheWorkToTheOther(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *serviceFlags, c *simConfig) {
		everyProvider(f, c)
		f.KIE.APIKeys = []secret{"wrong-key", "kie-2=" + testAPIKey}
		f.KIE.WebhookKeys = []secret{testWebhookKey, "kie-2=" + testWebhookKey}
	})
	var ids []string
	for range 4 {
		ids = append(ids, ts.submit(t, "", at(kie.Name, luma.Name)).GetId())
	}
	for _, id := range ids {
		if last := ts.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("ended %v, want SUCCEEDED", last)
		}
	}
	if paid := sim.CountPaid(ts.sim.Ledger(), sim.ByProfile); paid[string(sim.ProfileKie)] != 4 {
		t.Errorf("paid %v, want all 4 at kie", paid)
	}
}

// TestProviders_TakenAwayLeaveTheirTasksToOthers restarts the service without the provider that a task waits for.
func TestProviders_TakenAwayLeaveTheirTasksToOthers(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	var id string
	t.Run("with kie, which has no credits", func(t *testing.T) { //nolint:paralleltest // The second start follows it.
		ts := startService(t, func(f *serviceFlags, c *simConfig) {
			f.DatabaseURL, c.Credits = secret(database), -1
			f.Luma.APIKeys = []secret{"luma=" + testAPIKey}
		})
		id = ts.submit(t, "", at(kie.Name)).GetId()
		ts.await(t, id, func(e *refractv1.TaskEvent) bool {
			return e.GetRevision() > 1 && e.GetState() == refractv1.TaskState_TASK_STATE_QUEUED
		})
		// It may go to luma, too, from now on.
		if _, err := ts.pool.Exec(t.Context(), `UPDATE task SET route = '{kie,luma}', fallbacks = '{luma}'`); err != nil {
			t.Fatal(err)
		}
	})
	ts := startService(t, func(f *serviceFlags, c *simConfig) {
		everyProvider(f, c)
		f.DatabaseURL, f.KIE = secret(database), upstreamFlags{}
	})
	if last := ts.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED at luma", last)
	}
}

// TestProviderFlags_MakeAccounts parses what operators write.
func TestProviderFlags_MakeAccounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		flags providerFlags
		want  string // The names of the accounts, or a part of the error.
	}{
		{"one key", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k"}}}, "kie"},
		{"a key that ends like Base64", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"abc="}}}, "kie"},
		{"two accounts", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k", "kie-eu=l"}}}, "kie kie-eu"},
		{"two keys without a name", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"hunter2", "l"}}}, "a name of its own"},
		{"one key under two names", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"hunter2", "kie-eu=hunter2"}}}, "two accounts have two keys"},
		{"a name of another provider", providerFlags{Luma: upstreamFlags{APIKeys: []secret{"luma-agents=hunter2"}}}, "not with another provider's"},
		{"a name of no provider", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"eu=hunter2"}}}, "begins with the provider's"},
		{"a webhook key of nobody", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k"}, WebhookKeys: []secret{"kie-eu=hunter2"}}}, "no API key"},
		{"a webhook key for a provider that does not sign", providerFlags{Luma: upstreamFlags{APIKeys: []secret{"k"}, WebhookKeys: []secret{"hunter2"}}}, "does not sign"},
		{"a limit that is none", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k"}, Limits: []string{"18 per 10 s"}}}, "18/10s/100"},
		{"a limit of nothing", providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k"}, Limits: []string{"0/10s/100"}}}, "positive"},
		{"a route twice over one provider", providerFlags{Route: []string{"kie", "kie"}, KIE: upstreamFlags{APIKeys: []secret{"k"}}}, "twice"},
		{"a route over a provider without a key", providerFlags{Route: []string{"luma"}, KIE: upstreamFlags{APIKeys: []secret{"k"}}}, "no API key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			accounts, _, err := tc.flags.openAccounts()
			if err == nil && strings.Join(accounts.Names(), " ") != tc.want || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want %q", accounts.Names(), err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
	f := providerFlags{KIE: upstreamFlags{APIKeys: []secret{"k", "kie-eu=l"}, Limits: []string{"kie-eu=5/1m/7"}}}
	accounts, _, err := f.openAccounts()
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

// asked returns how many questions the provider has answered or refused.
func asked(provider *sim.Server) int {
	queries := provider.Limits().Queries
	if len(queries) == 0 {
		return 0
	}
	return queries[0].Accepted + queries[0].Refused
}

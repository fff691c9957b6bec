package e2e_test

import (
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestUnsignedCallback_CantGiveAnAttemptAForeignID posts a callback about an attempt whose answer was lost, with a
// provider task id that does not exist. It does so right after the submission, when a provider may not know its own
// tasks yet. The genuine callbacks come after the provider was asked about that id.
//
// It fails when age (internal/dispatch/check.go) excuses a provider that does not know the id of a hint.
func TestUnsignedCallback_CantGiveAnAttemptAForeignID(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	ts := startService(t, func(f *server.Config, c *simConfig) {
		everyProvider(f, c)
		f.CallbackURL, c.Luma.CallbackAttempts = g.url, 2000
	})
	g.to(ts)
	id := ts.submit(t, "[sim:drop-after]", at(luma.Name)).GetId()
	ts.await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.sim.Ledger()[0]
	status, _, answer := request(t, "POST", strings.Replace(entry.CallbackURL, g.url, "http://"+ts.IngressAddr(), 1),
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

// TestAccounts_OneBlockedLeavesTheWorkToTheOther configures a provider with a wrong key and a good one.
func TestAccounts_OneBlockedLeavesTheWorkToTheOther(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *server.Config, c *simConfig) {
		everyProvider(f, c)
		f.KIE.APIKeys = []redact.Secret{"wrong-key", "kie-2=" + testAPIKey}
		f.KIE.WebhookKeys = []redact.Secret{testWebhookKey, "kie-2=" + testWebhookKey}
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
	if paid := sim.CountPaid(ts.sim.Ledger(), sim.ByProfile); paid[simkie.Name] != 4 {
		t.Errorf("paid %v, want all 4 at kie", paid)
	}
}

// TestProviders_TakenAwayLeaveTheirTasksToOthers restarts the service without the provider for which a task waits.
func TestProviders_TakenAwayLeaveTheirTasksToOthers(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	var id string
	t.Run("with kie, which has no credits", func(t *testing.T) { //nolint:paralleltest // The second start follows it.
		ts := startService(t, func(f *server.Config, c *simConfig) {
			f.DatabaseURL, c.Credits = redact.Secret(database), -1
			f.Luma.APIKeys = []redact.Secret{"luma=" + testAPIKey}
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
	ts := startService(t, func(f *server.Config, c *simConfig) {
		everyProvider(f, c)
		f.DatabaseURL, f.KIE = redact.Secret(database), server.Upstream{}
	})
	if last := ts.end(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED at luma", last)
	}
}

// asked returns how many queries the provider has answered or refused.
func asked(provider *sim.Server) int {
	queries := provider.Limits().Queries
	if len(queries) == 0 {
		return 0
	}
	return queries[0].Accepted + queries[0].Refused
}

package operation_test

import (
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
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
	g := e2etest.StartGate(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.CallbackURL, c.Luma.CallbackAttempts = g.URL, 2000
	})
	g.To(ts)
	id := ts.Submit(t, "[sim:drop-after]", e2etest.At(luma.Name)).GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	status, _, answer := e2etest.Request(t, "POST", strings.Replace(entry.CallbackURL, g.URL, "http://"+ts.IngressAddr(), 1),
		`{"id":"00000000-dead-4eef-8000-000000000000","state":"dreaming"}`)
	if status != 200 {
		t.Fatalf("answered %d %s, want 200", status, answer)
	}
	e2etest.Eventually(t, "the provider to be asked about it", func() bool { return e2etest.Queries(ts.Sim) > 0 })
	g.Open.Store(true)
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED by the genuine callback", last)
	}
	if got := ts.Get(t, id).GetAttempt().GetProviderTaskId(); got != entry.TaskID {
		t.Errorf("the attempt has provider task id %q, want %q", got, entry.TaskID)
	}
}

// TestAccounts_OneBlockedLeavesTheWorkToTheOther configures a provider with a wrong key and a good one.
func TestAccounts_OneBlockedLeavesTheWorkToTheOther(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.KIE.APIKeys = []redact.Secret{"wrong-key", "kie-2=" + e2etest.APIKey}
		f.KIE.WebhookKeys = []redact.Secret{e2etest.WebhookKey, "kie-2=" + e2etest.WebhookKey}
	})
	var ids []string
	for range 4 {
		ids = append(ids, ts.Submit(t, "", e2etest.At(kie.Name, luma.Name)).GetId())
	}
	for _, id := range ids {
		if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Errorf("ended %v, want SUCCEEDED", last)
		}
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByProfile); paid[simkie.Name] != 4 {
		t.Errorf("paid %v, want all 4 at kie", paid)
	}
}

// TestProviders_TakenAwayLeaveTheirTasksToOthers restarts the service without the provider for which a task waits.
func TestProviders_TakenAwayLeaveTheirTasksToOthers(t *testing.T) {
	t.Parallel()
	database := e2etest.FewConnections(postgrestest.URL(t))
	var id string
	t.Run("with kie, which has no credits", func(t *testing.T) { //nolint:paralleltest // The second start follows it.
		ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
			f.DatabaseURL, c.Credits = redact.Secret(database), -1
			f.Luma.APIKeys = []redact.Secret{"luma=" + e2etest.APIKey}
		})
		id = ts.Submit(t, "", e2etest.At(kie.Name)).GetId()
		ts.Await(t, id, func(e *refractv1.TaskEvent) bool {
			return e.GetRevision() > 1 && e.GetState() == refractv1.TaskState_TASK_STATE_QUEUED
		})
		// It may go to luma, too, from now on.
		if _, err := ts.Pool.Exec(t.Context(), `UPDATE task SET route = '{kie,luma}', fallbacks = '{luma}'`); err != nil {
			t.Fatal(err)
		}
	})
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.Luma.APIKeys = []redact.Secret{"luma=" + e2etest.APIKey}
		f.DatabaseURL, f.KIE = redact.Secret(database), server.Upstream{}
	})
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED at luma", last)
	}
}

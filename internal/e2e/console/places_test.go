//go:build browser

package console_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
)

// place is a page of a populated site.
type place struct {
	name    string // As in names of files.
	visitor visitor
	path    string
}

// populated is a site with data on every page, and its pages.
type populated struct {
	*site
	places []place
}

// populate starts a site with tasks in several states, a webhook endpoint with deliveries, callbacks, tenants and audit events.
func populate(t *testing.T) *populated {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(receiver.Close)
	s := start(t, func(cfg *server.Config, _ *simConfig) { cfg.KIE.Limits = []string{"20/10s/3"} })
	endpoint := s.endpoint(t, operator, receiver.URL+"/events")
	s.endpoint(t, operator, receiver.URL+"/broken")
	label := func(req *refractv1.SubmitTaskRequest) {
		req.Labels = map[string]string{"project": "spring", "shot": "12a"}
	}
	done := s.submit(t, operator, "A neon city at dusk, in the rain", label)
	broken := s.submit(t, operator, "A forest of glass [sim:fail,reason=The+prompt+shows+too+little+change]")
	s.await(t, operator, done.GetId(), succeeded)
	s.await(t, operator, broken.GetId(), failed)
	runs := s.submit(t, operator, "A watercolour of the harbour in the morning [sim:processing=1h]", label)
	s.await(t, operator, runs.GetId(), running)
	ended := s.submit(t, operator, "Snow on the roofs [sim:processing=1h]")
	if _, err := s.tasks.CancelTask(s.ctx(t, operator), &refractv1.CancelTaskRequest{TaskId: ended.GetId()}); err != nil {
		t.Fatal(err)
	}
	s.submit(t, acme, "Autumn leaves instead of snow [sim:processing=1h]")
	s.pauseKie(t, "the invoice is unpaid")
	waits := s.submit(t, operator, "A desert under two moons")
	deliveries, err := s.webhooks.ListWebhookDeliveries(s.ctx(t, operator), &refractv1.ListWebhookDeliveriesRequest{EndpointId: endpoint.GetId()})
	if err != nil || len(deliveries.GetDeliveries()) == 0 {
		t.Fatalf("no delivery: %v", err)
	}
	callbacks, err := s.operators.ListCallbacks(s.ctx(t, operator), &refractv1.ListCallbacksRequest{})
	if err != nil || len(callbacks.GetCallbacks()) == 0 {
		t.Fatalf("no callback: %v", err)
	}
	hook := "/webhooks/" + endpoint.GetId()
	p := &populated{site: s}
	for _, at := range []struct{ name, path string }{
		{"tasks", "/tasks"},
		{"tasks-filtered", "/tasks?state=SUCCEEDED&label=project%3Dspring"},
		{"tasks-empty", "/tasks?text=nothing-has-this"},
		{"task-succeeded", "/tasks/" + done.GetId()},
		{"task-failed", "/tasks/" + broken.GetId()},
		{"task-running", "/tasks/" + runs.GetId()},
		{"task-canceled", "/tasks/" + ended.GetId()},
		{"task-waiting", "/tasks/" + waits.GetId()},
		{"submit", "/submit"},
		{"submit-form", "/submit?model=luma/ray-2-modify"},
		{"overview", "/overview"},
		{"webhooks", "/webhooks"},
		{"webhook", hook},
		{"webhook-new", "/webhooks/new"},
		{"webhook-edit", hook + "/edit"},
		{"webhook-rotate", hook + "/rotate"},
		{"webhook-delete", hook + "/delete"},
		{"webhook-redeliver", hook + "/redeliver"},
		{"webhook-redeliver-none", hook + "/redeliver?since="},
		{"delivery", hook + "/deliveries/" + deliveries.GetDeliveries()[0].GetEventId()},
		{"providers", "/providers"},
		{"offering-close", "/providers/offerings/close?model=luma/ray-2-modify&provider=kie"},
		{"inbox", "/inbox"},
		{"callback", "/inbox/" + callbacks.GetCallbacks()[0].GetId()},
		{"tenants", "/tenants"},
		{"tenant", "/tenants/acme"},
		{"tokens", "/tokens"},
		{"token-revoke", "/tokens/" + s.tokenID(t, acme) + "/revoke?tenant=acme"},
		{"audit", "/audit"},
		{"not-found", "/nothing"},
	} {
		p.places = append(p.places, place{at.name, operator, at.path})
	}
	p.places = append(p.places, place{"login", stranger, "/login"}, place{"tasks-of-a-tenant", acme, "/tasks"}, place{"tasks-none", other, "/tasks"},
		place{"overview-none", other, "/overview"}, place{"webhooks-none", other, "/webhooks"})
	return p
}

// tokenID returns the id of the API token of a visitor.
func (s *site) tokenID(t *testing.T, v visitor) string {
	t.Helper()
	resp, err := s.operators.ListAPITokens(s.ctx(t, operator), &refractv1.ListAPITokensRequest{Tenant: string(v)})
	if err != nil || len(resp.GetTokens()) != 1 {
		t.Fatalf("the tokens of %s: %v, %v; want one", v, resp, err)
	}
	return resp.GetTokens()[0].GetId()
}

// endpoint creates a webhook endpoint of a visitor.
func (s *site) endpoint(t *testing.T, v visitor, url string) *refractv1.WebhookEndpoint {
	t.Helper()
	resp, err := s.webhooks.CreateWebhookEndpoint(s.ctx(t, v), &refractv1.CreateWebhookEndpointRequest{Url: url})
	if err != nil {
		t.Fatalf("create a webhook endpoint: %v", err)
	}
	return resp.GetEndpoint()
}

// pauseKie pauses the account at kie.ai.
func (s *site) pauseKie(t *testing.T, reason string) {
	t.Helper()
	if _, err := s.operators.PauseProvider(s.ctx(t, operator), &refractv1.PauseProviderRequest{Account: "kie", Reason: reason}); err != nil {
		t.Fatal(err)
	}
}

// resumeKie resumes the account at kie.ai.
func (s *site) resumeKie(t *testing.T) {
	t.Helper()
	if _, err := s.operators.ResumeProvider(s.ctx(t, operator), &refractv1.ResumeProviderRequest{Account: "kie"}); err != nil {
		t.Fatal(err)
	}
}

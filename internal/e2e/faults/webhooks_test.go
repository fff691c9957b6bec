package faults_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/postgres/credentials"
)

// webhooks are the endpoints of a fleet's tenants, all at one receiver.
type webhooks struct {
	*receiver.Receiver
	endpoints []audit.Endpoint
	secrets   []string
	calm      atomic.Bool // Whether the receiver accepts everything.
}

// createTokens creates an API token for each tenant.
func createTokens(t *testing.T, databaseURL string, tenants []string) map[string]string {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal("open the database")
	}
	defer pool.Close()
	tokens := map[string]string{}
	for _, tenant := range tenants {
		_, token, err := credentials.NewAPITokens(pool).Issue(t.Context(), tenant, false)
		if err != nil {
			t.Fatal(err)
		}
		tokens[tenant] = token
	}
	return tokens
}

// as returns a context whose calls are those of a tenant.
func (f *fleet) as(ctx context.Context, tenant string) context.Context {
	if len(f.cfg.tenants) == 0 {
		return ctx // Every caller is the same tenant.
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+f.tokens[tenant])
}

// asOwner returns a context whose calls are those of the tenant that submitted a task.
func (f *fleet) asOwner(ctx context.Context, id string) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.as(ctx, f.owners[id])
}

// terminalStates are the states whose events an endpoint gets unless it names others.
var terminalStates = []string{"SUCCEEDED", "FAILED", "CANCELED"}

// subscribe creates the endpoints of all tenants: one for all events, one for the ends of tasks, and one for tasks with a URI of their own.
// The receiver misbehaves at random until it is calm, or not at all if random is nil.
func (f *fleet) subscribe(ctx context.Context, random *rand.Rand) {
	f.t.Helper()
	f.hooks = &webhooks{Receiver: receiver.Start(f.t)} //nolint:contextcheck // It ends with the test.
	if random != nil {
		f.hooks.misbehave(random)
	}
	client := refractv1.NewWebhookServiceClient(f.connect())
	for _, tenant := range f.cfg.tenants {
		every := &refractv1.CreateWebhookEndpointRequest{Url: f.hooks.URL(tenant + "-all")}
		all := audit.Endpoint{Name: tenant + "-all", Tenant: tenant}
		for n, name := range refractv1.WebhookEventType_name {
			if n != 0 {
				every.EventTypes = append(every.EventTypes, refractv1.WebhookEventType(n))
				all.States = append(all.States, strings.TrimPrefix(name, "WEBHOOK_EVENT_TYPE_TASK_"))
			}
		}
		ends := audit.Endpoint{Name: tenant + "-ends", Tenant: tenant, States: terminalStates}
		own := audit.Endpoint{Name: tenant + "-own", Tenant: tenant, States: terminalStates, URI: f.ownURI(tenant)}
		for _, e := range []struct {
			endpoint audit.Endpoint
			req      *refractv1.CreateWebhookEndpointRequest
		}{
			{all, every},
			{ends, &refractv1.CreateWebhookEndpointRequest{Url: f.hooks.URL(ends.Name)}},
			{own, &refractv1.CreateWebhookEndpointRequest{}},
		} {
			resp, err := client.CreateWebhookEndpoint(f.as(ctx, tenant), e.req, grpc.WaitForReady(true))
			if err != nil {
				f.t.Fatalf("create the endpoint %s: %v", e.endpoint.Name, err)
			}
			f.hooks.Trust(e.endpoint.Name, resp.GetSecret())
			f.hooks.secrets = append(f.hooks.secrets, resp.GetSecret())
			f.hooks.endpoints = append(f.hooks.endpoints, e.endpoint)
		}
	}
}

// ownURI returns the webhook_uri of a tenant's tasks that have one.
func (f *fleet) ownURI(tenant string) string { return f.hooks.URL(tenant + "-own") }

// misbehaviors are what a receiver does with requests. Those that keep the sender waiting are rare.
var misbehaviors = slices.Concat(
	slices.Repeat([]receiver.Behavior{
		receiver.Drop, receiver.DropAnswer, receiver.CutRequest, receiver.CutAnswer, receiver.Status(http.StatusInternalServerError),
		receiver.Redirect(http.StatusFound), receiver.Redirect(http.StatusPermanentRedirect), receiver.RetryAfter(http.StatusTooManyRequests, 1),
		receiver.RetryAfter(http.StatusServiceUnavailable, 1), receiver.Status(http.StatusNotFound),
	}, 2),
	[]receiver.Behavior{receiver.Stall, receiver.Drip, receiver.DripBody},
)

const (
	// outageEvery is after how many requests of an endpoint an outage begins, in which outage requests in a row are answered 500.
	outageEvery, outage = 25, 8
	// mostRefusals is how many requests with an event are not accepted at most, so that no delivery uses up its attempts.
	mostRefusals = 4
)

// misbehave makes the receiver treat requests at random: about a third of those that come for the first time, and fewer of those that come
// again.
func (h *webhooks) misbehave(random *rand.Rand) {
	requests := map[string]int{} // By endpoint.
	h.Behave(func(q receiver.Request) receiver.Behavior {
		requests[q.Endpoint]++
		switch {
		case h.calm.Load() || q.Nth >= mostRefusals:
			return receiver.Accept
		case requests[q.Endpoint]%outageEvery < outage && requests[q.Endpoint] > outageEvery:
			return receiver.Status(http.StatusInternalServerError)
		case random.IntN(3+q.Nth) == 0:
			return misbehaviors[random.IntN(len(misbehaviors))]
		default:
			return receiver.Accept
		}
	})
}

// receptions returns what reached the endpoints.
func (h *webhooks) receptions() []audit.Reception {
	var all []audit.Reception
	for _, q := range h.Requests("") {
		all = append(all, audit.Reception{
			Endpoint: q.Endpoint, EventID: q.EventID, Body: q.Body, Signed: len(q.Secrets) == 1, Accepted: q.Accepted(),
			Arrived: q.Arrived, Answered: q.Answered, Behavior: q.Behavior,
		})
	}
	return all
}

// randomOf returns the random choices of a receiver in a run with a seed.
func randomOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }

package e2etest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
)

// Hooks are the webhook endpoints of tenants, all at one receiver.
type Hooks struct {
	*receiver.Receiver
	Subscriptions []*Subscription
}

// Subscription is an endpoint, and what must reach it.
type Subscription struct {
	*Service // With the token of the tenant.
	refractv1.WebhookServiceClient
	*receiver.Receiver

	Name   string // Of the endpoint at the receiver.
	tenant string
	ID     string // Of the endpoint.
	Secret string // That signs its events.
	states []string
	labels map[string]string
	own    bool // Whether it is for the tasks that have the receiver's URL as their own.
}

// StartHooks starts the receiver of the endpoints. The end of the test stops it.
func StartHooks(t *testing.T) *Hooks {
	t.Helper()
	return &Hooks{Receiver: receiver.Start(t)}
}

// terminalStates are the states whose events an endpoint gets unless it names others.
var terminalStates = []string{"SUCCEEDED", "FAILED", "CANCELED"}

// Subscribe creates an endpoint of a tenant, whose token the service has.
func (h *Hooks) Subscribe(t *testing.T, ts *Service, tenant, name string, amend ...func(*refractv1.CreateWebhookEndpointRequest)) *Subscription {
	t.Helper()
	s := &Subscription{
		Service: ts, WebhookServiceClient: refractv1.NewWebhookServiceClient(Dial(t, ts.GRPCAddr())), Receiver: h.Receiver, Name: name, tenant: tenant,
	}
	req := &refractv1.CreateWebhookEndpointRequest{Url: h.URL(name)}
	for _, f := range amend {
		f(req)
	}
	resp, err := s.CreateWebhookEndpoint(ts.Ctx(t), req)
	if err != nil {
		t.Fatalf("create the endpoint %s: %v", name, err)
	}
	s.ID, s.Secret, s.labels, s.own = resp.GetEndpoint().GetId(), resp.GetSecret(), req.GetLabels(), req.GetUrl() == ""
	s.states = terminalStates
	if types := req.GetEventTypes(); len(types) > 0 {
		s.states = nil
		for _, e := range types {
			s.states = append(s.states, strings.TrimPrefix(e.String(), "WEBHOOK_EVENT_TYPE_TASK_"))
		}
	}
	h.Trust(name, s.Secret)
	h.Subscriptions = append(h.Subscriptions, s)
	return s
}

// EveryType subscribes to all types of events.
func EveryType(r *refractv1.CreateWebhookEndpointRequest) {
	for e := range refractv1.WebhookEventType_name {
		if e != 0 {
			r.EventTypes = append(r.EventTypes, refractv1.WebhookEventType(e))
		}
	}
	slices.Sort(r.EventTypes)
}

// ForOwnURIs makes the endpoint that of the tasks with a URI of their own.
func ForOwnURIs(r *refractv1.CreateWebhookEndpointRequest) { r.Url = "" }

// WithWebhookURI gives a task a webhook URI of its own.
func WithWebhookURI(uri string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = uri }
}

// Labelled gives a task labels.
func Labelled(labels map[string]string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) { r.Labels = labels }
}

// Change is an event of a task, as the database has it.
type Change struct {
	Task     string
	Revision int64
	State    string
	Created  time.Time
	Tenant   string
	Labels   map[string]string
	URI      string
}

// ID returns the id of the event.
func (c Change) ID() string { return fmt.Sprintf("evt_%s_%d", c.Task, c.Revision) }

// Changes returns all events of all tasks, those of a task in order.
func (ts *Service) Changes(t *testing.T) []Change {
	t.Helper()
	rows, err := ts.Pool.Query(t.Context(), `
		SELECT task.id::text, task_event.revision, task_event.state, task_event.create_time, task.tenant, task.labels, task.webhook_uri
		FROM task_event JOIN task ON task.id = task_event.task_id
		ORDER BY task.id, task_event.revision`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Change])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Change returns the event with an id.
func (ts *Service) Change(t *testing.T, id string) Change {
	t.Helper()
	changes := ts.Changes(t)
	i := slices.IndexFunc(changes, func(c Change) bool { return c.ID() == id })
	if i < 0 {
		t.Fatalf("the database has no event %s", id)
	}
	return changes[i]
}

// wants reports whether an event must reach the endpoint.
func (s *Subscription) wants(c Change) bool {
	for key, value := range s.labels {
		if c.Labels[key] != value {
			return false
		}
	}
	return c.Tenant == s.tenant && slices.Contains(s.states, c.State) && (!s.own || c.URI == s.URL(s.Name))
}

// Wanted returns how many events must reach endpoints, each counted at each endpoint.
func (h *Hooks) Wanted(t *testing.T) int {
	t.Helper()
	n := 0
	for _, c := range h.Subscriptions[0].Changes(t) {
		for _, s := range h.Subscriptions {
			if s.wants(c) {
				n++
			}
		}
	}
	return n
}

// AwaitEvent waits until the endpoint has accepted an event, and returns the newest request with it.
func (s *Subscription) AwaitEvent(t *testing.T, event string) receiver.Request {
	t.Helper()
	return s.AwaitRequest(t, "event "+event, func(q receiver.Request) bool { return q.EventID == event && q.Accepted() })
}

// AwaitRequest waits until the endpoint has read and answered a request, and returns the newest one. A request is recorded before its
// body is read, so the condition sees only those that were answered.
func (s *Subscription) AwaitRequest(t *testing.T, what string, is func(receiver.Request) bool) receiver.Request {
	t.Helper()
	var found receiver.Request
	err := s.Receiver.Await(s.Ctx(t), func() bool {
		for _, q := range s.Requests(s.Name) {
			if q.Answered > 0 && is(q) {
				found = q
			}
		}
		return found.Arrived > 0
	})
	if err != nil {
		t.Fatalf("%s does not arrive at %s: %v", what, s.Name, err)
	}
	return found
}

// Delivered waits until nothing is pending for the endpoints. With hurry, the next attempts are due at once.
func (h *Hooks) Delivered(t *testing.T, hurry bool) {
	t.Helper()
	pool := h.Subscriptions[0].Pool
	var ids []string
	for _, s := range h.Subscriptions {
		ids = append(ids, s.ID)
	}
	Eventually(t, "every event to be delivered", func() bool {
		if hurry {
			Pass(t, h.Subscriptions...)
		}
		return postgrestest.Value[int](t, pool, `SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING' AND endpoint_id::text = ANY ($1)`, ids) == 0
	})
}

// Pass lets the time pass until the next attempts of endpoints, and until the ends of their pauses.
func Pass(t *testing.T, subscriptions ...*Subscription) {
	t.Helper()
	for _, s := range subscriptions {
		postgrestest.Exec(t, s.Pool, `UPDATE webhook_delivery SET next_attempt_time = now() WHERE endpoint_id = $1 AND state = 'PENDING' AND lease_time IS NULL`, s.ID)
		postgrestest.Exec(t, s.Pool, `UPDATE webhook_endpoint SET paused_until = now() WHERE id = $1 AND paused_until IS NOT NULL`, s.ID)
	}
}

// Check compares what reached the endpoints with the events of the database. Each event must be accepted by each subscribed endpoint, in
// the order of its task, signed with the secret of the endpoint alone, and nothing else may arrive.
func (h *Hooks) Check(t *testing.T) {
	t.Helper()
	changes := h.Subscriptions[0].Changes(t)
	for _, s := range h.Subscriptions {
		first, accepted := map[string]receiver.Request{}, map[string]receiver.Request{}
		for _, q := range h.Requests(s.Name) {
			if _, again := first[q.EventID]; !again {
				first[q.EventID] = q
			}
			if _, again := accepted[q.EventID]; !again && q.Accepted() {
				accepted[q.EventID] = q
			}
			if q.Body == nil {
				continue // It was cut off.
			}
			if !slices.Equal(q.Secrets, []string{s.Secret}) {
				t.Errorf("%s: a request with %s is signed by %d of the endpoint's secrets, want one", s.Name, q.EventID, len(q.Secrets))
			}
			i := slices.IndexFunc(changes, func(c Change) bool { return c.ID() == q.EventID })
			if i < 0 || !s.wants(changes[i]) {
				t.Errorf("%s: %s is not for this endpoint: %s", s.Name, q.EventID, q.Body)
				continue
			}
			s.CheckRequest(t, q, changes[i])
		}
		before := map[string]receiver.Request{} // By task, the event before.
		for _, c := range changes {
			if !s.wants(c) {
				continue
			}
			q, ok := accepted[c.ID()]
			if !ok {
				t.Errorf("%s: %s with the state %s was not accepted", s.Name, c.ID(), c.State)
				continue
			}
			if b, ok := before[c.Task]; ok && first[c.ID()].Arrived < b.Answered {
				t.Errorf("%s: %s arrived before %s was accepted", s.Name, c.ID(), b.EventID)
			}
			before[c.Task] = q
		}
	}
	if n := h.Trap.Connections(); n > 0 {
		t.Errorf("%d connections followed a redirect", n)
	}
}

// CheckRequest compares one request with its event.
func (s *Subscription) CheckRequest(t *testing.T, q receiver.Request, c Change) {
	t.Helper()
	e := EventOf(t, q)
	if e.Type != "task."+strings.ToLower(c.State) || !e.Timestamp.Equal(c.Created) {
		t.Errorf("%s: %s has the type %s and the time %s, want task.%s at %s", s.Name, q.EventID, e.Type, e.Timestamp, strings.ToLower(c.State), c.Created)
	}
	if e.Task.GetId() != c.Task || e.Task.GetRevision() != c.Revision || StateName(e.Task.GetState()) != c.State || !maps.Equal(e.Task.GetLabels(), c.Labels) {
		t.Errorf("%s: %s shows %v, want revision %d, %s", s.Name, q.EventID, e.Task, c.Revision, c.State)
	}
	if (len(e.Task.GetOutputs()) > 0) != (c.State == "SUCCEEDED") || (e.Task.GetFailure() != nil) != (c.State == "FAILED") {
		t.Errorf("%s: %s with the state %s shows %v", s.Name, q.EventID, c.State, e.Task)
	}
	if len(q.Body) > 64<<10 || !strings.HasPrefix(q.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: %s has %d bytes of %s", s.Name, q.EventID, len(q.Body), q.Header.Get("Content-Type"))
	}
	for _, secret := range []string{s.Token, s.Secret, APIKey, WebhookKey, "/v1/callbacks/"} {
		if strings.Contains(string(q.Body), secret) {
			t.Errorf("%s: %s contains a secret: %s", s.Name, q.EventID, q.Body)
		}
	}
}

// Event is the body of a request.
type Event struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`

	Task *refractv1.Task // Data.
}

// EventOf reads the body of a request.
func EventOf(t *testing.T, q receiver.Request) Event {
	t.Helper()
	e := Event{Task: &refractv1.Task{}}
	if err := json.Unmarshal(q.Body, &e); err != nil {
		t.Fatalf("the body of %s: %v\n%s", q.EventID, err, q.Body)
	}
	if err := protojson.Unmarshal(e.Data, e.Task); err != nil {
		t.Fatalf("the task of %s: %v\n%s", q.EventID, err, q.Body)
	}
	return e
}

// CheckLinks downloads the outputs that a request names, as its receiver would.
func (s *Subscription) CheckLinks(t *testing.T, q receiver.Request) {
	t.Helper()
	task := EventOf(t, q).Task
	if len(task.GetOutputs()) == 0 {
		t.Errorf("%s names no output: %s", q.EventID, q.Body)
	}
	for i, o := range task.GetOutputs() {
		clip := string(sim.ResultClip(task.GetAttempt().GetProviderTaskId(), i))
		if status, _, body := Request(t, http.MethodGet, o.GetSignedUri(), ""); status != http.StatusOK || string(body) != clip {
			t.Errorf("the link to output %d of %s gave %d with %d bytes, want the clip", i, q.EventID, status, len(body))
		}
		if status, _, body := Request(t, http.MethodGet, o.GetDownloadUri(), "", "Authorization", "Bearer "+s.Token); status != http.StatusOK || string(body) != clip {
			t.Errorf("the download of output %d of %s gave %d with %d bytes, want the clip", i, q.EventID, status, len(body))
		}
	}
}

// DeliverTo runs a task and waits until its event has arrived at an endpoint of the tenant.
func (ts *Service) DeliverTo(t *testing.T, h *Hooks, tenant string) {
	t.Helper()
	if len(h.Subscriptions) == 0 {
		h.Subscribe(t, ts, tenant, tenant)
	}
	id := ts.Submit(t, "[sim:processing=500ms]").GetId() // Meanwhile others take all the slots that they may have.
	q := h.Subscriptions[0].AwaitEvent(t, fmt.Sprintf("evt_%s_%d", id, ts.End(t, id).GetRevision()))
	if e := EventOf(t, q); e.Type != "task.succeeded" || e.Task.GetId() != id || len(q.Secrets) != 1 {
		t.Errorf("%s arrived, signed with %d secrets: %s", q.EventID, len(q.Secrets), q.Body)
	}
}

// Redeliver asks for an event to be sent again to the endpoint.
func (s *Subscription) Redeliver(t *testing.T, event string) {
	t.Helper()
	resp, err := s.RedeliverWebhooks(s.Ctx(t), &refractv1.RedeliverWebhooksRequest{
		Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: s.ID, EventId: event}},
	})
	if err != nil || resp.GetDeliveries() != 1 {
		t.Fatalf("send %s again: %v, %v", event, resp, err)
	}
}

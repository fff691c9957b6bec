package e2e_test

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
	"github.com/refract-video/refract/internal/sim"
)

// hooks are the webhook endpoints of tenants, all at one receiver.
type hooks struct {
	*receiver.Receiver
	subscriptions []*subscription
}

// subscription is an endpoint, and what must reach it.
type subscription struct {
	*testService // With the token of the tenant.
	refractv1.WebhookServiceClient
	*receiver.Receiver

	name   string // Of the endpoint at the receiver.
	tenant string
	id     string
	secret string
	states []string
	labels map[string]string
	own    bool // Whether it is for the tasks that have the receiver's URL as their own.
}

func startHooks(t *testing.T) *hooks {
	t.Helper()
	return &hooks{Receiver: receiver.Start(t)}
}

// terminalStates are the states whose events an endpoint gets unless it names others.
var terminalStates = []string{"SUCCEEDED", "FAILED", "CANCELED"}

// subscribe creates an endpoint of a tenant, whose token the service has.
func (h *hooks) subscribe(t *testing.T, ts *testService, tenant, name string, amend ...func(*refractv1.CreateWebhookEndpointRequest)) *subscription {
	t.Helper()
	s := &subscription{
		testService: ts, WebhookServiceClient: refractv1.NewWebhookServiceClient(dial(t, ts.GRPCAddr())), Receiver: h.Receiver, name: name, tenant: tenant,
	}
	req := &refractv1.CreateWebhookEndpointRequest{Url: h.URL(name)}
	for _, f := range amend {
		f(req)
	}
	resp, err := s.CreateWebhookEndpoint(ts.ctx(t), req)
	if err != nil {
		t.Fatalf("create the endpoint %s: %v", name, err)
	}
	s.id, s.secret, s.labels, s.own = resp.GetEndpoint().GetId(), resp.GetSecret(), req.GetLabels(), req.GetUrl() == ""
	s.states = terminalStates
	if types := req.GetEventTypes(); len(types) > 0 {
		s.states = nil
		for _, e := range types {
			s.states = append(s.states, strings.TrimPrefix(e.String(), "WEBHOOK_EVENT_TYPE_TASK_"))
		}
	}
	h.Trust(name, s.secret)
	h.subscriptions = append(h.subscriptions, s)
	return s
}

// everyType subscribes to all types of events.
func everyType(r *refractv1.CreateWebhookEndpointRequest) {
	for e := range refractv1.WebhookEventType_name {
		if e != 0 {
			r.EventTypes = append(r.EventTypes, refractv1.WebhookEventType(e))
		}
	}
	slices.Sort(r.EventTypes)
}

// forOwnURIs makes the endpoint that of the tasks with a URI of their own.
func forOwnURIs(r *refractv1.CreateWebhookEndpointRequest) { r.Url = "" }

// sentTo gives a task a webhook URI of its own.
func sentTo(uri string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = uri }
}

// labelled gives a task labels.
func labelled(labels map[string]string) func(*refractv1.SubmitTaskRequest) {
	return func(r *refractv1.SubmitTaskRequest) { r.Labels = labels }
}

// change is an event of a task, as the database has it.
type change struct {
	Task     string
	Revision int64
	State    string
	Created  time.Time
	Tenant   string
	Labels   map[string]string
	URI      string
}

// id returns the id of the event.
func (c change) id() string { return fmt.Sprintf("evt_%s_%d", c.Task, c.Revision) }

// changes returns all events of all tasks, those of a task in order.
func (ts *testService) changes(t *testing.T) []change {
	t.Helper()
	rows, err := ts.pool.Query(t.Context(), `
		SELECT task.id::text, task_event.revision, task_event.state, task_event.create_time, task.tenant, task.labels, task.webhook_uri
		FROM task_event JOIN task ON task.id = task_event.task_id
		ORDER BY task.id, task_event.revision`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wants reports whether an event must reach the endpoint.
func (s *subscription) wants(c change) bool {
	for key, value := range s.labels {
		if c.Labels[key] != value {
			return false
		}
	}
	return c.Tenant == s.tenant && slices.Contains(s.states, c.State) && (!s.own || c.URI == s.URL(s.name))
}

// wanted returns how many events must reach endpoints, each counted at each endpoint.
func (h *hooks) wanted(t *testing.T) int {
	t.Helper()
	n := 0
	for _, c := range h.subscriptions[0].changes(t) {
		for _, s := range h.subscriptions {
			if s.wants(c) {
				n++
			}
		}
	}
	return n
}

// awaitEvent waits until the endpoint has accepted an event, and returns the newest request with it.
func (s *subscription) awaitEvent(t *testing.T, event string) receiver.Request {
	t.Helper()
	return s.awaitRequest(t, "event "+event, func(q receiver.Request) bool { return q.EventID == event && q.Accepted() })
}

// awaitRequest waits until the endpoint has read and answered a request, and returns the newest one. A request is recorded before its
// body is read, so the condition sees only those that were answered.
func (s *subscription) awaitRequest(t *testing.T, what string, is func(receiver.Request) bool) receiver.Request {
	t.Helper()
	var found receiver.Request
	err := s.Await(s.ctx(t), func() bool {
		for _, q := range s.Requests(s.name) {
			if q.Answered > 0 && is(q) {
				found = q
			}
		}
		return found.Arrived > 0
	})
	if err != nil {
		t.Fatalf("%s does not arrive at %s: %v", what, s.name, err)
	}
	return found
}

// delivered waits until nothing is pending for the endpoints. With hurry, the next attempts are due at once.
func (h *hooks) delivered(t *testing.T, hurry bool) {
	t.Helper()
	pool := h.subscriptions[0].pool
	var ids []string
	for _, s := range h.subscriptions {
		ids = append(ids, s.id)
	}
	eventually(t, "every event to be delivered", func() bool {
		if hurry {
			pass(t, h.subscriptions...)
		}
		return ask[int](t, pool, `SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING' AND endpoint_id::text = ANY ($1)`, ids) == 0
	})
}

// pass lets the time pass until the next attempts of endpoints, and until the ends of their pauses.
func pass(t *testing.T, subscriptions ...*subscription) {
	t.Helper()
	for _, s := range subscriptions {
		do(t, s.pool, `UPDATE webhook_delivery SET next_attempt_time = now() WHERE endpoint_id = $1 AND state = 'PENDING' AND lease_time IS NULL`, s.id)
		do(t, s.pool, `UPDATE webhook_endpoint SET paused_until = now() WHERE id = $1 AND paused_until IS NOT NULL`, s.id)
	}
}

// check compares what reached the endpoints with the events of the database. Each event must be accepted by each subscribed endpoint, in
// the order of its task, signed with the secret of the endpoint alone, and nothing else may arrive.
func (h *hooks) check(t *testing.T) {
	t.Helper()
	changes := h.subscriptions[0].changes(t)
	for _, s := range h.subscriptions {
		first, accepted := map[string]receiver.Request{}, map[string]receiver.Request{}
		for _, q := range h.Requests(s.name) {
			if _, again := first[q.EventID]; !again {
				first[q.EventID] = q
			}
			if _, again := accepted[q.EventID]; !again && q.Accepted() {
				accepted[q.EventID] = q
			}
			if q.Body == nil {
				continue // It was cut off.
			}
			if !slices.Equal(q.Secrets, []string{s.secret}) {
				t.Errorf("%s: a request with %s is signed by %d of the endpoint's secrets, want one", s.name, q.EventID, len(q.Secrets))
			}
			i := slices.IndexFunc(changes, func(c change) bool { return c.id() == q.EventID })
			if i < 0 || !s.wants(changes[i]) {
				t.Errorf("%s: %s is not for this endpoint: %s", s.name, q.EventID, q.Body)
				continue
			}
			s.checkRequest(t, q, changes[i])
		}
		before := map[string]receiver.Request{} // By task, the event before.
		for _, c := range changes {
			if !s.wants(c) {
				continue
			}
			q, ok := accepted[c.id()]
			if !ok {
				t.Errorf("%s: %s with the state %s was not accepted", s.name, c.id(), c.State)
				continue
			}
			if b, ok := before[c.Task]; ok && first[c.id()].Arrived < b.Answered {
				t.Errorf("%s: %s arrived before %s was accepted", s.name, c.id(), b.EventID)
			}
			before[c.Task] = q
		}
	}
	if n := h.Trap.Connections(); n > 0 {
		t.Errorf("%d connections followed a redirect", n)
	}
}

// checkRequest compares one request with its event.
func (s *subscription) checkRequest(t *testing.T, q receiver.Request, c change) {
	t.Helper()
	e := eventOf(t, q)
	if e.Type != "task."+strings.ToLower(c.State) || !e.Timestamp.Equal(c.Created) {
		t.Errorf("%s: %s has the type %s and the time %s, want task.%s at %s", s.name, q.EventID, e.Type, e.Timestamp, strings.ToLower(c.State), c.Created)
	}
	if e.task.GetId() != c.Task || e.task.GetRevision() != c.Revision || stateName(e.task.GetState()) != c.State || !maps.Equal(e.task.GetLabels(), c.Labels) {
		t.Errorf("%s: %s shows %v, want revision %d, %s", s.name, q.EventID, e.task, c.Revision, c.State)
	}
	if (len(e.task.GetOutputs()) > 0) != (c.State == "SUCCEEDED") || (e.task.GetFailure() != nil) != (c.State == "FAILED") {
		t.Errorf("%s: %s with the state %s shows %v", s.name, q.EventID, c.State, e.task)
	}
	if len(q.Body) > 64<<10 || !strings.HasPrefix(q.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: %s has %d bytes of %s", s.name, q.EventID, len(q.Body), q.Header.Get("Content-Type"))
	}
	for _, secret := range []string{s.token, s.secret, testAPIKey, testWebhookKey, "/v1/callbacks/"} {
		if strings.Contains(string(q.Body), secret) {
			t.Errorf("%s: %s contains a secret: %s", s.name, q.EventID, q.Body)
		}
	}
}

// event is the body of a request.
type event struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`

	task *refractv1.Task // Data.
}

// eventOf reads the body of a request.
func eventOf(t *testing.T, q receiver.Request) event {
	t.Helper()
	e := event{task: &refractv1.Task{}}
	if err := json.Unmarshal(q.Body, &e); err != nil {
		t.Fatalf("the body of %s: %v\n%s", q.EventID, err, q.Body)
	}
	if err := protojson.Unmarshal(e.Data, e.task); err != nil {
		t.Fatalf("the task of %s: %v\n%s", q.EventID, err, q.Body)
	}
	return e
}

// checkLinks downloads the outputs that a request names, as its receiver would.
func (s *subscription) checkLinks(t *testing.T, q receiver.Request) {
	t.Helper()
	task := eventOf(t, q).task
	if len(task.GetOutputs()) == 0 {
		t.Errorf("%s names no output: %s", q.EventID, q.Body)
	}
	for i, o := range task.GetOutputs() {
		clip := string(sim.ResultClip(task.GetAttempt().GetProviderTaskId(), i))
		if status, _, body := request(t, http.MethodGet, o.GetSignedUri(), ""); status != http.StatusOK || string(body) != clip {
			t.Errorf("the link to output %d of %s gave %d with %d bytes, want the clip", i, q.EventID, status, len(body))
		}
		if status, _, body := request(t, http.MethodGet, o.GetDownloadUri(), "", "Authorization", "Bearer "+s.token); status != http.StatusOK || string(body) != clip {
			t.Errorf("the download of output %d of %s gave %d with %d bytes, want the clip", i, q.EventID, status, len(body))
		}
	}
}

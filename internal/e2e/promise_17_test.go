package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// pollInterval is how often the tests of webhooks ask the provider that never calls back.
const pollInterval = 300 * time.Millisecond

// TestPromise17_EveryEventReachesEverySubscribedEndpoint has one service, in which each subtest has tenants of its own.
//
// It fails when a change of a task writes no deliveries, when the events of a task are sent out of order, when a delivery ends before its
// answer, when a redirect is followed, and when the secret before the newest one does not sign.
func TestPromise17_EveryEventReachesEverySubscribedEndpoint(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{testAPIKey}, Poll: pollInterval}
	})
	if !t.Run("in order", func(t *testing.T) { eventsArriveInOrder(t, ts) }) {
		return // The others would wait in vain.
	}
	for name, test := range map[string]func(*testing.T, *testService){
		"rough receiver":   roughReceiverGetsEveryEvent,
		"gone":             goneEndpointIsLeftAlone,
		"three days later": linksWorkThreeDaysLater,
		"rotation":         secretsRotateWithGrace,
		"sent again":       eventsAreSentAgain,
		"polled":           polledEndIsSent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, ts)
		})
	}
}

// eventsArriveInOrder ends tasks of two tenants in every way, with endpoints of every kind.
func eventsArriveInOrder(t *testing.T, ts *testService) {
	t.Helper()
	h, films, ads := startHooks(t), ts.as(t, "films"), ts.as(t, "ads")
	seven := map[string]string{"film": "7"}
	h.subscribe(t, films, "films", "every-type", everyType)
	h.subscribe(t, films, "films", "ends")
	h.subscribe(t, films, "films", "labels", everyType, func(r *refractv1.CreateWebhookEndpointRequest) { r.Labels = seven })
	h.subscribe(t, films, "films", "failures", func(r *refractv1.CreateWebhookEndpointRequest) {
		r.EventTypes = []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED}
	})
	own := h.subscribe(t, films, "films", "own", forOwnURIs)
	stranger := h.subscribe(t, ads, "ads", "stranger", everyType)

	good := films.submit(t, "[sim:results=2]", labelled(map[string]string{"film": "7", "cut": "rough"}), sentTo(h.URL("own")))
	failed := films.submit(t, "[sim:fail]", labelled(map[string]string{"film": "8"})).GetId()
	canceled := films.submit(t, "[sim:processing=1h]", labelled(seven)).GetId()
	foreign := ads.submit(t, "", labelled(seven)).GetId()
	films.await(t, canceled, isRunning)
	if _, err := films.tasks.CancelTask(films.ctx(t), &refractv1.CancelTaskRequest{TaskId: canceled}); err != nil {
		t.Fatal(err)
	}
	films.end(t, failed)
	films.retry(t, failed) // It fails again.
	ends := map[string]*refractv1.TaskEvent{}
	for _, id := range []string{good.GetId(), canceled} {
		ends[id] = films.end(t, id)
	}
	films.await(t, failed, func(e *refractv1.TaskEvent) bool {
		return e.GetState() == refractv1.TaskState_TASK_STATE_FAILED && e.GetRevision() > 5
	})
	last := ads.end(t, foreign)
	if n, want := ask[int](t, ts.pool, `SELECT count(*) FROM webhook_delivery`), h.wanted(t); n != want {
		t.Fatalf("%d deliveries were committed with the events, want %d", n, want)
	}
	stranger.awaitEvent(t, fmt.Sprintf("evt_%s_%d", foreign, last.GetRevision()))
	h.delivered(t, false)
	h.check(t)

	end := fmt.Sprintf("evt_%s_%d", good.GetId(), ends[good.GetId()].GetRevision())
	q := own.awaitEvent(t, end)
	own.checkLinks(t, q)
	status, answer := films.rest(t, http.MethodGet, "/v1/tasks/"+good.GetId(), "")
	resp := &refractv1.GetTaskResponse{}
	if err := protojson.Unmarshal(answer, resp); err != nil || status != http.StatusOK {
		t.Fatalf("REST shows %d: %v", status, err)
	}
	if diff := cmp.Diff(resp.GetTask(), eventOf(t, q).task, protocmp.Transform(), protocmp.IgnoreFields(&refractv1.Task{}, "typical_duration"),
		protocmp.IgnoreFields(&refractv1.Output{}, "signed_uri", "signed_uri_expire_time")); diff != "" {
		t.Errorf("the event shows the task otherwise than REST (-REST +event):\n%s", diff)
	}
	if list, err := own.ListWebhookDeliveries(ads.ctx(t), &refractv1.ListWebhookDeliveriesRequest{TaskId: good.GetId()}); err == nil && len(list.GetDeliveries()) > 0 {
		t.Errorf("another tenant sees the deliveries %v", list)
	}
}

// roughReceiverGetsEveryEvent has a receiver that does something else with the first request of each event.
func roughReceiverGetsEveryEvent(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "rough")
	behaviors := []receiver.Behavior{
		receiver.Drop, receiver.Status(http.StatusInternalServerError), receiver.Redirect(http.StatusFound), receiver.CutRequest,
		receiver.DropAnswer, receiver.Redirect(http.StatusPermanentRedirect), receiver.CutAnswer, receiver.Status(http.StatusNotFound),
	}
	next := 0
	h.Behave(func(q receiver.Request) receiver.Behavior {
		if q.Nth > 0 {
			return receiver.Accept
		}
		next++
		return behaviors[next%len(behaviors)]
	})
	h.subscribe(t, tenant, "rough", "rough", everyType)
	var ids []string
	for _, directive := range []string{"", "", "[sim:fail]"} { // Fewer than the failures in a row that pause an endpoint.
		ids = append(ids, tenant.submit(t, directive).GetId())
	}
	for _, id := range ids {
		tenant.end(t, id)
	}
	h.delivered(t, true)
	h.check(t)
	seen := map[string]bool{}
	for _, q := range h.Requests("rough") {
		seen[q.Behavior] = true
	}
	for _, b := range behaviors {
		if !seen[b.String()] {
			t.Errorf("no request met %q", b)
		}
	}
}

// goneEndpointIsLeftAlone has an endpoint that answers 410. It gets nothing until it is enabled again, and then what was pending.
func goneEndpointIsLeftAlone(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "gone")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusGone) })
	s := h.subscribe(t, tenant, "gone", "gone")
	id := tenant.submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.end(t, id).GetRevision())
	eventually(t, "the endpoint to be disabled", func() bool {
		resp, err := s.GetWebhookEndpoint(tenant.ctx(t), &refractv1.GetWebhookEndpointRequest{EndpointId: s.id})
		if err != nil {
			t.Fatal(err)
		}
		return !resp.GetEndpoint().GetEnabled() && resp.GetEndpoint().GetDisableReason() == refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_GONE
	})
	if state := ask[string](t, ts.pool, `SELECT state FROM webhook_delivery WHERE endpoint_id = $1`, s.id); state != "PENDING" {
		t.Fatalf("after 410 the delivery is %s", state)
	}
	tenant.end(t, tenant.submit(t, "").GetId()) // Its event is not kept for the endpoint.
	pass(t, s)
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	if _, err := s.UpdateWebhookEndpoint(tenant.ctx(t), &refractv1.UpdateWebhookEndpointRequest{EndpointId: s.id, Enabled: proto.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	pass(t, s)
	s.awaitEvent(t, event)
	h.delivered(t, true)
	var seen []string
	for _, q := range h.Requests("gone") {
		seen = append(seen, fmt.Sprint(q.EventID, " ", q.Status))
	}
	if diff := cmp.Diff([]string{event + " 410", event + " 204"}, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// linksWorkThreeDaysLater delivers an event three days after it happened, and again after its output has expired.
func linksWorkThreeDaysLater(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "late")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusInternalServerError) })
	s := h.subscribe(t, tenant, "late", "late")
	id := tenant.submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.end(t, id).GetRevision())
	s.awaitRequest(t, "the first attempt", func(q receiver.Request) bool { return q.EventID == event })
	eventually(t, "the first attempt to be stored", func() bool {
		return ask[int](t, ts.pool, `SELECT attempts FROM webhook_delivery WHERE endpoint_id = $1`, s.id) > 0
	})
	if state := ask[string](t, ts.pool, `SELECT state FROM webhook_delivery WHERE endpoint_id = $1`, s.id); state != "PENDING" {
		t.Fatalf("after an attempt that failed the delivery is %s", state)
	}
	const age = `
WITH d AS (UPDATE webhook_delivery SET event_time = event_time - $2::interval WHERE task_id = $1),
     a AS (UPDATE webhook_attempt SET start_time = start_time - $2::interval WHERE task_id = $1),
     e AS (UPDATE task_event SET create_time = create_time - $2::interval WHERE task_id = $1),
     o AS (UPDATE output SET create_time = create_time - $2::interval WHERE attempt_id IN (SELECT id FROM attempt WHERE task_id = $1))
UPDATE task SET create_time = create_time - $2::interval, update_time = update_time - $2::interval WHERE id = $1`
	do(t, ts.pool, age, id, "3 days")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	pass(t, s)
	q := s.awaitEvent(t, event)
	s.checkLinks(t, q)
	s.checkRequest(t, q, s.changes(t)[slices.IndexFunc(s.changes(t), func(c change) bool { return c.id() == event })])

	do(t, ts.pool, `INSERT INTO tenant (tenant, keep_outputs) VALUES ('late', '4 days')`)
	do(t, ts.pool, age, id, "3 days")
	s.redeliver(t, event)
	late := s.awaitRequest(t, "the event after the output has expired", func(r receiver.Request) bool { return r.EventID == event && r.Arrived > q.Arrived })
	before, after := eventOf(t, q).task.GetOutputs(), eventOf(t, late).task.GetOutputs()
	if len(after) != 1 || after[0].GetDownloadUri() != "" || after[0].GetSignedUri() != "" || after[0].GetSha256() != before[0].GetSha256() ||
		!after[0].GetExpireTime().AsTime().Before(late.Time) {
		t.Errorf("the event shows %v, want an output that has expired, with its SHA-256 and no link", after)
	}
}

// redeliver asks for an event to be sent again to the endpoint.
func (s *subscription) redeliver(t *testing.T, event string) {
	t.Helper()
	resp, err := s.RedeliverWebhooks(s.ctx(t), &refractv1.RedeliverWebhooksRequest{
		Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: s.id, EventId: event}},
	})
	if err != nil || resp.GetDeliveries() != 1 {
		t.Fatalf("send %s again: %v, %v", event, resp, err)
	}
}

// secretsRotateWithGrace rotates the secret of an endpoint twice. During the grace period both secrets sign, and after it one.
func secretsRotateWithGrace(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "rotating")
	s := h.subscribe(t, tenant, "rotating", "rotating")
	id := tenant.submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.end(t, id).GetRevision())
	q := s.awaitEvent(t, event)
	secrets := []string{s.secret}
	signedBy := func(want ...string) {
		t.Helper()
		if !slices.Equal(q.Secrets, want) {
			t.Errorf("request %d is signed by %d of the secrets %d, want %d", q.Nth, len(q.Secrets), len(secrets), len(want))
		}
	}
	signedBy(secrets[0])
	rotate := func(grace time.Duration) {
		t.Helper()
		resp, err := s.RotateWebhookSecret(tenant.ctx(t), &refractv1.RotateWebhookSecretRequest{EndpointId: s.id, GracePeriod: durationpb.New(grace)})
		if err != nil || resp.GetSecret() == "" || slices.Contains(secrets, resp.GetSecret()) {
			t.Fatalf("rotate: %v, %v", resp, err)
		}
		secrets = append(secrets, resp.GetSecret())
		h.Trust("rotating", secrets...)
	}
	again := func() {
		t.Helper()
		s.redeliver(t, event)
		last := q.Arrived
		q = s.awaitRequest(t, "the event again", func(r receiver.Request) bool { return r.EventID == event && r.Arrived > last && r.Accepted() })
		h.delivered(t, false)
	}
	rotate(time.Hour)
	again()
	signedBy(secrets[0], secrets[1])
	rotate(time.Hour) // The first secret ends at once.
	again()
	signedBy(secrets[1], secrets[2])
	do(t, ts.pool, `UPDATE webhook_endpoint SET previous_expire_time = now() - interval '1 minute' WHERE id = $1`, s.id)
	again()
	signedBy(secrets[2])
	rotate(0)
	again()
	signedBy(secrets[3])
}

// eventsAreSentAgain sends events again: one, the failed ones of an endpoint, and the end of a task.
func eventsAreSentAgain(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "again")
	s := h.subscribe(t, tenant, "again", "first")
	id := tenant.submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.end(t, id).GetRevision())
	s.awaitEvent(t, event)
	h.delivered(t, false)
	second := h.subscribe(t, tenant, "again", "second") // It exists since after the event.
	redeliver := func(req *refractv1.RedeliverWebhooksRequest, want int32) {
		t.Helper()
		for _, req.DryRun = range []bool{true, false} {
			before := len(h.Requests(""))
			resp, err := s.RedeliverWebhooks(tenant.ctx(t), req)
			if err != nil || resp.GetDeliveries() != want || resp.GetMore() {
				t.Fatalf("%v: %v, %v, want %d deliveries", req, resp, err, want)
			}
			h.delivered(t, false)
			if n := len(h.Requests("")) - before; req.GetDryRun() && n != 0 || !req.GetDryRun() && n < int(want) {
				t.Errorf("%v: %d requests arrived", req, n)
			}
		}
	}
	ofTask := &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: id}}}
	failed := &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: s.id}}}
	redeliver(ofTask, 2)
	second.checkLinks(t, second.awaitEvent(t, event))
	redeliver(failed, 0)

	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusBadGateway) })
	other := tenant.submit(t, "[sim:fail]").GetId()
	tenant.end(t, other)
	eventually(t, "the first attempts to fail", func() bool {
		return ask[int](t, ts.pool, `SELECT coalesce(sum(attempts), 0)::int FROM webhook_delivery WHERE task_id = $1`, other) == len(h.subscriptions)
	})
	do(t, ts.pool, `UPDATE webhook_delivery SET attempts = 7 WHERE task_id = $1`, other) // The next attempt is the last one.
	h.delivered(t, true)
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	for _, e := range h.subscriptions {
		list, err := e.ListWebhookDeliveries(tenant.ctx(t), &refractv1.ListWebhookDeliveriesRequest{TaskId: other, EndpointId: e.id})
		if err != nil || len(list.GetDeliveries()) != 1 || list.GetDeliveries()[0].GetState() != refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED {
			t.Fatalf("the deliveries are %v, %v, want one that failed", list, err)
		}
		d := list.GetDeliveries()[0]
		got, err := e.GetWebhookDelivery(tenant.ctx(t), &refractv1.GetWebhookDeliveryRequest{EndpointId: e.id, EventId: d.GetEventId()})
		if err != nil || len(got.GetDelivery().GetAttempts()) != 2 {
			t.Fatalf("the delivery is %v, %v, want two attempts", got, err)
		}
		for _, a := range got.GetDelivery().GetAttempts() {
			if a.GetHttpStatus() != http.StatusBadGateway || a.GetError() == "" || !strings.Contains(a.GetAnswer(), "status 502") {
				t.Errorf("an attempt is %v, want the answer with the status 502", a)
			}
		}
	}
	redeliver(failed, 1)
	if q := s.awaitRequest(t, "the event of the failure", func(q receiver.Request) bool { return eventOf(t, q).task.GetId() == other && q.Accepted() }); eventOf(t, q).Type != "task.failed" {
		t.Errorf("sent again was %s", q.Body)
	}
	if n := ask[int](t, ts.pool, `SELECT count(*) FROM webhook_delivery WHERE endpoint_id = $1 AND state = 'FAILED'`, second.id); n != 1 {
		t.Errorf("the other endpoint has %d failed deliveries, want its own", n)
	}
}

// polledEndIsSent ends a task at the provider that never calls back. TestSoak_APolledEndArrivesInTime measures how long its event takes.
func polledEndIsSent(t *testing.T, ts *testService) {
	t.Helper()
	h, tenant := startHooks(t), ts.as(t, "polled")
	s := h.subscribe(t, tenant, "polled", "polled")
	id := tenant.submit(t, "", at(lumaagents.Name)).GetId()
	s.checkLinks(t, s.awaitEvent(t, fmt.Sprintf("evt_%s_%d", id, tenant.end(t, id).GetRevision())))
}

// TestPromise17_NoRequestReachesAPrivateAddress creates endpoints at private addresses, and one whose name resolves to such an address
// later.
//
// It fails when the URL of an endpoint or of a task is not checked, and when the sender has no guard.
func TestPromise17_NoRequestReachesAPrivateAddress(t *testing.T) {
	t.Parallel()
	resolver := newRebindingHost(t).resolver()
	ts := startService(t, func(f *server.Config, _ *simConfig) {
		f.AllowPrivate, f.CallbackURL, f.FetchAllow = false, "https://refract.example.com", []string{"127.0.0.1"} // The simulator.
		f.Tuning.Resolver = resolver
		f.KIE.Poll = pollInterval // No callback reaches the service.
	})
	h := startHooks(t)
	tasks := h.subscribe(t, ts, "acme", "tasks", forOwnURIs)
	public := h.subscribe(t, ts, "acme", "public", func(r *refractv1.CreateWebhookEndpointRequest) { r.Url = "https://hooks.example.com/refract" })
	for name, url := range map[string]string{
		"plain http":           "http://hooks.example.com/refract",
		"a local name":         "https://localhost/refract",
		"an internal name":     "https://metadata.google.internal/",
		"loopback":             "https://127.0.0.1/refract",
		"loopback as a number": "https://2130706433/refract",
		"IPv6 loopback":        "https://[::1]/refract",
		"IPv6-mapped":          "https://[::ffff:10.0.0.7]/refract",
		"IPv6-mapped loopback": "https://[::ffff:127.0.0.1]/refract",
		"a private address":    "https://192.168.0.7/refract",
		"any address":          "https://0.0.0.0/refract",
		"any IPv6 address":     "https://[::]/refract",
		"the cloud's metadata": "https://169.254.169.254/latest/meta-data",
		"another port":         "https://hooks.example.com:8443/refract",
		"a user name":          "https://user:password@hooks.example.com/refract",
		"another scheme":       "file:///etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, created := public.CreateWebhookEndpoint(ts.ctx(t), &refractv1.CreateWebhookEndpointRequest{Url: url})
			_, updated := public.UpdateWebhookEndpoint(ts.ctx(t), &refractv1.UpdateWebhookEndpointRequest{EndpointId: public.id, Url: &url})
			req := goodRequest()
			req.WebhookUri = url
			_, submitted := ts.tasks.SubmitTask(ts.ctx(t), req)
			for _, call := range []struct {
				field string
				err   error
			}{{"url", created}, {"url", updated}, {"webhook_uri", submitted}} {
				if got := refusalOf(call.err); got.Reason != "INVALID_REQUEST" || !slices.Equal(got.Fields, []string{call.field}) {
					t.Errorf("got %v, want INVALID_REQUEST for %s", call.err, call.field)
				}
			}
		})
	}

	// Names that resolve to private addresses: the resolver answers with 127.0.0.1 first and with 127.0.0.2 later.
	traps := []*receiver.Trap{trapOf(t, "127.0.0.1:443"), trapOf(t, "127.0.0.2:443")}
	id := ts.submit(t, "", sentTo("https://later.example.com/refract")).GetId()
	event := fmt.Sprintf("evt_%s_%d", id, ts.end(t, id).GetRevision())
	for _, s := range []*subscription{public, tasks} {
		var attempts []*refractv1.WebhookAttempt
		eventually(t, "the attempts to fail", func() bool {
			pass(t, s)
			resp, err := s.GetWebhookDelivery(ts.ctx(t), &refractv1.GetWebhookDeliveryRequest{EndpointId: s.id, EventId: event})
			if err != nil {
				t.Fatal(err)
			}
			attempts = resp.GetDelivery().GetAttempts()
			return len(attempts) > 2 // The second finds the other address.
		})
		for _, a := range attempts {
			if a.GetHttpStatus() != 0 || a.GetError() != "refused by the network guard: the address is not public" {
				t.Errorf("an attempt is %v, want one that the guard refused", a)
			}
		}
	}
	for _, trap := range traps {
		if trap != nil && trap.Connections() > 0 {
			t.Errorf("%d connections reached %s", trap.Connections(), trap.URL)
		}
	}
}

// trapOf starts a trap at an address, or returns nil if this process may not listen there. The answers of the guard are checked in any case.
func trapOf(t *testing.T, address string) *receiver.Trap {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Logf("connections to %s are not counted: %v", address, err)
		return nil
	}
	return receiver.NewTrap(t, lis)
}

package promises_test

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
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
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
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Poll: pollInterval}
	})
	if !t.Run("in order", func(t *testing.T) { eventsArriveInOrder(t, ts) }) {
		return // The others would wait in vain.
	}
	for name, test := range map[string]func(*testing.T, *e2etest.Service){
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
func eventsArriveInOrder(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, films, ads := e2etest.StartHooks(t), ts.As(t, "films"), ts.As(t, "ads")
	seven := map[string]string{"film": "7"}
	h.Subscribe(t, films, "films", "every-type", e2etest.EveryType)
	h.Subscribe(t, films, "films", "ends")
	h.Subscribe(t, films, "films", "labels", e2etest.EveryType, func(r *refractv1.CreateWebhookEndpointRequest) { r.Labels = seven })
	h.Subscribe(t, films, "films", "failures", func(r *refractv1.CreateWebhookEndpointRequest) {
		r.EventTypes = []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED}
	})
	own := h.Subscribe(t, films, "films", "own", e2etest.ForOwnURIs)
	stranger := h.Subscribe(t, ads, "ads", "stranger", e2etest.EveryType)

	good := films.Submit(t, "[sim:results=2]", e2etest.Labelled(map[string]string{"film": "7", "cut": "rough"}), e2etest.WithWebhookURI(h.URL("own")))
	failed := films.Submit(t, "[sim:fail]", e2etest.Labelled(map[string]string{"film": "8"})).GetId()
	canceled := films.Submit(t, "[sim:processing=1h]", e2etest.Labelled(seven)).GetId()
	foreign := ads.Submit(t, "", e2etest.Labelled(seven)).GetId()
	films.Await(t, canceled, e2etest.IsRunning)
	if _, err := films.Tasks.CancelTask(films.Ctx(t), &refractv1.CancelTaskRequest{TaskId: canceled}); err != nil {
		t.Fatal(err)
	}
	films.End(t, failed)
	films.Retry(t, failed) // It fails again.
	ends := map[string]*refractv1.TaskEvent{}
	for _, id := range []string{good.GetId(), canceled} {
		ends[id] = films.End(t, id)
	}
	films.Await(t, failed, func(e *refractv1.TaskEvent) bool {
		return e.GetState() == refractv1.TaskState_TASK_STATE_FAILED && e.GetRevision() > 5
	})
	last := ads.End(t, foreign)
	if n, want := postgrestest.Value[int](t, ts.Pool, `SELECT count(*) FROM webhook_delivery`), h.Wanted(t); n != want {
		t.Fatalf("%d deliveries were committed with the events, want %d", n, want)
	}
	stranger.AwaitEvent(t, fmt.Sprintf("evt_%s_%d", foreign, last.GetRevision()))
	h.Delivered(t, false)
	h.Check(t)

	end := fmt.Sprintf("evt_%s_%d", good.GetId(), ends[good.GetId()].GetRevision())
	q := own.AwaitEvent(t, end)
	own.CheckLinks(t, q)
	status, answer := films.Rest(t, http.MethodGet, "/v1/tasks/"+good.GetId(), "")
	resp := &refractv1.GetTaskResponse{}
	if err := protojson.Unmarshal(answer, resp); err != nil || status != http.StatusOK {
		t.Fatalf("REST shows %d: %v", status, err)
	}
	if diff := cmp.Diff(resp.GetTask(), e2etest.EventOf(t, q).Task, protocmp.Transform(), protocmp.IgnoreFields(&refractv1.Task{}, "typical_duration"),
		protocmp.IgnoreFields(&refractv1.Output{}, "signed_uri", "signed_uri_expire_time")); diff != "" {
		t.Errorf("the event shows the task otherwise than REST (-REST +event):\n%s", diff)
	}
	if list, err := own.ListWebhookDeliveries(ads.Ctx(t), &refractv1.ListWebhookDeliveriesRequest{TaskId: good.GetId()}); err == nil && len(list.GetDeliveries()) > 0 {
		t.Errorf("another tenant sees the deliveries %v", list)
	}
}

// roughReceiverGetsEveryEvent has a receiver that does something else with the first request of each event.
func roughReceiverGetsEveryEvent(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "rough")
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
	h.Subscribe(t, tenant, "rough", "rough", e2etest.EveryType)
	var ids []string
	for _, directive := range []string{"", "", "[sim:fail]"} { // Fewer than the failures in a row that pause an endpoint.
		ids = append(ids, tenant.Submit(t, directive).GetId())
	}
	for _, id := range ids {
		tenant.End(t, id)
	}
	h.Delivered(t, true)
	h.Check(t)
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
func goneEndpointIsLeftAlone(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "gone")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusGone) })
	s := h.Subscribe(t, tenant, "gone", "gone")
	id := tenant.Submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.End(t, id).GetRevision())
	e2etest.Eventually(t, "the endpoint to be disabled", func() bool {
		resp, err := s.GetWebhookEndpoint(tenant.Ctx(t), &refractv1.GetWebhookEndpointRequest{EndpointId: s.ID})
		if err != nil {
			t.Fatal(err)
		}
		return !resp.GetEndpoint().GetEnabled() && resp.GetEndpoint().GetDisableReason() == refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_GONE
	})
	if state := postgrestest.Value[string](t, ts.Pool, `SELECT state FROM webhook_delivery WHERE endpoint_id = $1`, s.ID); state != "PENDING" {
		t.Fatalf("after 410 the delivery is %s", state)
	}
	tenant.End(t, tenant.Submit(t, "").GetId()) // Its event is not kept for the endpoint.
	e2etest.Pass(t, s)
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	if _, err := s.UpdateWebhookEndpoint(tenant.Ctx(t), &refractv1.UpdateWebhookEndpointRequest{EndpointId: s.ID, Enabled: proto.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	e2etest.Pass(t, s)
	s.AwaitEvent(t, event)
	h.Delivered(t, true)
	var seen []string
	for _, q := range h.Requests("gone") {
		seen = append(seen, fmt.Sprint(q.EventID, " ", q.Status))
	}
	if diff := cmp.Diff([]string{event + " 410", event + " 204"}, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// linksWorkThreeDaysLater delivers an event three days after it happened, and again after its output has expired.
func linksWorkThreeDaysLater(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "late")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusInternalServerError) })
	s := h.Subscribe(t, tenant, "late", "late")
	id := tenant.Submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.End(t, id).GetRevision())
	s.AwaitRequest(t, "the first attempt", func(q receiver.Request) bool { return q.EventID == event })
	e2etest.Eventually(t, "the first attempt to be stored", func() bool {
		return postgrestest.Value[int](t, ts.Pool, `SELECT attempts FROM webhook_delivery WHERE endpoint_id = $1`, s.ID) > 0
	})
	if state := postgrestest.Value[string](t, ts.Pool, `SELECT state FROM webhook_delivery WHERE endpoint_id = $1`, s.ID); state != "PENDING" {
		t.Fatalf("after an attempt that failed the delivery is %s", state)
	}
	const age = `
WITH d AS (UPDATE webhook_delivery SET event_time = event_time - $2::interval WHERE task_id = $1),
     a AS (UPDATE webhook_attempt SET start_time = start_time - $2::interval WHERE task_id = $1),
     e AS (UPDATE task_event SET create_time = create_time - $2::interval WHERE task_id = $1),
     o AS (UPDATE output SET create_time = create_time - $2::interval WHERE attempt_id IN (SELECT id FROM attempt WHERE task_id = $1))
UPDATE task SET create_time = create_time - $2::interval, update_time = update_time - $2::interval WHERE id = $1`
	postgrestest.Exec(t, ts.Pool, age, id, "3 days")
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	e2etest.Pass(t, s)
	q := s.AwaitEvent(t, event)
	s.CheckLinks(t, q)
	s.CheckRequest(t, q, s.Change(t, event))

	postgrestest.Exec(t, ts.Pool, `INSERT INTO tenant (tenant, keep_outputs) VALUES ('late', '4 days')`)
	postgrestest.Exec(t, ts.Pool, age, id, "3 days")
	s.Redeliver(t, event)
	late := s.AwaitRequest(t, "the event after the output has expired", func(r receiver.Request) bool { return r.EventID == event && r.Arrived > q.Arrived })
	before, after := e2etest.EventOf(t, q).Task.GetOutputs(), e2etest.EventOf(t, late).Task.GetOutputs()
	if len(after) != 1 || after[0].GetDownloadUri() != "" || after[0].GetSignedUri() != "" || after[0].GetSha256() != before[0].GetSha256() ||
		!after[0].GetExpireTime().AsTime().Before(late.Time) {
		t.Errorf("the event shows %v, want an output that has expired, with its SHA-256 and no link", after)
	}
}

// secretsRotateWithGrace rotates the secret of an endpoint twice. During the grace period both secrets sign, and after it one.
func secretsRotateWithGrace(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "rotating")
	s := h.Subscribe(t, tenant, "rotating", "rotating")
	id := tenant.Submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.End(t, id).GetRevision())
	q := s.AwaitEvent(t, event)
	secrets := []string{s.Secret}
	signedBy := func(want ...string) {
		t.Helper()
		if !slices.Equal(q.Secrets, want) {
			t.Errorf("request %d is signed by %d of the secrets %d, want %d", q.Nth, len(q.Secrets), len(secrets), len(want))
		}
	}
	signedBy(secrets[0])
	rotate := func(grace time.Duration) {
		t.Helper()
		resp, err := s.RotateWebhookSecret(tenant.Ctx(t), &refractv1.RotateWebhookSecretRequest{EndpointId: s.ID, GracePeriod: durationpb.New(grace)})
		if err != nil || resp.GetSecret() == "" || slices.Contains(secrets, resp.GetSecret()) {
			t.Fatalf("rotate: %v, %v", resp, err)
		}
		secrets = append(secrets, resp.GetSecret())
		h.Trust("rotating", secrets...)
	}
	again := func() {
		t.Helper()
		s.Redeliver(t, event)
		last := q.Arrived
		q = s.AwaitRequest(t, "the event again", func(r receiver.Request) bool { return r.EventID == event && r.Arrived > last && r.Accepted() })
		h.Delivered(t, false)
	}
	rotate(time.Hour)
	again()
	signedBy(secrets[0], secrets[1])
	rotate(time.Hour) // The first secret ends at once.
	again()
	signedBy(secrets[1], secrets[2])
	postgrestest.Exec(t, ts.Pool, `UPDATE webhook_endpoint SET previous_expire_time = now() - interval '1 minute' WHERE id = $1`, s.ID)
	again()
	signedBy(secrets[2])
	rotate(0)
	again()
	signedBy(secrets[3])
}

// eventsAreSentAgain sends events again: one, the failed ones of an endpoint, and the end of a task.
func eventsAreSentAgain(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "again")
	s := h.Subscribe(t, tenant, "again", "first")
	id := tenant.Submit(t, "").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, tenant.End(t, id).GetRevision())
	s.AwaitEvent(t, event)
	h.Delivered(t, false)
	second := h.Subscribe(t, tenant, "again", "second") // It exists since after the event.
	redeliver := func(req *refractv1.RedeliverWebhooksRequest, want int32) {
		t.Helper()
		for _, req.DryRun = range []bool{true, false} {
			before := len(h.Requests(""))
			resp, err := s.RedeliverWebhooks(tenant.Ctx(t), req)
			if err != nil || resp.GetDeliveries() != want || resp.GetMore() {
				t.Fatalf("%v: %v, %v, want %d deliveries", req, resp, err, want)
			}
			h.Delivered(t, false)
			if n := len(h.Requests("")) - before; req.GetDryRun() && n != 0 || !req.GetDryRun() && n < int(want) {
				t.Errorf("%v: %d requests arrived", req, n)
			}
		}
	}
	ofTask := &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: id}}}
	failed := &refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: s.ID}}}
	redeliver(ofTask, 2)
	second.CheckLinks(t, second.AwaitEvent(t, event))
	redeliver(failed, 0)

	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusBadGateway) })
	// No attempt begins before the number of those that are left is set.
	postgrestest.Exec(t, ts.Pool, `UPDATE webhook_endpoint SET paused_until = now() + interval '1 day' WHERE tenant = 'again'`)
	other := tenant.Submit(t, "[sim:fail]").GetId()
	tenant.End(t, other)
	postgrestest.Exec(t, ts.Pool, `UPDATE webhook_delivery SET attempts = 6 WHERE task_id = $1`, other) // Two attempts are left.
	h.Delivered(t, true)
	h.Behave(func(receiver.Request) receiver.Behavior { return receiver.Accept })
	for _, e := range h.Subscriptions {
		list, err := e.ListWebhookDeliveries(tenant.Ctx(t), &refractv1.ListWebhookDeliveriesRequest{TaskId: other, EndpointId: e.ID})
		if err != nil || len(list.GetDeliveries()) != 1 || list.GetDeliveries()[0].GetState() != refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED {
			t.Fatalf("the deliveries are %v, %v, want one that failed", list, err)
		}
		d := list.GetDeliveries()[0]
		got, err := e.GetWebhookDelivery(tenant.Ctx(t), &refractv1.GetWebhookDeliveryRequest{EndpointId: e.ID, EventId: d.GetEventId()})
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
	if q := s.AwaitRequest(t, "the event of the failure", func(q receiver.Request) bool { return e2etest.EventOf(t, q).Task.GetId() == other && q.Accepted() }); e2etest.EventOf(t, q).Type != "task.failed" {
		t.Errorf("sent again was %s", q.Body)
	}
	if n := postgrestest.Value[int](t, ts.Pool, `SELECT count(*) FROM webhook_delivery WHERE endpoint_id = $1 AND state = 'FAILED'`, second.ID); n != 1 {
		t.Errorf("the other endpoint has %d failed deliveries, want its own", n)
	}
}

// polledEndIsSent ends a task at the provider that never calls back. TestSoak_APolledEndArrivesInTime measures how long its event takes.
func polledEndIsSent(t *testing.T, ts *e2etest.Service) {
	t.Helper()
	h, tenant := e2etest.StartHooks(t), ts.As(t, "polled")
	s := h.Subscribe(t, tenant, "polled", "polled")
	id := tenant.Submit(t, "", e2etest.At(lumaagents.Name)).GetId()
	s.CheckLinks(t, s.AwaitEvent(t, fmt.Sprintf("evt_%s_%d", id, tenant.End(t, id).GetRevision())))
}

// TestPromise17_NoRequestReachesAPrivateAddress creates endpoints at private addresses, and one whose name resolves to such an address
// later.
//
// It fails when the URL of an endpoint or of a task is not checked, and when the sender has no guard.
func TestPromise17_NoRequestReachesAPrivateAddress(t *testing.T) {
	t.Parallel()
	resolver := e2etest.NewRebindingHost(t).Resolver()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.AllowPrivate, f.CallbackURL, f.FetchAllow = false, "https://refract.example.com", []string{"127.0.0.1"} // The simulator.
		f.Tuning.Resolver = resolver
		f.KIE.Poll = pollInterval // No callback reaches the service.
	})
	h := e2etest.StartHooks(t)
	tasks := h.Subscribe(t, ts, "acme", "tasks", e2etest.ForOwnURIs)
	public := h.Subscribe(t, ts, "acme", "public", func(r *refractv1.CreateWebhookEndpointRequest) { r.Url = "https://hooks.example.com/refract" })
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
			_, created := public.CreateWebhookEndpoint(ts.Ctx(t), &refractv1.CreateWebhookEndpointRequest{Url: url})
			_, updated := public.UpdateWebhookEndpoint(ts.Ctx(t), &refractv1.UpdateWebhookEndpointRequest{EndpointId: public.ID, Url: &url})
			req := e2etest.GoodRequest()
			req.WebhookUri = url
			_, submitted := ts.Tasks.SubmitTask(ts.Ctx(t), req)
			for _, call := range []struct {
				field string
				err   error
			}{{"url", created}, {"url", updated}, {"webhook_uri", submitted}} {
				if got := e2etest.RefusalOf(call.err); got.Reason != "INVALID_REQUEST" || !slices.Equal(got.Fields, []string{call.field}) {
					t.Errorf("got %v, want INVALID_REQUEST for %s", call.err, call.field)
				}
			}
		})
	}

	// Names that resolve to private addresses: the resolver answers with 127.0.0.1 first and with 127.0.0.2 later.
	traps := []*receiver.Trap{trapOf(t, "127.0.0.1:443"), trapOf(t, "127.0.0.2:443")}
	id := ts.Submit(t, "", e2etest.WithWebhookURI("https://later.example.com/refract")).GetId()
	event := fmt.Sprintf("evt_%s_%d", id, ts.End(t, id).GetRevision())
	for _, s := range []*e2etest.Subscription{public, tasks} {
		var attempts []*refractv1.WebhookAttempt
		e2etest.Eventually(t, "the attempts to fail", func() bool {
			e2etest.Pass(t, s)
			resp, err := s.GetWebhookDelivery(ts.Ctx(t), &refractv1.GetWebhookDeliveryRequest{EndpointId: s.ID, EventId: event})
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

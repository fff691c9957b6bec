package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/task"
)

// hooks stands in for the webhooks of tenants in the database.
type hooks struct {
	mu         sync.Mutex
	endpoints  []notify.Endpoint
	deliveries []notify.Delivery // Newest first, of the tenant "acme".
	limit      int
	redelivered,
	tested []string
}

func (h *hooks) CreateEndpoint(_ context.Context, e notify.Endpoint) (notify.Endpoint, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.endpoints) == h.limit || e.URL == "" && slices.ContainsFunc(h.endpoints, func(o notify.Endpoint) bool { return o.URL == "" }) {
		return e, fmt.Errorf("insert: %w", notify.ErrEndpointLimit)
	}
	e.CreateTime, e.UpdateTime = noon, noon
	h.endpoints = append(h.endpoints, e)
	return e, nil
}

// find returns the index of an endpoint of a tenant.
func (h *hooks) find(tenant string, id notify.EndpointID) (int, error) {
	i := slices.IndexFunc(h.endpoints, func(e notify.Endpoint) bool { return e.Tenant == tenant && e.ID == id })
	if i < 0 {
		return 0, fmt.Errorf("read: %w", notify.ErrEndpointNotFound)
	}
	return i, nil
}

func (h *hooks) Endpoint(_ context.Context, tenant string, id notify.EndpointID) (notify.Endpoint, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.find(tenant, id)
	if err != nil {
		return notify.Endpoint{}, err
	}
	return h.endpoints[i], nil
}

func (h *hooks) Endpoints(_ context.Context, tenant string) (all []notify.Endpoint, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.endpoints {
		if e.Tenant == tenant {
			all = append(all, e)
		}
	}
	return all, nil
}

func (h *hooks) ChangeEndpoint(_ context.Context, tenant string, id notify.EndpointID, change func(*notify.Endpoint) error) (notify.Endpoint, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.find(tenant, id)
	if err != nil {
		return notify.Endpoint{}, err
	}
	e := h.endpoints[i]
	if err := change(&e); err != nil {
		return e, err
	}
	h.endpoints[i] = e
	return e, nil
}

func (h *hooks) DeleteEndpoint(_ context.Context, tenant string, id notify.EndpointID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, err := h.find(tenant, id)
	if err == nil {
		h.endpoints = slices.Delete(h.endpoints, i, i+1)
	}
	return err
}

func (h *hooks) Deliveries(_ context.Context, f notify.DeliveryFilter) (found []notify.Delivery, err error) {
	after := f.Before == nil
	for _, d := range h.deliveries {
		if after && f.Tenant == "acme" && (f.Endpoint == "" || f.Endpoint == d.Endpoint) && (f.Task == "" || f.Task == d.Event.Task) &&
			(len(f.States) == 0 || slices.Contains(f.States, d.State)) && len(found) < f.Limit {
			found = append(found, d)
		}
		after = after || *f.Before == notify.DeliveryPlace{EventTime: d.EventTime, Event: d.Event, Endpoint: d.Endpoint}
	}
	return found, nil
}

func (h *hooks) Delivery(_ context.Context, tenant string, id notify.EndpointID, event notify.EventID) (notify.Delivery, []notify.Attempt, error) {
	for _, d := range h.deliveries {
		if tenant == "acme" && d.Endpoint == id && d.Event == event {
			return d, []notify.Attempt{{StartTime: noon, Duration: 1500 * time.Millisecond, Status: 500, Error: "the status is 500", Answer: "sorry\xff"}}, nil
		}
	}
	return notify.Delivery{}, nil, fmt.Errorf("read: %w", notify.ErrDeliveryNotFound)
}

func (h *hooks) Redeliver(ctx context.Context, tenant string, id notify.EndpointID, event notify.EventID, dryRun bool) error {
	_, _, err := h.Delivery(ctx, tenant, id, event)
	h.redelivered = append(h.redelivered, fmt.Sprint(event, " dry: ", dryRun))
	return err
}

func (h *hooks) RedeliverFailed(_ context.Context, _ string, id notify.EndpointID, since time.Time, dryRun bool) (int, bool, error) {
	h.redelivered = append(h.redelivered, fmt.Sprint(id, " since ", since.UTC().Format(time.RFC3339), " dry: ", dryRun))
	return 10_000, true, nil
}

func (h *hooks) RedeliverTask(_ context.Context, tenant string, id task.ID, dryRun bool) (int, error) {
	if tenant != "acme" {
		return 0, lifecycle.ErrTaskNotFound
	}
	if id == runningTask {
		return 0, &notify.TaskStateError{State: task.Running}
	}
	h.redelivered = append(h.redelivered, fmt.Sprint(id, " dry: ", dryRun))
	return 2, nil
}

func (h *hooks) HasTask(_ context.Context, tenant string, _ task.ID) error {
	if tenant != "acme" {
		return lifecycle.ErrTaskNotFound
	}
	return nil
}

func (h *hooks) Test(_ context.Context, e notify.Endpoint) (notify.Attempt, error) {
	h.tested = append(h.tested, e.URL)
	return notify.Attempt{StartTime: noon, Duration: time.Second, Status: 204}, nil
}

const (
	hookedTask  = "01990000-0000-7000-8000-000000000001"
	runningTask = "01990000-0000-7000-8000-000000000002"
)

// hookService is the webhook service over both transports.
type hookService struct {
	clients map[string]refractv1.WebhookServiceClient // By transport.
	store   *hooks
	keeper  *secrets.Keeper
	log     *logLines
	stop    func()
}

func serveHooks(t *testing.T) *hookService {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &hookService{store: &hooks{limit: 5}, keeper: localsecrets.NewKeeper(key)}
	log, lines := testLogger()
	s.log = lines
	service := NewWebhookService(WebhookServiceConfig{
		Endpoints: s.store, Deliveries: s.store, Tasks: s.store, Tester: s.store, Sealer: s.keeper,
		CheckURI: func(uri string) error { return media.CheckURI(uri, false) }, Now: func() time.Time { return noon },
	})
	conn, stop := serveInMemory(t, Config{Webhooks: service, Log: log})
	rest := serveREST(t, httpapi.InternalConfig{Conn: conn, Log: slog.New(slog.DiscardHandler)})
	s.stop = stop
	s.clients = map[string]refractv1.WebhookServiceClient{"gRPC": refractv1.NewWebhookServiceClient(conn), "REST": refractv1.NewWebhookServiceClient(rest)}
	return s
}

// overBoth runs a test over gRPC and REST, each with a service of its own.
func overBoth(t *testing.T, run func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient)) {
	t.Helper()
	for _, transport := range []string{"gRPC", "REST"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := serveHooks(t)
			run(t, s, s.clients[transport])
		})
	}
}

func createHook(t *testing.T, client refractv1.WebhookServiceClient, req *refractv1.CreateWebhookEndpointRequest) *refractv1.CreateWebhookEndpointResponse {
	t.Helper()
	resp, err := client.CreateWebhookEndpoint(as(t, "good"), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestWebhooks_AnEndpointIsMadeShownChangedAndDeleted(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, _ *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		made := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook?key=k", Description: "orders"}).GetEndpoint()
		if v, err := uuid.Parse(made.GetId()); err != nil || v.Version() != 7 {
			t.Errorf("the id is %q", made.GetId())
		}
		want := &refractv1.WebhookEndpoint{
			Id: made.GetId(), Url: "https://example.com/hook?key=k", Description: "orders", Enabled: true, CreateTime: timestamppb.New(noon), UpdateTime: timestamppb.New(noon),
			EventTypes: []refractv1.WebhookEventType{
				refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SUCCEEDED, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_CANCELED,
			},
		}
		compare(t, "created", want, made)
		got, err := client.GetWebhookEndpoint(as(t, "good"), &refractv1.GetWebhookEndpointRequest{EndpointId: strings.ToUpper(made.GetId())})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "get", want, got.GetEndpoint())

		changed, err := client.UpdateWebhookEndpoint(as(t, "good"), &refractv1.UpdateWebhookEndpointRequest{
			EndpointId: made.GetId(), Url: new("https://example.com/new"), Description: new(""), RateLimit: new(int32(7)), Enabled: new(false),
			EventTypes: []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_QUEUED},
			Labels:     &refractv1.WebhookLabels{Labels: map[string]string{"team": "films"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want = &refractv1.WebhookEndpoint{
			Id: made.GetId(), Url: "https://example.com/new", RateLimit: 7, Labels: map[string]string{"team": "films"},
			DisableReason: refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_REQUESTED, DisableTime: timestamppb.New(noon),
			EventTypes: []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_QUEUED, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED},
			CreateTime: timestamppb.New(noon), UpdateTime: timestamppb.New(noon),
		}
		compare(t, "changed", want, changed.GetEndpoint())
		same, err := client.UpdateWebhookEndpoint(as(t, "good"), &refractv1.UpdateWebhookEndpointRequest{EndpointId: made.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "unchanged", want, same.GetEndpoint())
		none, err := client.UpdateWebhookEndpoint(as(t, "good"), &refractv1.UpdateWebhookEndpointRequest{EndpointId: made.GetId(), Labels: &refractv1.WebhookLabels{}})
		if err != nil || len(none.GetEndpoint().GetLabels()) > 0 {
			t.Errorf("labels that were removed: %v, %v", none.GetEndpoint().GetLabels(), err)
		}

		if _, err := client.DeleteWebhookEndpoint(as(t, "good"), &refractv1.DeleteWebhookEndpointRequest{EndpointId: made.GetId()}); err != nil {
			t.Fatal(err)
		}
		list, err := client.ListWebhookEndpoints(as(t, "good"), &refractv1.ListWebhookEndpointsRequest{})
		if err != nil || len(list.GetEndpoints()) > 0 {
			t.Errorf("after the deletion: %v, %v", list, err)
		}
	})
}

func compare(t *testing.T, what string, want, got proto.Message) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestWebhooks_SecretsAreShownOnceAndStoredEncrypted also reads every other answer, what is stored and the log.
func TestWebhooks_SecretsAreShownOnceAndStoredEncrypted(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		made := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook?key=hunter2"})
		id, first := made.GetEndpoint().GetId(), made.GetSecret()
		rotate := func(grace *durationpb.Duration) *refractv1.RotateWebhookSecretResponse {
			resp, err := client.RotateWebhookSecret(as(t, "good"), &refractv1.RotateWebhookSecretRequest{EndpointId: id, GracePeriod: grace})
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		for _, tt := range []struct {
			grace *durationpb.Duration
			want  time.Duration // 0 means that there is no secret before.
		}{
			{nil, 24 * time.Hour},
			{durationpb.New(time.Hour), time.Hour},
			{durationpb.New(0), 0},
		} {
			before := s.store.endpoints[0].Secrets.Current
			resp := rotate(tt.grace)
			stored := s.store.endpoints[0].Secrets
			opened, err := s.keeper.Decrypt(t.Context(), stored.Current)
			if want := "whsec_" + base64.StdEncoding.EncodeToString(opened); err != nil || resp.GetSecret() != want || len(opened) != 32 {
				t.Errorf("the stored secret is %q, %v, want that of the answer", opened, err)
			}
			if resp.GetSecret() == first || strings.Contains(string(stored.Current), string(opened)) {
				t.Error("the secret is an old one, or is not encrypted")
			}
			var expire *timestamppb.Timestamp
			if tt.want > 0 {
				expire = timestamppb.New(noon.Add(tt.want))
			}
			compare(t, "grace", expire, resp.GetEndpoint().GetPreviousSecretExpireTime())
			if kept := string(stored.Previous) == string(before); kept != (tt.want > 0) || !kept && stored.Previous != nil {
				t.Errorf("with a grace period of %v the secret before is kept: %t", tt.grace, kept)
			}
			first = resp.GetSecret()
		}

		get, err := client.GetWebhookEndpoint(as(t, "good"), &refractv1.GetWebhookEndpointRequest{EndpointId: id})
		list, listErr := client.ListWebhookEndpoints(as(t, "good"), &refractv1.ListWebhookEndpointsRequest{})
		test, testErr := client.SendTestWebhook(as(t, "good"), &refractv1.SendTestWebhookRequest{EndpointId: id})
		if err := errors.Join(err, listErr, testErr); err != nil {
			t.Fatal(err)
		}
		_, err = client.UpdateWebhookEndpoint(as(t, "good"), &refractv1.UpdateWebhookEndpointRequest{EndpointId: id, Url: new("https://10.0.0.7/hook?key=hunter2")})
		if code := status.Code(err); code != codes.InvalidArgument {
			t.Errorf("a private URL is answered %v", err)
		}
		for name, text := range map[string]string{"get": protojson.Format(get), "list": protojson.Format(list), "test": protojson.Format(test), "error": fmt.Sprint(err)} {
			if strings.Contains(text, "whsec_") || name == "error" && strings.Contains(text, "hunter2") {
				t.Errorf("%s shows a secret: %s", name, text)
			}
		}
		s.stop()
		if log := s.log.text.String(); strings.Contains(log, "whsec_") || strings.Contains(log, "hunter2") || log == "" {
			t.Errorf("the log is empty or shows a secret:\n%s", log)
		}
	})
}

// refusedHook is a call that is refused, and how.
type refusedHook struct {
	name   string
	call   func(ctx context.Context, c refractv1.WebhookServiceClient) error
	code   codes.Code
	reason string
	facts  map[string]string
	fields string // Joined by commas.
}

func creating(req *refractv1.CreateWebhookEndpointRequest) func(context.Context, refractv1.WebhookServiceClient) error {
	return func(ctx context.Context, c refractv1.WebhookServiceClient) error {
		_, err := c.CreateWebhookEndpoint(ctx, req)
		return err
	}
}

func updating(req *refractv1.UpdateWebhookEndpointRequest) func(context.Context, refractv1.WebhookServiceClient) error {
	return func(ctx context.Context, c refractv1.WebhookServiceClient) error {
		_, err := c.UpdateWebhookEndpoint(ctx, req)
		return err
	}
}

func redelivering(req *refractv1.RedeliverWebhooksRequest) func(context.Context, refractv1.WebhookServiceClient) error {
	return func(ctx context.Context, c refractv1.WebhookServiceClient) error {
		_, err := c.RedeliverWebhooks(ctx, req)
		return err
	}
}

// callsAbout returns a call of each method that names an endpoint.
func callsAbout(id string) map[string]func(context.Context, refractv1.WebhookServiceClient) error {
	return map[string]func(context.Context, refractv1.WebhookServiceClient) error{
		"GetWebhookEndpoint": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.GetWebhookEndpoint(ctx, &refractv1.GetWebhookEndpointRequest{EndpointId: id})
			return err
		},
		"UpdateWebhookEndpoint": updating(&refractv1.UpdateWebhookEndpointRequest{EndpointId: id, Enabled: new(true)}),
		"DeleteWebhookEndpoint": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.DeleteWebhookEndpoint(ctx, &refractv1.DeleteWebhookEndpointRequest{EndpointId: id})
			return err
		},
		"RotateWebhookSecret": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.RotateWebhookSecret(ctx, &refractv1.RotateWebhookSecretRequest{EndpointId: id})
			return err
		},
		"SendTestWebhook": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.SendTestWebhook(ctx, &refractv1.SendTestWebhookRequest{EndpointId: id})
			return err
		},
		"ListWebhookDeliveries": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.ListWebhookDeliveries(ctx, &refractv1.ListWebhookDeliveriesRequest{EndpointId: id})
			return err
		},
		"GetWebhookDelivery": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.GetWebhookDelivery(ctx, &refractv1.GetWebhookDeliveryRequest{EndpointId: id, EventId: hookedEvent})
			return err
		},
		"RedeliverWebhooks, failed": redelivering(&refractv1.RedeliverWebhooksRequest{
			Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: id}},
		}),
		"RedeliverWebhooks": redelivering(&refractv1.RedeliverWebhooksRequest{
			Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: id, EventId: hookedEvent}},
		}),
	}
}

// callsAboutTask returns a call of each method that names a task.
func callsAboutTask(id string) map[string]func(context.Context, refractv1.WebhookServiceClient) error {
	return map[string]func(context.Context, refractv1.WebhookServiceClient) error{
		"ListWebhookDeliveries": func(ctx context.Context, c refractv1.WebhookServiceClient) error {
			_, err := c.ListWebhookDeliveries(ctx, &refractv1.ListWebhookDeliveriesRequest{TaskId: id})
			return err
		},
		"RedeliverWebhooks": redelivering(&refractv1.RedeliverWebhooksRequest{
			Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: id}},
		}),
	}
}

const hookedEvent = "evt_" + hookedTask + "_3"

// TestWebhooks_OfAnotherTenantAreNotFound calls every method that names an endpoint as a tenant that does not have it.
func TestWebhooks_OfAnotherTenantAreNotFound(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		id := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook"}).GetEndpoint().GetId()
		s.store.deliveries = []notify.Delivery{{Endpoint: notify.EndpointID(id), Event: notify.EventID{Task: hookedTask, Revision: 3}, State: notify.DeliveryFailed}}
		calls := callsAbout(id)
		for _, m := range refractv1.WebhookService_ServiceDesc.Methods {
			if calls[m.MethodName] == nil && m.MethodName != "CreateWebhookEndpoint" && m.MethodName != "ListWebhookEndpoints" {
				t.Errorf("the test does not call %s", m.MethodName)
			}
		}
		for name, call := range calls {
			st := status.Convert(call(as(t, "operator"), client))
			reason, facts := reasonOfStatus(st)
			if st.Code() != codes.NotFound || !strings.HasPrefix(reason, "WEBHOOK_") || facts["endpoint_id"] != id {
				t.Errorf("%s as another tenant: %v, %s, %v", name, st, reason, facts)
			}
		}
		for name, call := range callsAboutTask(hookedTask) {
			st := status.Convert(call(as(t, "operator"), client))
			if reason, facts := reasonOfStatus(st); st.Code() != codes.NotFound || reason != "TASK_NOT_FOUND" || facts["task_id"] != hookedTask {
				t.Errorf("%s as another tenant: %v, %s, %v", name, st, reason, facts)
			}
			if err := call(as(t, "good"), client); err != nil {
				t.Errorf("%s as the tenant: %v", name, err)
			}
		}
		list, err := client.ListWebhookEndpoints(as(t, "operator"), &refractv1.ListWebhookEndpointsRequest{})
		if err != nil || len(list.GetEndpoints()) > 0 {
			t.Errorf("another tenant sees %v, %v", list, err)
		}
		for name, call := range callsAbout(id) {
			if err := call(metadata.NewOutgoingContext(t.Context(), nil), client); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s by a stranger: %v", name, err)
			}
		}
		if len(s.store.endpoints) != 1 || s.store.endpoints[0].Secrets.Previous != nil || len(s.store.tested) > 0 {
			t.Errorf("strangers changed %+v", s.store)
		}
	})
}

func TestWebhooks_RefuseWhatBreaksARule(t *testing.T) {
	t.Parallel()
	const unknown = "01990000-0000-7000-8000-00000000abcd"
	overBoth(t, func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		plain := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook"}).GetEndpoint().GetId()
		forTasks := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{}).GetEndpoint().GetId()
		cases := []refusedHook{
			{
				name: "a second endpoint for tasks", call: creating(&refractv1.CreateWebhookEndpointRequest{}),
				code: codes.FailedPrecondition, reason: "WEBHOOK_ENDPOINT_LIMIT", facts: map[string]string{"limit": "1"},
			},
			{
				name: "a URL for the endpoint for tasks", call: updating(&refractv1.UpdateWebhookEndpointRequest{EndpointId: forTasks, Url: new("https://example.com/x")}),
				code: codes.InvalidArgument, reason: invalid, fields: "url",
			},
			{name: "no URL in an update", call: updating(&refractv1.UpdateWebhookEndpointRequest{EndpointId: plain, Url: new("")}), code: codes.InvalidArgument, reason: invalid, fields: "url"},
			{
				name: "a test of the endpoint for tasks", call: callsAbout(forTasks)["SendTestWebhook"],
				code: codes.InvalidArgument, reason: invalid, fields: "endpoint_id",
			},
			{
				name: "an unknown delivery", call: callsAbout(plain)["GetWebhookDelivery"],
				code: codes.NotFound, reason: "WEBHOOK_DELIVERY_NOT_FOUND", facts: map[string]string{"endpoint_id": plain, "event_id": hookedEvent},
			},
			{
				name: "an event of no task", code: codes.NotFound, reason: "WEBHOOK_DELIVERY_NOT_FOUND",
				facts: map[string]string{"endpoint_id": plain, "event_id": "evt_" + strings.Repeat("-", 36) + "_1"},
				call: func(ctx context.Context, c refractv1.WebhookServiceClient) error {
					_, err := c.GetWebhookDelivery(ctx, &refractv1.GetWebhookDeliveryRequest{EndpointId: plain, EventId: "evt_" + strings.Repeat("-", 36) + "_1"})
					return err
				},
			},
			{
				name: "an unknown endpoint", call: callsAbout(unknown)["UpdateWebhookEndpoint"],
				code: codes.NotFound, reason: "WEBHOOK_ENDPOINT_NOT_FOUND", facts: map[string]string{"endpoint_id": unknown},
			},
			{
				name: "a task that runs", code: codes.FailedPrecondition, reason: "TASK_NOT_TERMINAL", facts: map[string]string{"state": "RUNNING"},
				call: redelivering(&refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: runningTask}}}),
			},
			{name: "nothing to redeliver", call: redelivering(&refractv1.RedeliverWebhooksRequest{}), code: codes.InvalidArgument, reason: invalid, fields: "events"},
			{
				name: "deliveries of nothing", code: codes.InvalidArgument, reason: invalid, fields: "",
				call: func(ctx context.Context, c refractv1.WebhookServiceClient) error {
					_, err := c.ListWebhookDeliveries(ctx, &refractv1.ListWebhookDeliveriesRequest{})
					return err
				},
			},
			{
				name: "a page token of strangers", code: codes.InvalidArgument, reason: invalid, fields: "page_token",
				call: func(ctx context.Context, c refractv1.WebhookServiceClient) error {
					_, err := c.ListWebhookDeliveries(ctx, &refractv1.ListWebhookDeliveriesRequest{EndpointId: plain, PageToken: "AAAA"})
					return err
				},
			},
			{
				name: "a rate limit above 1000", call: creating(&refractv1.CreateWebhookEndpointRequest{Url: "https://example.com", RateLimit: 1001}),
				code: codes.InvalidArgument, reason: invalid, fields: "rate_limit",
			},
			{
				name: "a label with a capital", call: creating(&refractv1.CreateWebhookEndpointRequest{Url: "https://example.com", Labels: map[string]string{"Team": "a"}}),
				code: codes.InvalidArgument, reason: invalid, fields: `labels["Team"]`,
			},
			{
				name: "a grace period above 7 days", code: codes.InvalidArgument, reason: invalid, fields: "grace_period",
				call: func(ctx context.Context, c refractv1.WebhookServiceClient) error {
					_, err := c.RotateWebhookSecret(ctx, &refractv1.RotateWebhookSecretRequest{EndpointId: plain, GracePeriod: durationpb.New(7*24*time.Hour + 1)})
					return err
				},
			},
		}
		for name, uri := range map[string]string{
			"in the clear": "http://example.com/hook", "private": "https://10.0.0.7/hook", "mapped": "https://[::ffff:127.0.0.1]/hook", "zero": "https://0.0.0.0/hook", "of no host": "/hook",
			"local": "https://localhost/hook", "of a user": "https://u:p@example.com/", "long": "https://example.com/" + strings.Repeat("a", 2048),
		} {
			cases = append(cases,
				refusedHook{name: "a URL that is " + name, call: creating(&refractv1.CreateWebhookEndpointRequest{Url: uri}), code: codes.InvalidArgument, reason: invalid, fields: "url"},
				refusedHook{name: "a new URL that is " + name, call: updating(&refractv1.UpdateWebhookEndpointRequest{EndpointId: plain, Url: &uri}), code: codes.InvalidArgument, reason: invalid, fields: "url"})
		}
		for _, tt := range cases {
			st := status.Convert(tt.call(as(t, "good"), client))
			reason, facts := reasonOfStatus(st)
			if st.Code() != tt.code || reason != tt.reason || strings.Join(fieldsOfStatus(st), ",") != tt.fields || tt.facts != nil && !cmp.Equal(facts, tt.facts) {
				t.Errorf("%s: %v, reason %s, facts %v, fields %v", tt.name, st, reason, facts, fieldsOfStatus(st))
			}
		}
		s.store.limit = 2
		st := status.Convert(creating(&refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/3"})(as(t, "good"), client))
		if reason, facts := reasonOfStatus(st); reason != "WEBHOOK_ENDPOINT_LIMIT" || facts["limit"] != "32" || st.Code() != codes.FailedPrecondition {
			t.Errorf("at the limit: %v, %v", st, facts)
		}
	})
}

func TestWebhooks_DeliveriesAreListedShownAndRepeated(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		id := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook"}).GetEndpoint().GetId()
		for i := range 5 {
			s.store.deliveries = append(s.store.deliveries, notify.Delivery{
				Endpoint: notify.EndpointID(id), Event: notify.EventID{Task: hookedTask, Revision: int64(5 - i)}, TaskState: task.Failed, State: notify.DeliveryPending,
				Attempts: 2, NextAttempt: noon.Add(time.Minute), EventTime: noon.Add(-time.Duration(i) * time.Microsecond),
			})
		}
		s.store.deliveries[2].State, s.store.deliveries[2].NextAttempt = notify.DeliveryFailed, time.Time{}

		var listed []string
		req := &refractv1.ListWebhookDeliveriesRequest{EndpointId: id, TaskId: hookedTask, PageSize: 2}
		for {
			resp, err := client.ListWebhookDeliveries(as(t, "good"), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range resp.GetDeliveries() {
				listed = append(listed, d.GetEventId())
			}
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		var want []string
		for revision := 5; revision > 0; revision-- {
			want = append(want, fmt.Sprintf("evt_%s_%d", hookedTask, revision))
		}
		if diff := cmp.Diff(want, listed); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
		failed, err := client.ListWebhookDeliveries(as(t, "good"), &refractv1.ListWebhookDeliveriesRequest{
			EndpointId: id, States: []refractv1.WebhookDeliveryState{refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED},
		})
		if err != nil {
			t.Fatal(err)
		}
		one := &refractv1.WebhookDelivery{
			EndpointId: id, EventId: hookedEvent, EventType: refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED, TaskId: hookedTask, Revision: 3,
			State: refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED, AttemptCount: 2, EventTime: timestamppb.New(noon.Add(-2 * time.Microsecond)),
		}
		compare(t, "failed", &refractv1.ListWebhookDeliveriesResponse{Deliveries: []*refractv1.WebhookDelivery{one}}, failed)

		got, err := client.GetWebhookDelivery(as(t, "good"), &refractv1.GetWebhookDeliveryRequest{EndpointId: id, EventId: hookedEvent})
		if err != nil {
			t.Fatal(err)
		}
		one.Attempts = []*refractv1.WebhookAttempt{{StartTime: timestamppb.New(noon), DurationMs: 1500, HttpStatus: 500, Error: "the status is 500", Answer: "sorry\uFFFD"}}
		compare(t, "delivery", one, got.GetDelivery())

		for _, tt := range []struct {
			req         *refractv1.RedeliverWebhooksRequest
			n           int32
			redelivered string
		}{
			{
				&refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: id, EventId: hookedEvent}}},
				1, hookedEvent + " dry: false",
			},
			{
				&refractv1.RedeliverWebhooksRequest{DryRun: true, Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: id, SinceTime: timestamppb.New(noon)}}},
				10_000, id + " since 2026-11-05T12:00:00Z dry: true",
			},
			{
				&refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: id}}},
				10_000, id + " since 0001-01-01T00:00:00Z dry: false",
			},
			{
				&refractv1.RedeliverWebhooksRequest{Events: &refractv1.RedeliverWebhooksRequest_Task{Task: &refractv1.RedeliverTask{TaskId: hookedTask}}},
				2, hookedTask + " dry: false",
			},
		} {
			s.store.redelivered = nil
			resp, err := client.RedeliverWebhooks(as(t, "good"), tt.req)
			if err != nil || resp.GetDeliveries() != tt.n || resp.GetMore() != (tt.n == 10_000) || strings.Join(s.store.redelivered, ";") != tt.redelivered {
				t.Errorf("%v: %v, %v, stored %q", tt.req, resp, err, s.store.redelivered)
			}
		}
	})
}

func TestWebhooks_ATestPostsToTheEndpoint(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *hookService, client refractv1.WebhookServiceClient) {
		t.Helper()
		id := createHook(t, client, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hook"}).GetEndpoint().GetId()
		got, err := client.SendTestWebhook(as(t, "good"), &refractv1.SendTestWebhookRequest{EndpointId: id})
		if err != nil || len(s.store.tested) != 1 || s.store.tested[0] != "https://example.com/hook" {
			t.Fatalf("%v, tested %q", err, s.store.tested)
		}
		compare(t, "attempt", &refractv1.WebhookAttempt{StartTime: timestamppb.New(noon), DurationMs: 1000, HttpStatus: 204}, got.GetAttempt())
	})
}

func TestUpdate_ResumesAndDisables(t *testing.T) {
	t.Parallel()
	failing := notify.Endpoint{
		URL: "https://example.com/hook", Disabled: notify.DisabledGone, DisableTime: noon.Add(-time.Hour),
		Failures: 9, FailingTime: noon.Add(-time.Hour), PausedUntil: noon.Add(time.Hour),
	}
	s := &WebhookService{now: func() time.Time { return noon }}
	for name, tt := range map[string]struct {
		req    *refractv1.UpdateWebhookEndpointRequest
		change func(*notify.Endpoint) // Of the endpoint that is wanted.
	}{
		"nothing":             {&refractv1.UpdateWebhookEndpointRequest{}, func(*notify.Endpoint) {}},
		"disabled once more":  {&refractv1.UpdateWebhookEndpointRequest{Enabled: new(false)}, func(*notify.Endpoint) {}},
		"the same URL":        {&refractv1.UpdateWebhookEndpointRequest{Url: new("https://example.com/hook")}, func(*notify.Endpoint) {}},
		"enabled":             {&refractv1.UpdateWebhookEndpointRequest{Enabled: new(true)}, func(e *notify.Endpoint) { *e = notify.Endpoint{URL: e.URL} }},
		"another URL resumes": {&refractv1.UpdateWebhookEndpointRequest{Url: new("https://example.com/2")}, func(e *notify.Endpoint) { e.URL = "https://example.com/2"; resume(e) }},
	} {
		got, want := failing, failing
		tt.change(&want)
		if err := s.update(&got, tt.req); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEndpoint_ShowsWhatHoldsItBack(t *testing.T) {
	t.Parallel()
	s := &WebhookService{now: func() time.Time { return noon }}
	e := notify.Endpoint{
		ID: "e1", States: notify.Subscribable, FailingTime: noon.Add(-time.Hour), PausedUntil: noon.Add(time.Minute), Disabled: notify.DisabledFailing, DisableTime: noon,
		Secrets: notify.Secrets{Current: []byte("a"), Previous: []byte("b"), PreviousExpire: noon.Add(time.Hour)},
	}
	got := s.endpoint(&e)
	if got.GetEnabled() || got.GetFailingSinceTime() == nil || got.GetPausedUntilTime() == nil || got.GetDisableTime() == nil || got.GetPreviousSecretExpireTime() == nil || len(got.GetEventTypes()) != 6 {
		t.Errorf("an endpoint that fails is shown as %v", got)
	}
	e.PausedUntil, e.Secrets.PreviousExpire = noon, noon
	if got := s.endpoint(&e); got.GetPausedUntilTime() != nil || got.GetPreviousSecretExpireTime() != nil {
		t.Errorf("what has ended is shown: %v", got)
	}
}

func TestWebhookTask_HasLessWithLessDetail(t *testing.T) {
	t.Parallel()
	s, full := convertingService(), fullTask()
	whole := s.task(&full)
	s.signOutputs(t.Context(), &full, whole.GetOutputs())
	compare(t, "whole", whole, s.WebhookTask(t.Context(), full, notify.Whole))
	reduced := proto.CloneOf(whole)
	reduced.Prompt, reduced.Parameters, reduced.Source, reduced.FirstFrameUri, reduced.Labels = "", nil, nil, "", nil
	compare(t, "without inputs", reduced, s.WebhookTask(t.Context(), full, notify.WithoutInputs))
	for _, o := range reduced.GetOutputs() {
		if o.GetSignedUri() == "" {
			t.Error("the test signs no output")
		}
		o.SignedUri, o.SignedUriExpireTime = "", nil
	}
	compare(t, "without links", reduced, s.WebhookTask(t.Context(), full, notify.WithoutLinks))
}

// The longest texts that the contract takes, in characters that JSON escapes, and as many outputs as an attempt can have.
func TestWebhookTask_TheLargestTaskFitsWithoutLinks(t *testing.T) {
	t.Parallel()
	full := fullTask()
	full.RequestID = strings.Repeat(`"`, 128)
	full.Spec.Prompt, full.Spec.Watermark = strings.Repeat("\x01", 6000), strings.Repeat("\x01", 128)
	full.Spec.Parameters = `{"text":"` + strings.Repeat("x", catalog.MaxParameters-20) + `"}`
	full.Spec.WebhookURI = "https://example.com/" + strings.Repeat("h", 2048-20)
	full.Spec.SourceURI, full.Spec.FirstFrameURI = full.Spec.WebhookURI, full.Spec.WebhookURI
	full.Spec.Model, full.Spec.Fallbacks = strings.Repeat("m", 128), slices.Repeat([]string{strings.Repeat("p", 32)}, 4)
	full.Spec.Labels = map[string]string{}
	for i := range 16 {
		full.Spec.Labels[fmt.Sprintf("%063d", i)] = strings.Repeat("\x01", 128)
	}
	full.Failure.Message = strings.Repeat("\x01", 1000)
	output := full.Outputs[0]
	full.Outputs = nil
	for i := range wire.MaxLinks {
		output.Index, output.SHA256, output.SizeBytes, output.Duration = i, make([]byte, 32), 1<<40, time.Hour+time.Microsecond
		full.Outputs = append(full.Outputs, output)
	}
	s := NewTaskService(TaskServiceConfig{
		BaseURL: "https://" + strings.Repeat("b", 200) + ".example.com/",
		SignOutput: func(context.Context, task.ID, task.Output) (string, time.Time) {
			return "https://signed.example.com/" + strings.Repeat("s", 2000), noon.Add(time.Minute)
		},
	})
	for detail, fits := range map[notify.Detail]bool{notify.Whole: false, notify.WithoutInputs: false, notify.WithoutLinks: true} {
		body, err := httpapi.JSON(s.WebhookTask(t.Context(), full, detail))
		if err != nil {
			t.Fatal(err)
		}
		const envelope = 100 // The type and the time.
		if got := len(body)+envelope <= notify.MaxBody; got != fits {
			t.Errorf("with detail %d the event has %d bytes", detail, len(body))
		}
	}
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
	"github.com/refract-video/refract/internal/nettest"
)

const (
	hookID     = "01990000-0000-7000-8000-00000000000a"
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // It is the example of Standard Webhooks.
	hookEvent  = "evt_" + clienttest.TaskID + "_3"
)

// hookServer is a WebhookService with one endpoint and one delivery.
type hookServer struct {
	refractv1.UnimplementedWebhookServiceServer
	left int32 // How many failed deliveries there are.
	more bool  // Whether one call leaves some.

	attempt *refractv1.WebhookAttempt
}

func hookEndpoint() *refractv1.WebhookEndpoint {
	return &refractv1.WebhookEndpoint{
		Id: hookID, Url: "https://example.com/hook", Description: "orders\x1b[2J", Enabled: true, RateLimit: 5, Labels: map[string]string{"team": "films"},
		EventTypes: []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SUCCEEDED, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED},
		CreateTime: timestamppb.New(clienttest.CreateTime), UpdateTime: timestamppb.New(clienttest.CreateTime),
	}
}

func hookDelivery() *refractv1.WebhookDelivery {
	return &refractv1.WebhookDelivery{
		EndpointId: hookID, EventId: hookEvent, EventType: refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED, TaskId: clienttest.TaskID, Revision: 3,
		State: refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_PENDING, AttemptCount: 2, EventTime: timestamppb.New(clienttest.CreateTime),
		NextAttemptTime: timestamppb.New(clienttest.CreateTime.Add(time.Minute)),
	}
}

func (*hookServer) CreateWebhookEndpoint(context.Context, *refractv1.CreateWebhookEndpointRequest) (*refractv1.CreateWebhookEndpointResponse, error) {
	return &refractv1.CreateWebhookEndpointResponse{Endpoint: hookEndpoint(), Secret: hookSecret}, nil
}

func (*hookServer) GetWebhookEndpoint(context.Context, *refractv1.GetWebhookEndpointRequest) (*refractv1.GetWebhookEndpointResponse, error) {
	return &refractv1.GetWebhookEndpointResponse{Endpoint: hookEndpoint()}, nil
}

func (*hookServer) ListWebhookEndpoints(context.Context, *refractv1.ListWebhookEndpointsRequest) (*refractv1.ListWebhookEndpointsResponse, error) {
	gone, forTasks, failing := hookEndpoint(), hookEndpoint(), hookEndpoint()
	gone.Enabled, gone.DisableReason, gone.Labels = false, refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_GONE, nil
	forTasks.Url, forTasks.PausedUntilTime = "", timestamppb.New(clienttest.CreateTime)
	failing.FailingSinceTime = timestamppb.New(clienttest.CreateTime)
	return &refractv1.ListWebhookEndpointsResponse{Endpoints: []*refractv1.WebhookEndpoint{hookEndpoint(), gone, forTasks, failing}}, nil
}

func (*hookServer) UpdateWebhookEndpoint(context.Context, *refractv1.UpdateWebhookEndpointRequest) (*refractv1.UpdateWebhookEndpointResponse, error) {
	return &refractv1.UpdateWebhookEndpointResponse{Endpoint: hookEndpoint()}, nil
}

func (*hookServer) DeleteWebhookEndpoint(context.Context, *refractv1.DeleteWebhookEndpointRequest) (*refractv1.DeleteWebhookEndpointResponse, error) {
	return &refractv1.DeleteWebhookEndpointResponse{}, nil
}

func (*hookServer) RotateWebhookSecret(context.Context, *refractv1.RotateWebhookSecretRequest) (*refractv1.RotateWebhookSecretResponse, error) {
	e := hookEndpoint()
	e.PreviousSecretExpireTime = timestamppb.New(clienttest.CreateTime.Add(time.Hour))
	return &refractv1.RotateWebhookSecretResponse{Endpoint: e, Secret: hookSecret}, nil
}

func (s *hookServer) SendTestWebhook(context.Context, *refractv1.SendTestWebhookRequest) (*refractv1.SendTestWebhookResponse, error) {
	return &refractv1.SendTestWebhookResponse{Attempt: s.attempt}, nil
}

func (*hookServer) ListWebhookDeliveries(_ context.Context, req *refractv1.ListWebhookDeliveriesRequest) (*refractv1.ListWebhookDeliveriesResponse, error) {
	resp := &refractv1.ListWebhookDeliveriesResponse{Deliveries: []*refractv1.WebhookDelivery{hookDelivery()}}
	if req.GetPageToken() == "" {
		resp.NextPageToken = "next"
	}
	return resp, nil
}

func (*hookServer) GetWebhookDelivery(context.Context, *refractv1.GetWebhookDeliveryRequest) (*refractv1.GetWebhookDeliveryResponse, error) {
	d := hookDelivery()
	d.Attempts = []*refractv1.WebhookAttempt{
		{StartTime: timestamppb.New(clienttest.CreateTime.Add(5 * time.Second)), DurationMs: 15_000, Error: "no answer within 15 s"},
		{StartTime: timestamppb.New(clienttest.CreateTime), DurationMs: 31, HttpStatus: 500, Error: "the status is 500", Answer: "two\nlines"},
	}
	return &refractv1.GetWebhookDeliveryResponse{Delivery: d}, nil
}

func (s *hookServer) RedeliverWebhooks(_ context.Context, req *refractv1.RedeliverWebhooksRequest) (*refractv1.RedeliverWebhooksResponse, error) {
	n := s.left
	if s.more {
		n = min(n, 10_000)
	}
	if !req.GetDryRun() {
		s.left -= n
	}
	return &refractv1.RedeliverWebhooksResponse{Deliveries: n, More: n < s.left || req.GetDryRun() && s.more && s.left > n || !req.GetDryRun() && s.left > 0}, nil
}

// serveHooks serves s, and records the requests.
func serveHooks(t *testing.T, s *hookServer) (r *clienttest.Service, requests func() []proto.Message) {
	t.Helper()
	var mu sync.Mutex
	var all []proto.Message
	record := grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		mu.Lock()
		all = append(all, proto.Clone(req.(proto.Message)))
		mu.Unlock()
		return handler(ctx, req)
	})
	r = clienttest.Start(t, &clienttest.Service{Webhooks: s}, record)
	return r, func() []proto.Message {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// TestWebhook_EachCommandMakesItsCall compares requests and output. Secrets are only in the output of create and rotate-secret.
func TestWebhook_EachCommandMakesItsCall(t *testing.T) {
	t.Parallel()
	const shown = `endpoint    01990000-0000-7000-8000-00000000000a
url         https://example.com/hook
description orders [2J
state       enabled
events      task.succeeded task.failed
labels      team=films
rate        5 requests per second
`
	const stamps = "created     2026-11-05T12:00:00Z\nupdated     2026-11-05T12:00:00Z\n"
	row := func(state, labels, url string) string {
		return fmt.Sprintf("%s  %-34s  task.succeeded task.failed  %-10s  %s\n", hookID, state, labels, url)
	}
	for name, tt := range map[string]struct {
		args []string
		want proto.Message
		out  string
	}{
		"create": {
			[]string{"create", "https://example.com/hook", "--event=task.running", "--event", "Task.Failed", "--label=team=films", "--rate=5", "--description=orders"},
			&refractv1.CreateWebhookEndpointRequest{
				Url: "https://example.com/hook", Description: "orders", RateLimit: 5, Labels: map[string]string{"team": "films"},
				EventTypes: []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_RUNNING, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED},
			},
			shown + stamps + "secret      " + hookSecret + "\n",
		},
		"create for tasks": {[]string{"create", "--for-tasks"}, &refractv1.CreateWebhookEndpointRequest{}, shown + stamps + "secret      " + hookSecret + "\n"},
		"list": {
			[]string{"list"},
			&refractv1.ListWebhookEndpointsRequest{},
			"ENDPOINT                              STATE                               EVENTS                      LABELS      URL\n" +
				row("enabled", "team=films", "https://example.com/hook") + row("disabled: GONE", "-", "https://example.com/hook") +
				row("paused until 2026-11-05T12:00:00Z", "team=films", "(the webhook_uri of each task)") + row("failing since 2026-11-05T12:00:00Z", "team=films", "https://example.com/hook"),
		},
		"get": {[]string{"get", hookID}, &refractv1.GetWebhookEndpointRequest{EndpointId: hookID}, shown + stamps},
		"update": {
			[]string{"update", hookID, "--url=https://example.com/2", "--description=", "--rate=0", "--event=task.saving", "--label=a=b"},
			&refractv1.UpdateWebhookEndpointRequest{
				EndpointId: hookID, Url: new("https://example.com/2"), Description: new(""), RateLimit: new(int32(0)),
				EventTypes: []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SAVING}, Labels: &refractv1.WebhookLabels{Labels: map[string]string{"a": "b"}},
			},
			shown + stamps,
		},
		"update no labels": {
			[]string{"update", hookID, "--no-labels"}, &refractv1.UpdateWebhookEndpointRequest{EndpointId: hookID, Labels: &refractv1.WebhookLabels{}}, shown + stamps,
		},
		"enable":  {[]string{"enable", hookID}, &refractv1.UpdateWebhookEndpointRequest{EndpointId: hookID, Enabled: new(true)}, shown + stamps},
		"disable": {[]string{"disable", hookID}, &refractv1.UpdateWebhookEndpointRequest{EndpointId: hookID, Enabled: new(false)}, shown + stamps},
		"delete":  {[]string{"delete", hookID}, &refractv1.DeleteWebhookEndpointRequest{EndpointId: hookID}, "deleted " + hookID + "\n"},
		"rotate": {
			[]string{"rotate-secret", hookID},
			&refractv1.RotateWebhookSecretRequest{EndpointId: hookID, GracePeriod: durationpb.New(24 * time.Hour)},
			shown + "old secret  signs too until 2026-11-05T13:00:00Z\n" + stamps + "secret      " + hookSecret + "\n",
		},
		"rotate at once": {
			[]string{"rotate-secret", hookID, "--grace=0s"},
			&refractv1.RotateWebhookSecretRequest{EndpointId: hookID, GracePeriod: durationpb.New(0)},
			shown + "old secret  signs too until 2026-11-05T13:00:00Z\n" + stamps + "secret      " + hookSecret + "\n",
		},
		"test": {[]string{"test", hookID}, &refractv1.SendTestWebhookRequest{EndpointId: hookID}, "204 after 35ms\n"},
		"deliveries": {
			[]string{"deliveries", "--endpoint=" + hookID, "--task=" + clienttest.TaskID, "--state=pending", "--limit=2"},
			&refractv1.ListWebhookDeliveriesRequest{
				EndpointId: hookID, TaskId: clienttest.TaskID, PageSize: 1, PageToken: "next",
				States: []refractv1.WebhookDeliveryState{refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_PENDING},
			},
			"TIME                  STATE      ATTEMPTS  NEXT ATTEMPT          TYPE            ENDPOINT                              EVENT\n" +
				strings.Repeat("2026-11-05T12:00:00Z  PENDING    2         2026-11-05T12:01:00Z  task.failed     "+hookID+"  "+hookEvent+"\n", 2),
		},
		"delivery": {
			[]string{"delivery", hookID, hookEvent},
			&refractv1.GetWebhookDeliveryRequest{EndpointId: hookID, EventId: hookEvent},
			"event     " + hookEvent + "\ntype      task.failed\ntime      2026-11-05T12:00:00Z\ntask      " + clienttest.TaskID + " (revision 3)\nendpoint  " + hookID + `
state     PENDING, next attempt at 2026-11-05T12:01:00Z
attempts  2
2026-11-05T12:00:00Z  500 after 31ms: the status is 500 | two lines
2026-11-05T12:00:05Z  no answer after 15s: no answer within 15 s
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, requests := serveHooks(t, &hookServer{attempt: &refractv1.WebhookAttempt{HttpStatus: 204, DurationMs: 35}})
			exit, out, errs := command(t, r, append([]string{"webhook"}, tt.args...)...)
			if diff := cmp.Diff(tt.out, out); diff != "" || exit != 0 {
				t.Errorf("exit %d: %s, output (-want +got):\n%s", exit, errs, diff)
			}
			all := requests()
			if diff := cmp.Diff(tt.want, all[len(all)-1], protocmp.Transform()); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			exit, out, errs = command(t, r, append(append([]string{"webhook"}, tt.args...), "--json")...)
			if tt.args[0] == "delete" {
				if out != "" || exit != 0 {
					t.Errorf("exit %d: %s, output with --json %q", exit, errs, out)
				}
				return
			}
			if exit != 0 || len(jsonLines(t, out)) == 0 {
				t.Errorf("exit %d: %s, output with --json %q", exit, errs, out)
			}
		})
	}
}

func TestWebhookTest_FailsWhereTheEndpointDoes(t *testing.T) {
	t.Parallel()
	r, _ := serveHooks(t, &hookServer{attempt: &refractv1.WebhookAttempt{HttpStatus: 302, DurationMs: 35, Error: "the status is 302", Answer: "moved"}})
	exit, out, errs := command(t, r, "webhook", "test", hookID)
	if exit != 1 || out != "302 after 35ms: the status is 302 | moved\n" || !strings.Contains(errs, "did not take the event") {
		t.Errorf("exit %d: %s%s", exit, out, errs)
	}
}

func TestAttemptOutcome_ShowsMilliseconds(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{0: "204 after <1ms", 1: "204 after 1ms", 999: "204 after 999ms", 15_000: "204 after 15s"} {
		if got := attemptOutcome(&refractv1.WebhookAttempt{HttpStatus: 204, DurationMs: ms}); got != want {
			t.Errorf("%d ms: got %q, want %q", ms, got, want)
		}
	}
}

func TestWebhookRedeliver_CountsFirst(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args  []string
		out   string
		exit  int
		calls int
		left  int32
	}{
		"dry run":         {[]string{"--endpoint=" + hookID, "--failed", "--dry-run"}, "more than 10000 deliveries match\n", 0, 1, 25_000},
		"without consent": {[]string{"--endpoint=" + hookID, "--failed"}, "more than 10000 deliveries match\n", 1, 1, 25_000},
		"all":             {[]string{"--endpoint=" + hookID, "--failed", "--yes"}, "more than 10000 deliveries match\n25000 events are sent again\n", 0, 4, 0},
		"of a task":       {[]string{"--task=" + clienttest.TaskID, "--yes"}, "more than 10000 deliveries match\n25000 events are sent again\n", 0, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &hookServer{left: 25_000, more: true}
			r, requests := serveHooks(t, s)
			exit, out, errs := command(t, r, append([]string{"webhook", "redeliver"}, tt.args...)...)
			if exit != tt.exit || out != tt.out || len(requests()) != tt.calls || s.left != tt.left {
				t.Errorf("exit %d: %s, %d calls, %d left:\n%s", exit, errs, len(requests()), s.left, out)
			}
			if tt.exit != 0 && !strings.Contains(errs, "nothing was sent again: pass --yes") {
				t.Errorf("errors: %s", errs)
			}
		})
	}
	r, requests := serveHooks(t, &hookServer{left: 1})
	before := time.Now().Add(-time.Hour)
	if exit, out, errs := command(t, r, "webhook", "redeliver", "--json", "--yes", "--endpoint="+hookID, "--failed", "--since=1h"); exit != 0 || len(jsonLines(t, out)) != 1 {
		t.Errorf("exit %d: %s%s", exit, out, errs)
	}
	since := requests()[1].(*refractv1.RedeliverWebhooksRequest).GetFailed().GetSinceTime().AsTime()
	if since.Before(before) || since.After(time.Now().Add(-time.Hour)) || len(requests()) != 2 {
		t.Errorf("--since=1h asks for %v in %d calls", since, len(requests()))
	}
	r, requests = serveHooks(t, &hookServer{left: 1})
	exit, out, errs := command(t, r, "webhook", "redeliver", "--endpoint="+hookID, "--event="+hookEvent) // One event needs no consent.
	if exit != 0 || out != "1 deliveries match\n1 events are sent again\n" || len(requests()) != 2 {
		t.Errorf("exit %d: %s%s", exit, out, errs)
	}
}

func TestWebhook_RefusesWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"pass the URL":                     {"create"},
		"pass the URL that":                {"create", "https://example.com", "--for-tasks"},
		"--event=failed is no type":        {"create", "https://example.com", "--event=failed"},
		"--event=task.lost is no type":     {"update", hookID, "--event=task.lost"},
		"nothing to change":                {"update", hookID},
		"--label or --no-labels":           {"update", hookID, "--label=a=b", "--no-labels"},
		"pass --endpoint or --task":        {"deliveries"},
		"--state=LOST is no state":         {"deliveries", "--task=t", "--state=LOST"},
		"--limit=-1":                       {"deliveries", "--task=t", "--limit=-1"},
		"pass one of":                      {"redeliver", "--endpoint=e"},
		"pass one of --event":              {"redeliver", "--endpoint=e", "--event=v", "--failed"},
		"need --endpoint":                  {"redeliver", "--failed"},
		"--task is for all":                {"redeliver", "--task=t", "--endpoint=e"},
		"--since is a time":                {"redeliver", "--task=t", "--since=1h"},
		"--since is a time that has":       {"redeliver", "--failed", "--endpoint=e", "--since=-1h"},
		"--forward must be a URL":          {"listen", "--forward=localhost:3000"},
		"--secret must be whsec_":          {"listen", "--forward=http://127.0.0.1:1", "--secret=whsec_*"},
		"--secret must be whsec_ and":      {"listen", "--forward=http://127.0.0.1:1", "--secret=whsec_"},
		"--secret must be whsec_ and a":    {"listen", "--forward=http://127.0.0.1:1", "--secret=whsec_aGVsbG8="},
		"--event=x is no type":             {"listen", "--forward=http://127.0.0.1:1", "--event=x"},
		"nothing answers at 127.0.0.1:1: ": {"list"},
	} {
		exit, _, errs := command(t, &clienttest.Service{Address: "127.0.0.1:1"}, append([]string{"webhook"}, args...)...)
		if exit != 1 || !strings.Contains(errs, strings.TrimSpace(want)) {
			t.Errorf("webhook %v: exit %d: %s, want %q", args, exit, errs, want)
		}
	}
}

// received is what a developer's program got.
type received struct {
	id    string
	event struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}
	verified error
}

// program is a developer's program that answers events, and verifies them with a secret.
func program(t *testing.T, secret string, answer func(n int, w http.ResponseWriter)) (url string, got func() []received) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []received
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		e := received{id: r.Header.Get("webhook-id"), verified: errors.Join(err, verifier.Verify(body, r.Header))}
		e.verified = errors.Join(e.verified, json.Unmarshal(body, &e.event))
		mu.Lock()
		all = append(all, e)
		n := len(all)
		mu.Unlock()
		answer(n, w)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/hook", func() []received {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestWebhookListen_ForwardsSignedEventsInOrderAcrossConnections(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, asked := watchingAll(t, func() {})
	done := clienttest.NewTask(9, clienttest.Failed)
	done.Waiting, done.Attempt = &refractv1.Waiting{Message: "w"}, &refractv1.Attempt{Number: 1}
	broken := true
	r.Get = func() (*refractv1.Task, error) {
		if broken = !broken; broken {
			return nil, status.Error(codes.NotFound, "removed")
		}
		return proto.CloneOf(done), nil
	}
	url, got := program(t, hookSecret, func(n int, w http.ResponseWriter) {
		if n > 1 {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusFound)
		}
		_, _ = io.WriteString(w, "thanks\n")
	})
	out := lines{enough: cancel, n: 3}
	var errs strings.Builder
	exit := run(ctx, []string{
		"webhook", "listen", "--forward=" + url, "--event=task.running", "--event=task.failed", "--label=film=7", "--secret=" + hookSecret, "--json", "--address=" + r.Address,
	}, Console{Out: &out, Err: &errs})
	if exit != 1 || !strings.Contains(errs.String(), "connection lost, resuming") || !strings.Contains(errs.String(), "`refract webhook listen --after=t") {
		t.Errorf("exit %d: %s", exit, errs.String())
	}
	want := []*refractv1.WatchTasksRequest{
		{States: []refractv1.TaskState{clienttest.Running, clienttest.Failed}, Labels: map[string]string{"film": "7"}},
		{States: []refractv1.TaskState{clienttest.Running, clienttest.Failed}, Labels: map[string]string{"film": "7"}, ResumeToken: "t1"},
	}
	if diff := cmp.Diff(want, *asked, protocmp.Transform()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	events := got()
	if len(events) != 2 {
		t.Fatalf("the program received %d events", len(events))
	}
	for i, wantType := range []string{"task.running", "task.failed"} {
		e := events[i]
		if e.verified != nil || e.id != hookEvent || e.event.Type != wantType || !e.event.Timestamp.Equal(clienttest.CreateTime.Add(2*time.Second)) {
			t.Errorf("event %d: %+v", i, e)
		}
		var task refractv1.Task
		if err := protojson.Unmarshal(e.event.Data, &task); err != nil {
			t.Fatal(err)
		}
		if task.GetRevision() != 3 || task.GetWaiting() != nil || !strings.Contains(string(e.event.Data), `"prompt":"a neon city"`) || !strings.Contains(string(e.event.Data), `"outputs":[]`) {
			t.Errorf("event %d shows the task as %s", i, e.event.Data)
		}
	}
	var shown []string
	for line := range strings.Lines(out.String()) {
		var d refractv1.WebhookDelivery
		if err := protojson.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		a := d.GetAttempts()[0]
		shown = append(shown, fmt.Sprint(eventName(d.GetEventType()), " ", deliveryState(d.GetState()), " ", a.GetHttpStatus(), " ", a.GetError(), " ", a.GetAnswer()))
	}
	wantShown := []string{
		"task.running SUCCEEDED 200  thanks\n", "task.succeeded FAILED 0 the task has been removed ", "task.failed FAILED 302 the status is not 2xx thanks\n",
	}
	if diff := cmp.Diff(wantShown, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestWebhookListen_PrintsTheSecretThatItMakes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, asked := watchingAll(t, func() {})
	r.Get = func() (*refractv1.Task, error) { return clienttest.NewTask(3, clienttest.Running), nil }
	out := lines{enough: cancel, n: 2}
	var errs strings.Builder
	run(ctx, []string{"webhook", "listen", "--forward=http://" + nettest.FreeAddress(t) + "/hook?key=hunter2", "--after=t", "--address=" + r.Address}, Console{Out: &out, Err: &errs})
	first, rest, _ := strings.Cut(out.String(), "\n")
	secret, ok := strings.CutPrefix(first, "secret ")
	if _, err := standardwebhooks.NewWebhook(secret); !ok || err != nil || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q, %v", first, err)
	}
	if !strings.Contains(rest, "task.running    "+hookEvent+"  no answer after ") || !strings.Contains(rest, "connection refused") || strings.Contains(rest, "hunter2") {
		t.Errorf("output:\n%s", rest)
	}
	if got := (*asked)[0]; got.GetResumeToken() != "t" || len(got.GetStates()) != 3 {
		t.Errorf("by default it asks for %v", got)
	}
}

func TestTaskAt_ShowsTheTaskAsTheEventLeftIt(t *testing.T) {
	t.Parallel()
	now := clienttest.NewTask(9, clienttest.Succeeded)
	now.Attempt, now.Outputs = &refractv1.Attempt{Number: 2}, []*refractv1.Output{{SignedUri: "https://example.com/signed"}}
	if got := taskAt(proto.CloneOf(now), clienttest.NewEvent(9, clienttest.Succeeded, "")); !proto.Equal(got, now) {
		t.Errorf("the newest event changes the task to %v", got)
	}
	failed := clienttest.NewEvent(5, clienttest.Failed, "")
	failed.Attempt, failed.Failure = 1, &refractv1.Failure{Message: "f"}
	got := taskAt(proto.CloneOf(now), failed)
	want := proto.CloneOf(now)
	want.State, want.Revision, want.UpdateTime, want.Failure, want.Attempt, want.Outputs = clienttest.Failed, 5, failed.GetCreateTime(), failed.GetFailure(), nil, nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("an older event (-want +got):\n%s", diff)
	}
}

// As for the service, the status line is the answer.
func TestForwarder_TheStatusDecides(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "8")
		_, _ = io.WriteString(w, "half")
	}))
	t.Cleanup(server.Close)
	f, err := (&webhookListenCmd{Forward: server.URL, Secret: hookSecret}).forwarder(Console{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if a := f.post(t.Context(), hookEvent, []byte("{}")); a.GetHttpStatus() != 200 || a.GetError() != "" || a.GetAnswer() != "half" {
		t.Errorf("got %v, want a success", a)
	}
}

func TestEventBody_HasNoLinksWhereItWouldBeTooLargeWithoutInputs(t *testing.T) {
	t.Parallel()
	task := clienttest.NewTask(3, clienttest.Succeeded)
	task.Prompt = "p"
	task.Outputs = []*refractv1.Output{{DownloadUri: "https://example.com/0", SignedUri: strings.Repeat("s", maxForwarded), SignedUriExpireTime: timestamppb.Now()}}
	body, err := eventBody(hookDelivery(), task)
	if err != nil || len(body) > maxForwarded || !strings.Contains(string(body), `"downloadUri":"https://example.com/0"`) || !strings.Contains(string(body), `"prompt":""`) {
		t.Errorf("%v, a body of %d bytes", err, len(body))
	}
}

func TestEventBody_HasNoInputsWhereItWouldBeTooLarge(t *testing.T) {
	t.Parallel()
	task := clienttest.NewTask(3, clienttest.Failed)
	task.Prompt = strings.Repeat("p", maxForwarded)
	body, err := eventBody(hookDelivery(), task)
	if err != nil || len(body) > maxForwarded || !strings.Contains(string(body), `"prompt":""`) {
		t.Errorf("%v, a body of %d bytes", err, len(body))
	}
}

package operation_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// tracedService is the service as a process that sends its spans to a collector, and a client whose calls have spans.
type tracedService struct {
	*e2etest.Process
	*client.Client
	spans    *spanCollector
	caller   trace.Tracer
	received chan http.Header // The headers of webhooks.
	kept     []http.Header    // Those that nothing has waited for yet.
}

// startTraced starts the service with a webhook endpoint for terminal events.
func startTraced(t *testing.T) *tracedService {
	t.Helper()
	provider, err := sim.Start(sim.Config{Processing: 500 * time.Millisecond}, simkie.Profile{WebhookKey: e2etest.WebhookKey, CallbackSpacing: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	s := &tracedService{spans: startSpanCollector(t), received: make(chan http.Header, 100)}
	s.Process = e2etest.StartProcessIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.spans.url},
		"--database-url="+e2etest.FewConnections(postgrestest.URL(t)), "--bucket=file://"+filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private", "--log-level=debug",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-url="+provider.URL(), "--kie-api-key="+e2etest.APIKey, "--kie-webhook-key="+e2etest.WebhookKey)
	traces := sdktrace.NewTracerProvider() // Its sampler is parent-based.
	s.caller = traces.Tracer("caller")
	s.Client, err = client.Dial(s.GRPC, client.WithDialOptions(grpc.WithStatsHandler(otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(traces), otelgrpc.WithPropagators(propagation.TraceContext{})))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.received <- r.Header }))
	t.Cleanup(hook.Close)
	webhooks := refractv1.NewWebhookServiceClient(e2etest.Dial(t, s.GRPC))
	if _, err := webhooks.CreateWebhookEndpoint(t.Context(), &refractv1.CreateWebhookEndpointRequest{Url: hook.URL}); err != nil {
		t.Fatal(err)
	}
	return s
}

// submit submits a task in a span of the caller, and returns its id and that of the trace.
func (s *tracedService) submit(t *testing.T, directives string) (taskID string, id trace.TraceID) {
	t.Helper()
	ctx, span := s.caller.Start(t.Context(), "caller")
	defer span.End()
	return s.submitIn(ctx, t, directives), span.SpanContext().TraceID()
}

func (s *tracedService) submitIn(ctx context.Context, t *testing.T, directives string) (taskID string) {
	t.Helper()
	req := e2etest.GoodRequest()
	req.Prompt += " " + directives
	task, err := s.Submit(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return task.GetId()
}

// delivered waits until another webhook of a task has arrived, and returns its header.
func (s *tracedService) delivered(t *testing.T, taskID string) http.Header {
	t.Helper()
	for {
		for i, header := range s.kept {
			if strings.Contains(header.Get("Webhook-Id"), taskID) {
				s.kept = slices.Delete(s.kept, i, i+1)
				return header
			}
		}
		select {
		case header := <-s.received:
			s.kept = append(s.kept, header)
		case <-time.After(e2etest.Hung):
			t.Fatalf("no webhook of task %s arrives", taskID)
		}
	}
}

// TestTrace_TellsTheStoryOfATask compares the trace of a task with the tree in docs/tracing.md: the submit's trace goes on in admission,
// the provider's calls, the callback, the save and the webhook. Other tasks of the service are retried, cancelled, submitted over REST
// and not sampled.
func TestTrace_TellsTheStoryOfATask(t *testing.T) {
	t.Parallel()
	s := startTraced(t)
	story, storyTrace := s.submit(t, "")
	header := s.delivered(t, story) // Before all others: the first request to the endpoint decrypts its secret.
	retried, retriedTrace := s.submit(t, "[sim:fail]")
	canceled, canceledTrace := s.submit(t, "[sim:processing=1h]")
	quietTrace := trace.TraceID{0x51}
	quiet := s.submitIn(trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: quietTrace, SpanID: trace.SpanID{1}})), t, "")
	restTrace := trace.TraceID{0x52}
	status, _, body := e2etest.Request(t, http.MethodPost, "http://"+s.HTTP+"/v1/tasks",
		`{"requestId":"rest","prompt":"A neon city","source":{"uri":"https://example.com/clip.mp4"}}`, "Content-Type", "application/json",
		"Traceparent", "00-"+restTrace.String()+"-0100000000000000-01")
	if status != http.StatusOK {
		t.Fatalf("REST answered %d: %s", status, body)
	}

	s.delivered(t, retried)
	if _, err := s.Client.Tasks().RetryTask(t.Context(), &refractv1.RetryTaskRequest{TaskId: retried}); err != nil {
		t.Fatal(err)
	}
	s.delivered(t, retried)
	if _, err := s.Client.Tasks().CancelTask(t.Context(), &refractv1.CancelTaskRequest{TaskId: canceled}); err != nil {
		t.Fatal(err)
	}
	s.delivered(t, canceled)
	s.delivered(t, quiet)
	s.Terminate(t)

	t.Run("the tree", func(t *testing.T) {
		got := s.spans.tree(storyTrace)
		t.Logf("the trace of task %s:\n%s", story, got)
		if diff := gocmp.Diff(documentedTrace(t), got); diff != "" {
			t.Errorf("the trace (-docs/tracing.md +got):\n%s", diff)
		}
		if parent := header.Get("Traceparent"); !strings.Contains(parent, storyTrace.String()) {
			t.Errorf("the webhook came with traceparent %q, want one of trace %s", parent, storyTrace)
		}
		if line := fmt.Sprintf("%q:%q", "trace_id", storyTrace); !strings.Contains(s.Log.String(), line) {
			t.Errorf("no line of the log has %s", line)
		}
	})
	t.Run("goes on after a retry", func(t *testing.T) {
		got := s.spans.tree(retriedTrace)
		for name, n := range map[string]int{"\n  retry task  (linked with refract.v1.TaskService/RetryTask)\n": 1, "\n  submit attempt\n": 2, "\n  deliver webhook\n": 2} {
			if strings.Count(got, name) != n {
				t.Errorf("the trace has %q %d times, want %d:\n%s", name, strings.Count(got, name), n, got)
			}
		}
	})
	t.Run("has the cancellation", func(t *testing.T) {
		if got := s.spans.tree(canceledTrace); !strings.Contains(got, "\n  cancel task  (linked with refract.v1.TaskService/CancelTask)\n") {
			t.Errorf("the trace has no cancellation:\n%s", got)
		}
	})
	t.Run("begins with REST", func(t *testing.T) {
		want := "POST /v1/tasks\n  refract.v1.TaskService/SubmitTask\n    admit task\n"
		if got := s.spans.tree(restTrace); !strings.HasPrefix(got, want) {
			t.Errorf("the trace is\n%s\nwant it to begin with\n%s", got, want)
		}
	})
	t.Run("is not sampled against the caller's will", func(t *testing.T) {
		if got := s.spans.tree(quietTrace); got != "" {
			t.Errorf("the trace has spans:\n%s", got)
		}
	})
	t.Run("names attempt and provider", func(t *testing.T) {
		got := s.spans.attributes(storyTrace, "submit attempt")
		for key, want := range map[string]string{
			"refract.task.id": story, "refract.attempt.number": "1", "refract.provider": "kie", "refract.account": "kie", "refract.tenant": "default",
		} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q", key, got[key], want)
			}
		}
	})
}

// documentedTrace returns the tree in docs/tracing.md.
func documentedTrace(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/tracing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- trace -->\n```\n")
	tree, _, found := strings.Cut(rest, "```\n<!-- /trace -->")
	if !found {
		t.Fatal("docs/tracing.md has no trace")
	}
	return tree
}

// spanCollector receives spans over OTLP.
type spanCollector struct {
	url string

	mu    sync.Mutex
	spans []*tracepb.Span
}

func startSpanCollector(t *testing.T) *spanCollector {
	t.Helper()
	c := &spanCollector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var export collectorpb.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("the collector got %s with %d bytes: %v", r.URL.Path, len(body), err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// all returns the spans in the order in which they began.
func (c *spanCollector) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.spans)
	slices.SortStableFunc(all, func(a, b *tracepb.Span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return all
}

// attributes returns the attributes of the first span of a trace with a name.
func (c *spanCollector) attributes(id trace.TraceID, name string) map[string]string {
	found := map[string]string{}
	for _, s := range c.all() {
		if len(found) == 0 && s.GetName() == name && hex.EncodeToString(s.GetTraceId()) == id.String() {
			for _, a := range s.GetAttributes() {
				found[a.GetKey()] = a.GetValue().GetStringValue()
				if n, ok := a.GetValue().GetValue().(*commonpb.AnyValue_IntValue); ok {
					found[a.GetKey()] = strconv.FormatInt(n.IntValue, 10)
				}
			}
		}
	}
	return found
}

// tree prints the spans of a trace: the name of each below that of its parent, with the names of the spans that it is linked to. Spans
// whose parent is elsewhere, as the caller's, are at the top.
func (c *spanCollector) tree(id trace.TraceID) string {
	all := c.all()
	names, children := map[string]string{}, map[string][]*tracepb.Span{}
	for _, s := range all {
		names[hex.EncodeToString(s.GetSpanId())] = s.GetName()
	}
	for _, s := range all {
		if hex.EncodeToString(s.GetTraceId()) != id.String() {
			continue
		}
		parent := hex.EncodeToString(s.GetParentSpanId())
		if names[parent] == "" {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var b strings.Builder
	var write func(parent, indent string)
	write = func(parent, indent string) {
		for _, s := range children[parent] {
			fmt.Fprintf(&b, "%s%s", indent, s.GetName())
			for _, l := range s.GetLinks() {
				fmt.Fprintf(&b, "  (linked with %s)", cmp.Or(names[hex.EncodeToString(l.GetSpanId())], "an unknown span"))
			}
			b.WriteByte('\n')
			write(hex.EncodeToString(s.GetSpanId()), indent+"  ")
		}
	}
	write("", "")
	return b.String()
}

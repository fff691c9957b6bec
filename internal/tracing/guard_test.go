package tracing_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/refract-video/refract/internal/tracing"
)

// TestGuard_PassesNoSecretOn puts a secret into each text of a span, as libraries would.
func TestGuard_PassesNoSecretOn(t *testing.T) {
	t.Parallel()
	const key, token = "api-key-3f6a1c77", "url-token-9d1e77"
	out := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(tracing.Guard(out, key)))
	link := trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}), Attributes: []attribute.KeyValue{attribute.String("why", key)}}
	signed := "https://user:" + token + "@files.example.com/results/" + token + "?X-Amz-Signature=" + token
	_, span := traces.Tracer("test").Start(t.Context(), "call with "+key, trace.WithLinks(link), trace.WithAttributes(
		attribute.String("url.full", signed), attribute.String("http.url", signed), attribute.String("url.path", "/v1/callbacks/kie/"+token),
		attribute.String("url.query", "token="+token), attribute.String("http.target", "/v1/callbacks/kie/"+token),
		attribute.String("text", "GET "+signed+" with "+key), attribute.StringSlice("texts", []string{key, signed}),
		attribute.Int("http.response.status_code", 200), attribute.String("http.route", "/v1/callbacks/{provider}/{token}"),
		attribute.String("user_agent.original", "caf\xe9 "+strings.Repeat("é", 600)),
	))
	span.AddEvent("exception with "+key, trace.WithAttributes(attribute.String("exception.message", signed)))
	span.SetStatus(codes.Error, "Get "+signed+": refused")
	span.End()

	got := out.GetSpans()[0]
	text := fmt.Sprintf("%q %v %v %v %v", got.Name, got.Attributes, got.Events, got.Links, got.Status)
	for _, secret := range []string{key, token} {
		if strings.Contains(text, secret) {
			t.Errorf("%q leaves: %s", secret, text)
		}
	}
	for _, want := range []string{"https://files.example.com", `"http.response.status_code":200`, "/v1/callbacks/{provider}/{token}", "refused", "exception"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is lost: %s", want, text)
		}
	}
	for _, a := range got.Attributes {
		if s := a.Value.AsString(); a.Value.Type() == attribute.STRING && (!utf8.ValidString(s) || len(s) > 512) {
			t.Errorf("%s has %d bytes, valid UTF-8: %t", a.Key, len(s), utf8.ValidString(s))
		}
	}
}

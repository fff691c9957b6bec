package tracing

import (
	"context"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/refract-video/refract/internal/redact"
)

// maxText is how much of a text leaves the process, in bytes.
const maxText = 512

// Guard returns an exporter through which no secret leaves: a URL is cut to its origin, a path or a query is left out, since callbacks
// and signed links have a token there, and the given secrets are removed from every text. Texts are cut to 512 bytes. All spans of the
// process pass it, those of libraries too.
func Guard(next sdktrace.SpanExporter, secrets ...string) sdktrace.SpanExporter {
	return &guard{SpanExporter: next, secrets: secrets}
}

type guard struct {
	sdktrace.SpanExporter

	secrets []string
}

// ExportSpans implements sdktrace.SpanExporter.
func (g *guard) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	clean := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		c := &cleanSpan{ReadOnlySpan: s, name: g.text(s.Name()), attributes: g.attributes(s.Attributes()), status: s.Status()}
		c.status.Description = g.text(c.status.Description)
		for _, e := range s.Events() {
			e.Name, e.Attributes = g.text(e.Name), g.attributes(e.Attributes)
			c.events = append(c.events, e)
		}
		for _, l := range s.Links() {
			l.Attributes = g.attributes(l.Attributes)
			c.links = append(c.links, l)
		}
		clean[i] = c
	}
	return g.SpanExporter.ExportSpans(ctx, clean)
}

// cleanSpan is a span with other texts.
type cleanSpan struct {
	sdktrace.ReadOnlySpan

	name       string
	attributes []attribute.KeyValue
	status     sdktrace.Status
	events     []sdktrace.Event
	links      []sdktrace.Link
}

func (s *cleanSpan) Name() string                     { return s.name }
func (s *cleanSpan) Attributes() []attribute.KeyValue { return s.attributes }
func (s *cleanSpan) Status() sdktrace.Status          { return s.status }
func (s *cleanSpan) Events() []sdktrace.Event         { return s.events }
func (s *cleanSpan) Links() []sdktrace.Link           { return s.links }

func (g *guard) attributes(all []attribute.KeyValue) []attribute.KeyValue {
	clean := make([]attribute.KeyValue, 0, len(all))
	for _, a := range all {
		switch a.Key {
		case "url.path", "url.query", "url.fragment", "http.target": // The last is the former name of the first two.
			continue
		case "url.full", "http.url":
			a.Value = attribute.StringValue(origin(a.Value.AsString()))
			clean = append(clean, a)
			continue
		}
		switch a.Value.Type() {
		case attribute.STRING:
			a.Value = attribute.StringValue(g.text(a.Value.AsString()))
		case attribute.STRINGSLICE:
			texts := a.Value.AsStringSlice()
			for i := range texts {
				texts[i] = g.text(texts[i])
			}
			a.Value = attribute.StringSliceValue(texts)
		default: // Numbers.
		}
		clean = append(clean, a)
	}
	return clean
}

// text returns a text without secrets, with at most maxText bytes. It is valid UTF-8: a collector refuses all spans of a request for
// one that is not, such as one with the User-Agent of a stranger.
func (g *guard) text(s string) string {
	if s == "" {
		return s
	}
	clean := redact.Links(redact.Secrets([]byte(s), g.secrets...))
	return strings.ToValidUTF8(string(clean[:min(len(clean), maxText)]), "")
}

// origin returns the scheme and the host of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redact.Mark
	}
	return u.Scheme + "://" + u.Host
}

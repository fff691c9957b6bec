package redact

import (
	"context"
	"log/slog"
)

// Handler is a log handler that removes secrets, and the users and passwords of URLs, from the strings and errors of
// all lines. It is the last resort: callers should log no secret.
type Handler struct {
	slog.Handler
	secrets []string
}

// NewHandler returns a handler that removes the secrets and calls next.
func NewHandler(next slog.Handler, secrets ...string) Handler { return Handler{next, secrets} }

// Handle removes secrets from a line and passes it to the next handler.
func (h Handler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.clean(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs returns a handler with attributes that removes the same secrets.
func (h Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return Handler{h.Handler.WithAttrs(h.cleanAll(attrs)), h.secrets}
}

// WithGroup returns a handler with a group that removes the same secrets.
func (h Handler) WithGroup(name string) slog.Handler {
	return Handler{h.Handler.WithGroup(name), h.secrets}
}

func (h Handler) cleanAll(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.clean(a)
	}
	return clean
}

func (h Handler) clean(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(h.text(v.String()))
	case slog.KindGroup:
		a.Value = slog.GroupValue(h.cleanAll(v.Group())...)
	case slog.KindAny:
		a.Value = v
		if err, ok := v.Any().(error); ok {
			if text := err.Error(); h.text(text) != text {
				a.Value = slog.StringValue(h.text(text))
			}
		}
	default:
		a.Value = v
	}
	return a
}

func (h Handler) text(s string) string { return Users(String(s, h.secrets...)) }

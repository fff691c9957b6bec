package redact

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestHandler_PassesNoSecretOn(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var out bytes.Buffer
		log := slog.New(NewHandler(handler(&out), token, ""))
		log.With("with", token).WithGroup("in").Info("a line", "text", "it is "+token, "error", errors.New("no "+token),
			slog.Group("group", "deep", token), "panic", any(token), "n", 7, "escaped", each("%%%02x", token))
		log.Info("another", "error", errors.New("dial https://user:"+token[:20]+"@host: refused"), "nil", nil)
		if strings.Contains(out.String(), token[:20]) || strings.Contains(out.String(), "user:") {
			t.Errorf("%s: %s", name, out.String())
		}
		for _, want := range []string{"a line", "another", "it is ", "host: refused", "7"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the log lacks %q: %s", name, want, out.String())
			}
		}
	}
}

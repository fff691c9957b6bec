package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/httpapi"
)

func TestInternal_AnswersHealthMetricsAndDocument(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{}, func(cfg *httpapi.InternalConfig) {
		cfg.OpenAPI = func() ([]byte, error) { return []byte(`{"swagger":"2.0"}`), nil }
		cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	for _, tc := range []struct{ method, path, body, contentType string }{
		{http.MethodGet, "/healthz", "ok\n", "text/plain; charset=utf-8"},
		{http.MethodHead, "/healthz", "", "text/plain; charset=utf-8"},
		{http.MethodGet, "/readyz", "ready\n", "text/plain; charset=utf-8"},
		{http.MethodGet, "/metrics", "up 1\n", "text/plain; charset=utf-8"},
		{http.MethodGet, "/openapi.json", `{"swagger":"2.0"}`, "application/json"},
		{http.MethodHead, "/openapi.json", "", "application/json"},
	} {
		a := s.do(t, tc.method, tc.path, nil)
		if a.status != 200 || a.body != tc.body || a.header.Get("Content-Type") != tc.contentType {
			t.Errorf("%s %s: %d %q of type %q", tc.method, tc.path, a.status, a.body, a.header.Get("Content-Type"))
		}
	}
}

func TestInternal_UnreadyGivesNoReason(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{}, func(cfg *httpapi.InternalConfig) {
		cfg.Ready = func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("the question has no deadline")
			}
			return errors.New("password hunter2 refused")
		}
	})
	a := s.do(t, http.MethodGet, "/readyz", nil)
	if a.status != http.StatusServiceUnavailable || a.body != "unready\n" {
		t.Errorf("answer %d %q", a.status, a.body)
	}
	if !strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("the log lacks the reason: %s", s.log)
	}
	if a := s.do(t, http.MethodGet, "/healthz", nil); a.status != http.StatusOK {
		t.Errorf("healthz of an unready process: %d", a.status)
	}
}

func TestInternal_ADocumentThatCanNotBeMadeIsLogged(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{}, func(cfg *httpapi.InternalConfig) {
		cfg.OpenAPI = func() ([]byte, error) { return nil, errors.New("unexpected end of JSON input") }
	})
	a := s.do(t, http.MethodGet, "/openapi.json", nil)
	if want := `{"code":13,"message":"internal error"}`; a.status != http.StatusInternalServerError || a.body != want {
		t.Errorf("answer %d %s, want 500 %s", a.status, a.body, want)
	}
	if log := s.log.String(); !strings.Contains(log, "unexpected end of JSON input") {
		t.Errorf("the log lacks the reason: %s", log)
	}
}

func TestInternal_PanicIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{}, func(cfg *httpapi.InternalConfig) {
		cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { boom() })
	})
	a := s.do(t, http.MethodGet, "/metrics", nil)
	if want := `{"code":13,"message":"internal error"}`; a.status != http.StatusInternalServerError || a.body != want {
		t.Errorf("answer %d %s, want 500 %s", a.status, a.body, want)
	}
	if log := s.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, "server_test.go") {
		t.Errorf("the log lacks the panic or its stack: %s", log)
	}
}

func TestInternal_PanicInsideAnAnswerCutsIt(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, &remote{}, func(cfg *httpapi.InternalConfig) {
		cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "up")
			_ = http.NewResponseController(w).Flush()
			boom()
		})
	})
	resp := s.start(t, http.MethodGet, "/metrics", nil)
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended as if complete, with %q", got)
	}
}

func TestNewServer_BoundsEverything(t *testing.T) {
	t.Parallel()
	s := httpapi.NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
		t.Errorf("a bound is missing: %+v", s)
	}
}

func TestNewServer_LogsItsOwnTroubleAsWarning(t *testing.T) {
	t.Parallel()
	text := &logText{}
	httpapi.NewServer(http.NotFoundHandler(), text.logger()).ErrorLog.Print("trouble")
	if log := text.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "trouble") {
		t.Errorf("the log has %q", log)
	}
}

// TestNewServer_LogsAnErrorOnceAMinute fails many handshakes. Without serverErrors each has a line.
func TestNewServer_LogsAnErrorOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := &logText{}
		to := httpapi.NewPublicServer(http.NotFoundHandler(), text.logger()).ErrorLog
		for range 1000 {
			to.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
		}
		to.Print("http: Accept error: too many open files; " + strings.Repeat("x", 1<<20))
		<-time.After(time.Minute)
		to.Print("http: TLS handshake error from 192.0.2.1:2: EOF")
		log := text.String()
		if lines := strings.Count(log, "\n"); lines != 3 || !strings.Contains(log, "suppressed=999") || len(log) > 3000 {
			t.Errorf("the log has %d lines and %d bytes, want 3 lines: %.500s", lines, len(log), log)
		}
	})
}

func TestNewPublicServer_GivesStrangersLess(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	public, internal := httpapi.NewPublicServer(http.NotFoundHandler(), log), httpapi.NewServer(http.NotFoundHandler(), log)
	if public.ReadHeaderTimeout >= internal.ReadHeaderTimeout || public.IdleTimeout >= internal.IdleTimeout || public.MaxHeaderBytes >= internal.MaxHeaderBytes {
		t.Errorf("strangers have %v, %v and %d bytes", public.ReadHeaderTimeout, public.IdleTimeout, public.MaxHeaderBytes)
	}
}

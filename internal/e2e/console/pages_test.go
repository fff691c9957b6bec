package console_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestConsole_RequiresCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := s.get(t, stranger, "/tasks?state=QUEUED")
	if p.url.Path != "/login" || p.url.Query().Get("to") != "/tasks?state=QUEUED" {
		t.Errorf("a visitor without credentials is led to %s, want to /login and back", p.url)
	}
}

func TestConsole_ATenantSeesOnlyItsOwnTasks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.submit(t, acme, "A neon city [sim:processing=1h]")
	s.get(t, acme, "/tasks").wantStatus(t, http.StatusOK).want(t, "A neon city")
	s.get(t, other, "/tasks").wantStatus(t, http.StatusOK).wantNot(t, "A neon city")
}

func TestConsole_EveryAnswerHasAStrictPolicy(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{"/tasks", "/assets/console.css", "/assets/console.js", "/nothing"} {
		h := s.get(t, acme, path).header
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: policy %q, X-Content-Type-Options %q", path, policy, h.Get("X-Content-Type-Options"))
		}
	}
}

func TestConsole_UnknownPagesAre404(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/nothing").wantStatus(t, http.StatusNotFound)
}

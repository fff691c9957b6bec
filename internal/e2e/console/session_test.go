package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

func TestSession_EndsWhenAnOperatorEndsIt(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/tasks").wantStatus(t, http.StatusOK)
	sessions, err := s.operators.ListConsoleSessions(s.ctx(t, operator), &refractv1.ListConsoleSessionsRequest{})
	if err != nil || len(sessions.GetSessions()) != 1 {
		t.Fatalf("sessions: %v, %v, want one", sessions, err)
	}
	if _, err := s.operators.EndConsoleSession(s.ctx(t, operator), &refractv1.EndConsoleSessionRequest{SessionId: sessions.GetSessions()[0].GetId()}); err != nil {
		t.Fatal(err)
	}
	var p *page
	e2etest.Eventually(t, "the session to end", func() bool {
		p = s.get(t, acme, "/tasks?state=QUEUED")
		return p.url.Path == "/login"
	})
	if to := p.url.Query().Get("to"); to != "/tasks?state=QUEUED" {
		t.Errorf("signing in again leads to %q, want to the page that was wanted", to)
	}
}

func TestSession_IsOverAfterItsTime(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/tasks").wantStatus(t, http.StatusOK)
	if _, err := s.pool.Exec(t.Context(), "UPDATE console_session SET expire_time = now() - interval '1 second', create_time = now() - interval '7 hours'"); err != nil {
		t.Fatal(err)
	}
	e2etest.Eventually(t, "the session to end", func() bool { return s.get(t, acme, "/tasks").url.Path == "/login" })
}

func TestForms_WithoutTheTokenOfTheSessionAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if _, err := s.operators.PauseProvider(s.ctx(t, operator), &refractv1.PauseProviderRequest{Account: "kie", Reason: "maintenance"}); err != nil {
		t.Fatal(err)
	}
	task := s.submit(t, acme, "A neon city")
	foreign, _ := s.get(t, other, "/tasks").form(t, "Sign out")
	for name, fields := range map[string]url.Values{
		"none":              {},
		"empty":             {"form_token": {""}},
		"another visitor's": valuesOf(foreign),
	} {
		p := s.post(t, acme, "/tasks/"+task.GetId()+"/cancel", fields)
		if p.status != http.StatusForbidden || !strings.Contains(p.text(), "Form refused") {
			t.Errorf("token %s: status %d, want 403: %s", name, p.status, p.text())
		}
	}
	if state := s.task(t, acme, task.GetId()).GetState(); state != queued {
		t.Errorf("the task is %v, want queued", state)
	}
}

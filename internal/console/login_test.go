package console

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/identity"
)

func TestLocalPath_LeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"/tasks":                                 "/tasks",
		"/tasks?state=QUEUED&label=a%3Db":        "/tasks?state=QUEUED&label=a%3Db",
		"/tasks/1#story":                         "/tasks/1#story",
		"":                                       "/",
		"tasks":                                  "/",
		"//evil.example":                         "/",
		"/\\evil.example":                        "/",
		"\\/evil.example":                        "/",
		"/\t/evil.example":                       "/",
		"/\n/evil.example":                       "/",
		"https://evil.example/":                  "/",
		"javascript:alert(1)":                    "/",
		" /tasks":                                "/",
		"/login?to=/login":                       "/",
		"/login/link?code=x":                     "/",
		"/logout":                                "/",
		"/v1/tasks":                              "/",
		"/tasks?q=" + strings.Repeat("x", maxTo): "/",
	} {
		if got := localPath(to); got != want {
			t.Errorf("localPath(%q) = %q, want %q", to, got, want)
		}
	}
}

func TestPending_FitsInACookie(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"/tasks?state=QUEUED&label=a":                         "/tasks?state=QUEUED&label=a",
		"/tasks?" + strings.Repeat("&", maxTo-len("/tasks?")): "/", // JSON has six bytes for each.
	} {
		value, err := pending{identity.PendingSignIn{State: "s"}, to}.encode()
		if err != nil || len(value) > maxPending {
			t.Fatalf("encode = %d bytes, %v, want at most %d", len(value), err, maxPending)
		}
		text, err := base64.RawURLEncoding.DecodeString(value)
		var got pending
		if err != nil || json.Unmarshal(text, &got) != nil || got.To != want || got.State != "s" {
			t.Errorf("a sign-in to %q becomes %+v, %v", to, got, err)
		}
	}
}

func TestAttempts_AreBoundedByAddress(t *testing.T) {
	t.Parallel()
	a, now := newAttempts(), time.Unix(1_700_000_000, 0)
	from := func(addr string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", http.NoBody)
		r.RemoteAddr = addr
		return r
	}
	for i := range attemptsEachBurst {
		if !a.allow(from("[2001:db8::1]:1000"), now) {
			t.Fatalf("attempt %d is refused", i)
		}
	}
	for addr, want := range map[string]bool{"[2001:db8::2]:1000": false, "[2001:db8:0:1::1]:1000": true, "192.0.2.1:1000": true, "not an address": true} {
		if got := a.allow(from(addr), now); got != want {
			t.Errorf("an attempt from %s after many from 2001:db8::1: %t, want %t", addr, got, want)
		}
	}
	if !a.allow(from("[2001:db8::1]:1000"), now.Add(time.Minute)) {
		t.Error("an attempt a minute later is refused")
	}
}

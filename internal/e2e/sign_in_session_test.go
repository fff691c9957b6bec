package e2e_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/server"
)

// signIn signs a browser in with an API token.
func (b *browser) signIn(t *testing.T, token string) {
	t.Helper()
	form := url.Values{"form_token": {b.open(t, "/login").token(t)}, "token": {token}}
	if p := b.follow(t, b.send(t, http.MethodPost, "/login", form)); p.status != http.StatusOK || b.session() == "" {
		t.Fatalf("the sign-in led to %s (%d):\n%s", p.url, p.status, p.body)
	}
}

// signedIn returns a browser that is signed in with an API token.
func (ts *testService) signedIn(t *testing.T, token string) *browser {
	t.Helper()
	b := ts.stranger(t)
	b.signIn(t, token)
	return b
}

// stranger returns a browser that is not signed in.
func (ts *testService) stranger(t *testing.T) *browser {
	t.Helper()
	return ts.newBrowser(t, consoleOrigin, &http.Transport{})
}

// opens reports whether a session opens the console.
func (ts *testService) opens(t *testing.T, session string) bool {
	t.Helper()
	b := ts.stranger(t)
	b.client.Jar.SetCookies(b.origin, []*http.Cookie{{Name: cookie.Session, Value: session}})
	return b.open(t, "/tasks").url.Path == "/tasks"
}

func TestSignIn_ALinkWorksOnceAndOpeningItUsesNothingUp(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.Command, Name: "alice"})
	code, err := credentials.NewSessions(ts.pool).CreateLink(ctx, "acme", false)
	if err != nil {
		t.Fatal(err)
	}
	link := "/login/link?code=" + code
	mail, b := ts.stranger(t), ts.stranger(t)
	for range 2 {
		mail.open(t, link).want(t, http.StatusOK, "acme")
	}
	if mail.session() != "" || ts.sessions(t) != 0 {
		t.Fatal("opening the link signed in")
	}
	token := b.open(t, link).token(t)
	b.send(t, http.MethodPost, "/login/link", url.Values{"code": {code}}).want(t, http.StatusForbidden, "Form refused")
	form := url.Values{"form_token": {token}, "code": {code}}
	if p := b.follow(t, b.send(t, http.MethodPost, "/login/link", form)); p.status != http.StatusOK || p.url.Path != "/tasks" {
		t.Fatalf("the link led to %s (%d):\n%s", p.url, p.status, p.body)
	}
	mail.open(t, link).want(t, http.StatusNotFound, "The link was used already, or has expired.")
	form.Set("form_token", ts.tokenOf(t, mail))
	mail.send(t, http.MethodPost, "/login/link", form).want(t, http.StatusNotFound, "The link was used already, or has expired.")
	if n := ts.sessions(t); n != 1 || mail.session() != "" {
		t.Errorf("%d sessions were made, want one", n)
	}
	if strings.Contains(ts.log.String(), code) || strings.Contains(ts.log.String(), b.session()) {
		t.Error("the log has the code or the session")
	}
}

// tokenOf returns the token of the forms of a browser that is not signed in.
func (*testService) tokenOf(t *testing.T, b *browser) string {
	t.Helper()
	return b.open(t, "/login").token(t)
}

func TestSignIn_ASessionOfBeforeIsNotUsedAfter(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	other := ts.signedIn(t, createToken(t, ts.pool, "other"))
	for name, planted := range map[string]string{"invented": strings.Repeat("A", 43), "of another tenant": other.session()} {
		b := ts.stranger(t)
		form := url.Values{"form_token": {ts.tokenOf(t, b)}, "token": {ts.token}}
		b.client.Jar.SetCookies(b.origin, []*http.Cookie{{Name: cookie.Session, Value: planted, Path: "/"}})
		if p := b.follow(t, b.send(t, http.MethodPost, "/login", form)); p.status != http.StatusOK || b.session() == planted {
			t.Errorf("%s: the sign-in led to %s (%d) and the session of before is used: %t", name, p.url, p.status, b.session() == planted)
		}
		if ts.opens(t, planted) {
			t.Errorf("%s: the session of before opens the console after the sign-in", name)
		}
	}
}

func TestSession_SigningOutEndsItAtOnce(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	b := ts.signedIn(t, ts.token)
	session, page := b.session(), b.open(t, "/tasks")
	out := b.send(t, http.MethodPost, "/logout", url.Values{"form_token": {page.token(t)}})
	if out.next(t) != consoleOrigin+"/login" || b.session() != "" {
		t.Errorf("signing out led to %s, and the browser has a session: %t", out.next(t), b.session() != "")
	}
	for range 3 {
		if ts.opens(t, session) {
			t.Fatal("the session opens the console after signing out")
		}
	}
}

func TestSession_EndsWithItsTokenAndSoDoItsStreams(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	b := ts.signedIn(t, createToken(t, ts.pool, "leaver"))
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, consoleOrigin+"/v1/tasks:watch", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	stream, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %s", stream.Status)
	}
	do(t, ts.pool, "UPDATE api_token SET revoke_time = now() WHERE tenant = 'leaver'")
	var text strings.Builder
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	if !strings.Contains(text.String(), "CREDENTIALS_INVALID") {
		t.Errorf("the stream ended with %s", text.String())
	}
	if p := b.open(t, "/tasks?state=QUEUED"); p.url.Path != "/login" || p.url.Query().Get("to") != "/tasks?state=QUEUED" || b.session() != "" {
		t.Errorf("a page of the session leads to %s", p.url)
	}
}

func TestSession_ThePagesOfAnotherTenantsTaskAreNotFound(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	id := ts.submit(t, "[sim:processing=1h]").GetId()
	b := ts.signedIn(t, createToken(t, ts.pool, "other"))
	b.open(t, "/tasks/"+id).want(t, http.StatusNotFound, "Not found")
	form := url.Values{"form_token": {b.open(t, "/tasks").token(t)}}
	for _, action := range []string{"cancel", "retry"} {
		b.send(t, http.MethodPost, "/tasks/"+id+"/"+action, form).want(t, http.StatusNotFound, "Not found")
	}
	if terminal(ts.get(t, id).GetState()) {
		t.Error("another tenant canceled the task")
	}
}

func TestSession_IsNoCredentialWithoutConsole(t *testing.T) {
	t.Parallel()
	f := startFleet(t, nil)
	session := f.start(t).signedIn(t, f.token).session()
	f.flags.Pages = "off"
	without := f.start(t)
	b := without.stranger(t)
	b.client.Jar.SetCookies(b.origin, []*http.Cookie{{Name: cookie.Session, Value: session}})
	for path, want := range map[string]int{
		"/v1/tasks": http.StatusUnauthorized, "/tasks": http.StatusNotFound, "/login": http.StatusNotFound, "/login/link?code=x": http.StatusNotFound,
		"/assets/console.js": http.StatusNotFound, "/": http.StatusOK,
	} {
		p := b.send(t, http.MethodGet, path, nil)
		if p.status != want || strings.Contains(p.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s answered %d (%s), want %d and no page", path, p.status, p.header.Get("Content-Type"), want)
		}
	}
}

func TestSession_CountsAtTheAPIForPagesOfTheConsole(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *server.Config, _ *simConfig) { f.BaseURL = consoleOrigin })
	b := ts.signedIn(t, ts.token)
	token := cookie.FormToken(b.session())
	id := ts.submit(t, "[sim:processing=1h]").GetId()
	for name, tc := range map[string]struct {
		method, path string
		header       []string
		want         int
	}{
		"GET":                             {http.MethodGet, "/v1/tasks", nil, http.StatusOK},
		"GET of the console":              {http.MethodGet, "/v1/tasks", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		"GET of another site":             {http.MethodGet, "/v1/tasks", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"GET of a sister site":            {http.MethodGet, "/v1/tasks", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"a stream to another site":        {http.MethodGet, "/v1/tasks:watch", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"POST":                            {http.MethodPost, "/v1/tasks/" + id + ":cancel", nil, http.StatusForbidden},
		"POST with the token of another":  {http.MethodPost, "/v1/tasks/" + id + ":cancel", []string{cookie.TokenHeader, cookie.FormToken("other")}, http.StatusForbidden},
		"POST with a token, another site": {http.MethodPost, "/v1/tasks/" + id + ":cancel", []string{cookie.TokenHeader, token, "Origin", "https://evil.test"}, http.StatusForbidden},
		"PUT":                             {http.MethodPut, "/v1/sources/0192d3a1-0000-7000-8000-000000000001", nil, http.StatusForbidden},
		"DELETE":                          {http.MethodDelete, "/v1/webhooks/0192d3a1-0000-7000-8000-000000000001", nil, http.StatusForbidden},
	} {
		header := append([]string{"Content-Type", "application/json"}, tc.header...)
		if p := b.send(t, tc.method, tc.path, nil, header...); p.status != tc.want {
			t.Errorf("%s answered %d, want %d: %s", name, p.status, tc.want, p.body)
		}
	}
	if terminal(ts.get(t, id).GetState()) {
		t.Fatal("a refused request canceled the task")
	}
	if p := b.send(t, http.MethodPost, "/v1/tasks/"+id+":cancel", nil, cookie.TokenHeader, token, "Origin", consoleOrigin); p.status != http.StatusOK {
		t.Errorf("a page of the console can't cancel: %d: %s", p.status, p.body)
	}
}

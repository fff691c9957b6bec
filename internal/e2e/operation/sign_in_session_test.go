package operation_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
)

func TestSignIn_ALinkWorksOnceAndOpeningItUsesNothingUp(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.Command, Name: "alice"})
	code, err := credentials.NewSessions(ts.Pool).CreateLink(ctx, "acme", false)
	if err != nil {
		t.Fatal(err)
	}
	link := "/login/link?code=" + code
	mail, b := ts.Stranger(t), ts.Stranger(t)
	for range 2 {
		mail.Open(t, link).Want(t, http.StatusOK, "acme")
	}
	if mail.Session() != "" || ts.Sessions(t) != 0 {
		t.Fatal("opening the link signed in")
	}
	token := b.Open(t, link).Token(t)
	b.Send(t, http.MethodPost, "/login/link", url.Values{"code": {code}}).Want(t, http.StatusForbidden, "Form refused")
	form := url.Values{"form_token": {token}, "code": {code}}
	if p := b.Follow(t, b.Send(t, http.MethodPost, "/login/link", form)); p.Status != http.StatusOK || p.URL.Path != "/tasks" {
		t.Fatalf("the link led to %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
	mail.Open(t, link).Want(t, http.StatusNotFound, "The link was used already, or has expired.")
	form.Set("form_token", mail.FormToken(t))
	mail.Send(t, http.MethodPost, "/login/link", form).Want(t, http.StatusNotFound, "The link was used already, or has expired.")
	if n := ts.Sessions(t); n != 1 || mail.Session() != "" {
		t.Errorf("%d sessions were made, want one", n)
	}
	if strings.Contains(ts.Log.String(), code) || strings.Contains(ts.Log.String(), b.Session()) {
		t.Error("the log has the code or the session")
	}
}

func TestSignIn_ASessionOfBeforeIsNotUsedAfter(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	other := ts.SignedIn(t, e2etest.CreateToken(t, ts.Pool, "other"))
	for name, planted := range map[string]string{"invented": strings.Repeat("A", 43), "of another tenant": other.Session()} {
		b := ts.Stranger(t)
		form := url.Values{"form_token": {b.FormToken(t)}, "token": {ts.Token}}
		b.Client.Jar.SetCookies(b.Origin, []*http.Cookie{{Name: cookie.Session, Value: planted, Path: "/"}})
		if p := b.Follow(t, b.Send(t, http.MethodPost, "/login", form)); p.Status != http.StatusOK || b.Session() == planted {
			t.Errorf("%s: the sign-in led to %s (%d) and the session of before is used: %t", name, p.URL, p.Status, b.Session() == planted)
		}
		if ts.Opens(t, planted) {
			t.Errorf("%s: the session of before opens the console after the sign-in", name)
		}
	}
}

func TestSession_SigningOutEndsItAtOnce(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	b := ts.SignedIn(t, ts.Token)
	session, page := b.Session(), b.Open(t, "/tasks")
	out := b.Send(t, http.MethodPost, "/logout", url.Values{"form_token": {page.Token(t)}})
	if out.Next(t) != e2etest.ConsoleOrigin+"/login" || b.Session() != "" {
		t.Errorf("signing out led to %s, and the browser has a session: %t", out.Next(t), b.Session() != "")
	}
	for range 3 {
		if ts.Opens(t, session) {
			t.Fatal("the session opens the console after signing out")
		}
	}
}

func TestSession_EndsWithItsTokenAndSoDoItsStreams(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	b := ts.SignedIn(t, e2etest.CreateToken(t, ts.Pool, "leaver"))
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e2etest.ConsoleOrigin+"/v1/tasks:watch", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	stream, err := b.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %s", stream.Status)
	}
	postgrestest.Exec(t, ts.Pool, "UPDATE api_token SET revoke_time = now() WHERE tenant = 'leaver'")
	var text strings.Builder
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	if !strings.Contains(text.String(), "CREDENTIALS_INVALID") {
		t.Errorf("the stream ended with %s", text.String())
	}
	if p := b.Open(t, "/tasks?state=QUEUED"); p.URL.Path != "/login" || p.URL.Query().Get("to") != "/tasks?state=QUEUED" || b.Session() != "" {
		t.Errorf("a page of the session leads to %s", p.URL)
	}
}

func TestSession_ThePagesOfAnotherTenantsTaskAreNotFound(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "[sim:processing=1h]").GetId()
	b := ts.SignedIn(t, e2etest.CreateToken(t, ts.Pool, "other"))
	b.Open(t, "/tasks/"+id).Want(t, http.StatusNotFound, "Not found")
	form := url.Values{"form_token": {b.Open(t, "/tasks").Token(t)}}
	for _, action := range []string{"cancel", "retry"} {
		b.Send(t, http.MethodPost, "/tasks/"+id+"/"+action, form).Want(t, http.StatusNotFound, "Not found")
	}
	if e2etest.Terminal(ts.Get(t, id).GetState()) {
		t.Error("another tenant canceled the task")
	}
}

func TestSession_IsNoCredentialWithoutConsole(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, nil)
	session := f.Start(t).SignedIn(t, f.Token).Session()
	f.Config.Pages = "off"
	without := f.Start(t)
	b := without.Stranger(t)
	b.Client.Jar.SetCookies(b.Origin, []*http.Cookie{{Name: cookie.Session, Value: session}})
	for path, want := range map[string]int{
		"/v1/tasks": http.StatusUnauthorized, "/tasks": http.StatusNotFound, "/login": http.StatusNotFound, "/login/link?code=x": http.StatusNotFound,
		"/assets/console.js": http.StatusNotFound, "/": http.StatusOK,
	} {
		p := b.Send(t, http.MethodGet, path, nil)
		if p.Status != want || strings.Contains(p.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s answered %d (%s), want %d and no page", path, p.Status, p.Header.Get("Content-Type"), want)
		}
	}
}

func TestSession_CountsAtTheAPIForPagesOfTheConsole(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.BaseURL = e2etest.ConsoleOrigin })
	b := ts.SignedIn(t, ts.Token)
	token := cookie.FormToken(b.Session())
	id := ts.Submit(t, "[sim:processing=1h]").GetId()
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
		if p := b.Send(t, tc.method, tc.path, nil, header...); p.Status != tc.want {
			t.Errorf("%s answered %d, want %d: %s", name, p.Status, tc.want, p.Body)
		}
	}
	if e2etest.Terminal(ts.Get(t, id).GetState()) {
		t.Fatal("a refused request canceled the task")
	}
	if p := b.Send(t, http.MethodPost, "/v1/tasks/"+id+":cancel", nil, cookie.TokenHeader, token, "Origin", e2etest.ConsoleOrigin); p.Status != http.StatusOK {
		t.Errorf("a page of the console can't cancel: %d: %s", p.Status, p.Body)
	}
}

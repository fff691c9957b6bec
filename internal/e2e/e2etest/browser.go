package e2etest

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/cookie"
)

// Browser is a browser without script. It keeps cookies, and follows a redirection on request.
type Browser struct {
	Client *http.Client
	Origin *url.URL
}

// NewBrowser returns a browser that reaches a service at an origin, whatever the name in it.
func (ts *Service) NewBrowser(t *testing.T, origin string, transport *http.Transport) *Browser {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport = transport.Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && host == u.Hostname() {
			address = ts.HTTPAddr()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{Origin: u, Client: &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Shown is an answer to a browser.
type Shown struct {
	Status int
	Header http.Header
	URL    *url.URL
	Body   string
}

// Send makes a request, whose URL may be a path of the service. Its headers are given as name, value, name, value.
func (b *Browser) Send(t *testing.T, method, target string, form url.Values, header ...string) Shown {
	t.Helper()
	u, err := b.Origin.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), Hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.Client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, u, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, u, err)
	}
	return Shown{resp.StatusCode, resp.Header, u, html.UnescapeString(string(text))}
}

// Open opens a URL, or a path of the service, and follows redirections.
func (b *Browser) Open(t *testing.T, target string) Shown {
	t.Helper()
	return b.Follow(t, b.Send(t, http.MethodGet, target, nil))
}

// Follow follows redirections to a page.
func (b *Browser) Follow(t *testing.T, s Shown) Shown {
	t.Helper()
	for range 10 {
		if s.Status < 300 || s.Status > 399 {
			return s
		}
		s = b.Send(t, http.MethodGet, s.Next(t), nil)
	}
	t.Fatalf("the redirections do not end: %s", s.URL)
	return s
}

// Next returns where an answer leads, which must be a redirection.
func (s Shown) Next(t *testing.T) string {
	t.Helper()
	next, err := s.URL.Parse(s.Header.Get("Location"))
	if err != nil || s.Status < 300 || s.Status > 399 {
		t.Fatalf("%s answered %d, want a redirection: %v\n%s", s.URL, s.Status, err, s.Body)
	}
	return next.String()
}

// Want fails the test unless the page has a status and a text.
func (s Shown) Want(t *testing.T, status int, text string) {
	t.Helper()
	if s.Status != status || !strings.Contains(s.Body, text) {
		t.Errorf("%s answered %d, want %d and %q:\n%s", s.URL.Path, s.Status, status, text, s.Body)
	}
}

var formToken = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

// Token returns the token of the forms of a page.
func (s Shown) Token(t *testing.T) string {
	t.Helper()
	found := formToken.FindStringSubmatch(s.Body)
	if found == nil {
		t.Fatalf("%s answered %d and has no form:\n%s", s.URL, s.Status, s.Body)
	}
	return found[1]
}

// Session returns the session that the browser has; empty for none.
func (b *Browser) Session() string {
	for _, c := range b.Client.Jar.Cookies(b.Origin) {
		if strings.HasSuffix(c.Name, cookie.Session) {
			return c.Value
		}
	}
	return ""
}

// Sessions returns how many sessions were made, the ended ones too.
func (ts *Service) Sessions(t *testing.T) (n int) {
	t.Helper()
	if err := ts.Pool.QueryRow(t.Context(), "SELECT count(*) FROM console_session").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// ConsoleOrigin is where browsers reach the console of these tests.
const ConsoleOrigin = "http://refract.test"

// signIn signs a browser in with an API token.
func (b *Browser) signIn(t *testing.T, token string) {
	t.Helper()
	form := url.Values{"form_token": {b.Open(t, "/login").Token(t)}, "token": {token}}
	if p := b.Follow(t, b.Send(t, http.MethodPost, "/login", form)); p.Status != http.StatusOK || b.Session() == "" {
		t.Fatalf("the sign-in led to %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
}

// SignedIn returns a browser that is signed in with an API token.
func (ts *Service) SignedIn(t *testing.T, token string) *Browser {
	t.Helper()
	b := ts.Stranger(t)
	b.signIn(t, token)
	return b
}

// Stranger returns a browser that is not signed in.
func (ts *Service) Stranger(t *testing.T) *Browser {
	t.Helper()
	return ts.NewBrowser(t, ConsoleOrigin, &http.Transport{})
}

// Opens reports whether a session opens the console.
func (ts *Service) Opens(t *testing.T, session string) bool {
	t.Helper()
	b := ts.Stranger(t)
	b.Client.Jar.SetCookies(b.Origin, []*http.Cookie{{Name: cookie.Session, Value: session}})
	return b.Open(t, "/tasks").URL.Path == "/tasks"
}

// FormToken returns the token of the forms of a browser that is not signed in.
func (b *Browser) FormToken(t *testing.T) string {
	t.Helper()
	return b.Open(t, "/login").Token(t)
}

package e2e_test

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

// browser is a browser without script. It keeps cookies, and follows a redirection on request.
type browser struct {
	client *http.Client
	origin *url.URL
}

// newBrowser returns a browser that reaches a service at an origin, whatever the name in it.
func (ts *testService) newBrowser(t *testing.T, origin string, transport *http.Transport) *browser {
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
	return &browser{origin: u, client: &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// shown is an answer to a browser.
type shown struct {
	status int
	header http.Header
	url    *url.URL
	body   string
}

// send makes a request, whose URL may be a path of the service. Its headers are given as name, value, name, value.
func (b *browser) send(t *testing.T, method, target string, form url.Values, header ...string) shown {
	t.Helper()
	u, err := b.origin.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hung)
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
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, u, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, u, err)
	}
	return shown{resp.StatusCode, resp.Header, u, html.UnescapeString(string(text))}
}

// open opens a URL, or a path of the service, and follows redirections.
func (b *browser) open(t *testing.T, target string) shown {
	t.Helper()
	return b.follow(t, b.send(t, http.MethodGet, target, nil))
}

// follow follows redirections to a page.
func (b *browser) follow(t *testing.T, s shown) shown {
	t.Helper()
	for range 10 {
		if s.status < 300 || s.status > 399 {
			return s
		}
		s = b.send(t, http.MethodGet, s.next(t), nil)
	}
	t.Fatalf("the redirections do not end: %s", s.url)
	return s
}

// next returns where an answer leads, which must be a redirection.
func (s shown) next(t *testing.T) string {
	t.Helper()
	next, err := s.url.Parse(s.header.Get("Location"))
	if err != nil || s.status < 300 || s.status > 399 {
		t.Fatalf("%s answered %d, want a redirection: %v\n%s", s.url, s.status, err, s.body)
	}
	return next.String()
}

// want fails the test unless the page has a status and a text.
func (s shown) want(t *testing.T, status int, text string) {
	t.Helper()
	if s.status != status || !strings.Contains(s.body, text) {
		t.Errorf("%s answered %d, want %d and %q:\n%s", s.url.Path, s.status, status, text, s.body)
	}
}

var formToken = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

// token returns the token of the forms of a page.
func (s shown) token(t *testing.T) string {
	t.Helper()
	found := formToken.FindStringSubmatch(s.body)
	if found == nil {
		t.Fatalf("%s answered %d and has no form:\n%s", s.url, s.status, s.body)
	}
	return found[1]
}

// session returns the session that the browser has; empty for none.
func (b *browser) session() string {
	for _, c := range b.client.Jar.Cookies(b.origin) {
		if strings.HasSuffix(c.Name, cookie.Session) {
			return c.Value
		}
	}
	return ""
}

// sessions returns how many sessions were made, the ended ones too.
func (ts *testService) sessions(t *testing.T) (n int) {
	t.Helper()
	if err := ts.pool.QueryRow(t.Context(), "SELECT count(*) FROM console_session").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

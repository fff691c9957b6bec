package e2e_test

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// consoleOrigin is where browsers reach the console of these tests.
const consoleOrigin = "http://refract.test"

// oidcService is a service to whose console people sign in at an issuer.
type oidcService struct {
	*testService
	issuer *issuer
}

// startOIDCService starts one.
func startOIDCService(t *testing.T) *oidcService {
	t.Helper()
	i := startIssuer(t)
	i.signIns.client, i.signIns.secret, i.signIns.redirectURI = "the console", "client secret: 1+1%", consoleOrigin+"/login/oidc/callback"
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	return &oidcService{issuer: i, testService: startService(t, func(f *server.Config, _ *simConfig) {
		f.BaseURL, f.Tuning.Roots = consoleOrigin, roots
		f.OIDCTenantClaim, f.OIDCOperators = "tenant", []string{"groups=video-operators"}
		f.Console = server.Console{ClientID: i.signIns.client, ClientSecret: redact.Secret(i.signIns.secret), Issuer: i.URL}
	})}
}

// browser returns a new browser, which trusts the issuer.
func (s *oidcService) browser(t *testing.T) *browser {
	t.Helper()
	return s.newBrowser(t, consoleOrigin, s.issuer.Client().Transport.(*http.Transport)) //nolint:forcetypeassert // It is what httptest documents.
}

// leave goes to the issuer by the page to sign in, and returns the URL to which the issuer sends back.
func (s *oidcService) leave(t *testing.T, b *browser, to string) string {
	t.Helper()
	atIssuer := b.send(t, http.MethodGet, "/login/oidc?"+url.Values{"to": {to}}.Encode(), nil)
	return b.send(t, http.MethodGet, atIssuer.next(t), nil).next(t)
}

func TestOIDC_SignsInAsTheTenantOfTheClaim(t *testing.T) {
	t.Parallel()
	s := startOIDCService(t)
	s.submit(t, "of acme")
	ctx := as(s.anonymous(t), createToken(t, s.pool, "films"))
	if _, err := s.tasks.SubmitTask(ctx, &refractv1.SubmitTaskRequest{RequestId: uuid.NewString(), Prompt: "a night of films", Source: goodRequest().GetSource()}); err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	login := b.open(t, "/tasks?state=QUEUED")
	login.want(t, http.StatusOK, "Sign in with 127.0.0.1")
	if !strings.Contains(login.body, `href="/login/oidc?to=%2Ftasks%3Fstate%3DQUEUED"`) {
		t.Errorf("the page to sign in has no link to the issuer:\n%s", login.body)
	}
	callback := s.leave(t, b, "/tasks")
	tasks := b.open(t, callback)
	tasks.want(t, http.StatusOK, "a night of films")
	if tasks.url.Path != "/tasks" || strings.Contains(tasks.body, "of acme") {
		t.Errorf("%s shows another tenant's tasks:\n%s", tasks.url, tasks.body)
	}
	session := b.session()

	// The code and the state are of no use any more, and the session remains.
	b.open(t, callback).want(t, http.StatusBadRequest, "The sign-in took too long, or began in another browser.")
	b.open(t, "/tasks").want(t, http.StatusOK, "a night of films")

	// Signing in again makes a new session, and ends the one before.
	s.issuer.signIns.next(map[string]any{"tenant": nil, "groups": []string{"video-operators"}}, "", false)
	if p := b.open(t, s.leave(t, b, "/login")); p.status != http.StatusOK || p.url.Path != "/overview" {
		t.Errorf("an operator without a tenant reaches %s (%d):\n%s", p.url, p.status, p.body)
	}
	stale := s.browser(t)
	stale.client.Jar.SetCookies(stale.origin, []*http.Cookie{{Name: "refract_session", Value: session}})
	if p := stale.open(t, "/tasks"); p.url.Path != "/login" {
		t.Errorf("the session before still opens %s", p.url)
	}
	for _, secret := range []string{session, b.session(), s.issuer.signIns.secret} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

func TestOIDC_WhoIsNotVerifiedHasNoSession(t *testing.T) {
	t.Parallel()
	s := startOIDCService(t)
	const unverified = "The answer of the identity provider could not be verified."
	with := func(name, value string) func(url.Values) {
		return func(query url.Values) { query.Set(name, value) }
	}
	otherCode := func(query url.Values) { // The unused code of another person.
		u, err := url.Parse(s.leave(t, s.browser(t), "/"))
		if err != nil {
			t.Fatal(err)
		}
		query.Set("code", u.Query().Get("code"))
	}
	usedCode := func(query url.Values) {
		u, err := url.Parse(s.leave(t, s.browser(t), "/"))
		if err != nil {
			t.Fatal(err)
		}
		query.Set("code", u.Query().Get("code"))
		s.issuer.signIns.mu.Lock()
		defer s.issuer.signIns.mu.Unlock()
		delete(s.issuer.signIns.codes, query.Get("code"))
	}
	for _, tc := range []struct {
		name    string
		claims  map[string]any
		refusal string
		broken  bool
		tamper  func(url.Values)
		status  int
		text    string
	}{
		{name: "a wrong state", tamper: with("state", "wrong"), status: 403, text: unverified},
		{name: "no state", tamper: func(q url.Values) { q.Del("state") }, status: 403, text: unverified},
		{name: "no code", tamper: func(q url.Values) { q.Del("code") }, status: 403, text: unverified},
		{name: "the code of another person", tamper: otherCode, status: 403, text: unverified},
		{name: "a used code", tamper: usedCode, status: 403, text: unverified},
		{name: "a wrong nonce", claims: map[string]any{"nonce": "wrong"}, status: 403, text: unverified},
		{name: "no nonce", claims: map[string]any{"nonce": nil}, status: 403, text: unverified},
		{name: "another audience", claims: map[string]any{"aud": "refract"}, status: 403, text: unverified},
		{name: "a token that was issued to another client", claims: map[string]any{"azp": "other"}, status: 403, text: unverified},
		{name: "a token that has expired", claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, status: 403, text: unverified},
		{name: "another issuer", claims: map[string]any{"iss": "https://idp.example.com"}, status: 403, text: unverified},
		{name: "no tenant", claims: map[string]any{"tenant": nil}, status: 403, text: "The identity provider knows you, but names no tenant for you"},
		{name: "a refusal", refusal: "access_denied", status: 403, text: "The identity provider did not sign you in."},
		{name: "an issuer that fails", broken: true, status: 503, text: "The identity provider is out of reach."},
	} {
		s.issuer.signIns.next(tc.claims, tc.refusal, tc.broken)
		b := s.browser(t)
		callback, err := url.Parse(s.leave(t, b, "/tasks"))
		if err != nil {
			t.Fatal(err)
		}
		if query := callback.Query(); tc.tamper != nil {
			tc.tamper(query)
			callback.RawQuery = query.Encode()
		}
		p := b.open(t, callback.String())
		t.Log(tc.name)
		p.want(t, tc.status, tc.text)
		p.want(t, tc.status, `href="/login/oidc?to=%2Ftasks"`) // It can be tried again.
		if strings.Contains(p.body, "secret of the issuer") {
			t.Errorf("the page shows what the issuer answered:\n%s", p.body)
		}
		if b.session() != "" {
			t.Error("the browser has a session")
		}
		if p := b.open(t, "/tasks"); p.url.Path != "/login" {
			t.Errorf("the browser reaches %s", p.url)
		}
	}
	if n := s.sessions(t); n != 0 {
		t.Errorf("%d sessions were made, want none", n)
	}
	if log := s.log.String(); !strings.Contains(log, "invalid_grant") || strings.Contains(log, "secret of the issuer") {
		t.Error("the log does not have the error of the issuer, or more than its code")
	}
}

// TestOIDC_RedirectURIIsThatOfTheBaseURL asks under another name than that of --base-url.
func TestOIDC_RedirectURIIsThatOfTheBaseURL(t *testing.T) {
	t.Parallel()
	s := startOIDCService(t)
	b := s.newBrowser(t, "http://evil.test", s.issuer.Client().Transport.(*http.Transport)) //nolint:forcetypeassert // It is what httptest documents.
	u, err := url.Parse(b.send(t, http.MethodGet, "/login/oidc", nil, "X-Forwarded-Host", "evil.test").next(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("redirect_uri"); got != s.issuer.signIns.redirectURI {
		t.Errorf("redirect_uri = %q, want %q", got, s.issuer.signIns.redirectURI)
	}
}

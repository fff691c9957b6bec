package operation_test

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// oidcService is a service to whose console people sign in at an issuer.
type oidcService struct {
	*e2etest.Service
	issuer *issuer
}

// startOIDCService starts one.
func startOIDCService(t *testing.T) *oidcService {
	t.Helper()
	i := startIssuer(t)
	i.signIns.client, i.signIns.secret, i.signIns.redirectURI = "the console", "client secret: 1+1%", e2etest.ConsoleOrigin+"/login/oidc/callback"
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	return &oidcService{issuer: i, Service: e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.BaseURL, f.Tuning.Roots = e2etest.ConsoleOrigin, roots
		f.OIDCTenantClaim, f.OIDCOperators = "tenant", []string{"groups=video-operators"}
		f.Console = server.Console{ClientID: i.signIns.client, ClientSecret: redact.Secret(i.signIns.secret), Issuer: i.URL}
	})}
}

// browser returns a new browser, which trusts the issuer.
func (s *oidcService) browser(t *testing.T) *e2etest.Browser {
	t.Helper()
	return s.NewBrowser(t, e2etest.ConsoleOrigin, s.issuer.Client().Transport.(*http.Transport)) //nolint:forcetypeassert // It is what httptest documents.
}

// leave goes to the issuer by the page to sign in, and returns the URL to which the issuer sends back.
func (s *oidcService) leave(t *testing.T, b *e2etest.Browser, to string) string {
	t.Helper()
	atIssuer := b.Send(t, http.MethodGet, "/login/oidc?"+url.Values{"to": {to}}.Encode(), nil)
	return b.Send(t, http.MethodGet, atIssuer.Next(t), nil).Next(t)
}

func TestOIDC_SignsInAsTheTenantOfTheClaim(t *testing.T) {
	t.Parallel()
	s := startOIDCService(t)
	s.Submit(t, "of acme")
	ctx := e2etest.As(s.Anonymous(t), e2etest.CreateToken(t, s.Pool, "films"))
	if _, err := s.Tasks.SubmitTask(ctx, &refractv1.SubmitTaskRequest{RequestId: uuid.NewString(), Prompt: "a night of films", Source: e2etest.GoodRequest().GetSource()}); err != nil {
		t.Fatal(err)
	}
	b := s.browser(t)
	login := b.Open(t, "/tasks?state=QUEUED")
	login.Want(t, http.StatusOK, "Sign in with 127.0.0.1")
	if !strings.Contains(login.Body, `href="/login/oidc?to=%2Ftasks%3Fstate%3DQUEUED"`) {
		t.Errorf("the page to sign in has no link to the issuer:\n%s", login.Body)
	}
	callback := s.leave(t, b, "/tasks")
	tasks := b.Open(t, callback)
	tasks.Want(t, http.StatusOK, "a night of films")
	if tasks.URL.Path != "/tasks" || strings.Contains(tasks.Body, "of acme") {
		t.Errorf("%s shows another tenant's tasks:\n%s", tasks.URL, tasks.Body)
	}
	session := b.Session()

	// The code and the state are of no use any more, and the session remains.
	b.Open(t, callback).Want(t, http.StatusBadRequest, "The sign-in took too long, or began in another browser.")
	b.Open(t, "/tasks").Want(t, http.StatusOK, "a night of films")

	// Signing in again makes a new session, and ends the one before.
	s.issuer.signIns.next(map[string]any{"tenant": nil, "groups": []string{"video-operators"}}, "", false)
	if p := b.Open(t, s.leave(t, b, "/login")); p.Status != http.StatusOK || p.URL.Path != "/overview" {
		t.Errorf("an operator without a tenant reaches %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
	stale := s.browser(t)
	stale.Client.Jar.SetCookies(stale.Origin, []*http.Cookie{{Name: "refract_session", Value: session}})
	if p := stale.Open(t, "/tasks"); p.URL.Path != "/login" {
		t.Errorf("the session before still opens %s", p.URL)
	}
	for _, secret := range []string{session, b.Session(), s.issuer.signIns.secret} {
		if strings.Contains(s.Log.String(), secret) {
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
		p := b.Open(t, callback.String())
		t.Log(tc.name)
		p.Want(t, tc.status, tc.text)
		p.Want(t, tc.status, `href="/login/oidc?to=%2Ftasks"`) // It can be tried again.
		if strings.Contains(p.Body, "secret of the issuer") {
			t.Errorf("the page shows what the issuer answered:\n%s", p.Body)
		}
		if b.Session() != "" {
			t.Error("the browser has a session")
		}
		if p := b.Open(t, "/tasks"); p.URL.Path != "/login" {
			t.Errorf("the browser reaches %s", p.URL)
		}
	}
	if n := s.Sessions(t); n != 0 {
		t.Errorf("%d sessions were made, want none", n)
	}
	if log := s.Log.String(); !strings.Contains(log, "invalid_grant") || strings.Contains(log, "secret of the issuer") {
		t.Error("the log does not have the error of the issuer, or more than its code")
	}
}

// TestOIDC_RedirectURIIsThatOfTheBaseURL asks under another name than that of --base-url.
func TestOIDC_RedirectURIIsThatOfTheBaseURL(t *testing.T) {
	t.Parallel()
	s := startOIDCService(t)
	b := s.NewBrowser(t, "http://evil.test", s.issuer.Client().Transport.(*http.Transport)) //nolint:forcetypeassert // It is what httptest documents.
	u, err := url.Parse(b.Send(t, http.MethodGet, "/login/oidc", nil, "X-Forwarded-Host", "evil.test").Next(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("redirect_uri"); got != s.issuer.signIns.redirectURI {
		t.Errorf("redirect_uri = %q, want %q", got, s.issuer.signIns.redirectURI)
	}
}

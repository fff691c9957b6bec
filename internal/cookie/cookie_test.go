package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/cookie"
)

func TestSet_Attributes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy *cookie.Policy
		want   string
	}{
		"plain": {cookie.New("http://127.0.0.1:8080", false), "refract_session=s; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"},
		"TLS":   {cookie.New("https://refract.example.com", true), "__Host-refract_session=s; Path=/; Max-Age=28800; HttpOnly; Secure; SameSite=Lax"},
	} {
		w := httptest.NewRecorder()
		tc.policy.Set(w, cookie.Session, "s", 8*time.Hour)
		if got := w.Header().Get("Set-Cookie"); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestCheckAPI_TakesRequestsOfTheConsoleAlone(t *testing.T) {
	t.Parallel()
	const secret = "secret"
	token := cookie.FormToken(secret)
	policy := cookie.New("https://refract.example.com", false)
	for name, tc := range map[string]struct {
		method  string
		cookie  string
		headers map[string]string
		ok      bool
	}{
		"no cookie":                          {http.MethodPost, "", nil, true},
		"no cookie, another site's GET":      {http.MethodGet, "", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		"no cookie, another site":            {http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"no cookie, another origin":          {http.MethodPost, "", map[string]string{"Origin": "https://evil.example"}, false},
		"no cookie, a header, another site":  {http.MethodPost, "", map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x"}, true},
		"GET":                                {http.MethodGet, secret, nil, true},
		"HEAD":                               {http.MethodHead, secret, nil, true},
		"GET of the same origin":             {http.MethodGet, secret, map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		"GET of another site":                {http.MethodGet, secret, map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"GET of another host":                {http.MethodGet, secret, map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		"GET of another site with a header":  {http.MethodGet, secret, map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x"}, true},
		"POST":                               {http.MethodPost, secret, nil, false},
		"OPTIONS":                            {http.MethodOptions, secret, nil, false},
		"POST with a header":                 {http.MethodPost, secret, map[string]string{"Authorization": "Bearer x"}, true},
		"POST with an empty header":          {http.MethodPost, secret, map[string]string{"Authorization": ""}, false},
		"POST with a token":                  {http.MethodPost, secret, map[string]string{cookie.TokenHeader: token}, true},
		"PUT with a token of the origin":     {http.MethodPut, secret, map[string]string{cookie.TokenHeader: token, "Origin": "http://example.com"}, true},
		"PUT with a token of the base URL":   {http.MethodPut, secret, map[string]string{cookie.TokenHeader: token, "Origin": "https://refract.example.com"}, true},
		"POST with a token of another":       {http.MethodPost, secret, map[string]string{cookie.TokenHeader: cookie.FormToken("other")}, false},
		"POST with the token of nothing":     {http.MethodPost, secret, map[string]string{cookie.TokenHeader: cookie.FormToken("")}, false},
		"POST with a token, cross-site":      {http.MethodPost, secret, map[string]string{cookie.TokenHeader: token, "Sec-Fetch-Site": "cross-site"}, false},
		"POST with a token, another origin":  {http.MethodPost, secret, map[string]string{cookie.TokenHeader: token, "Origin": "https://evil.example"}, false},
		"DELETE with a token and no browser": {http.MethodDelete, secret, map[string]string{cookie.TokenHeader: token}, true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tc.method, "/v1/tasks", http.NoBody)
		if tc.cookie != "" {
			r.AddCookie(&http.Cookie{Name: cookie.Session, Value: tc.cookie})
		}
		for header, value := range tc.headers {
			r.Header.Set(header, value)
		}
		if err := policy.CheckAPI(r); (err == nil) != tc.ok {
			t.Errorf("%s: %v, want it taken: %t", name, err, tc.ok)
		}
	}
}

func TestPolicy_WithoutConsoleNoCookieCounts(t *testing.T) {
	t.Parallel()
	var policy *cookie.Policy
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/tasks", http.NoBody)
	r.AddCookie(&http.Cookie{Name: cookie.Session, Value: "s"})
	if got, err := policy.Get(r, cookie.Session), policy.CheckAPI(r); got != "" || err != nil {
		t.Errorf("Get = %q, CheckAPI = %v, want neither", got, err)
	}
}

func TestEnsureVisit_KeepsAGoodOne(t *testing.T) {
	t.Parallel()
	policy := cookie.New("", false)
	first := policy.EnsureVisit(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	for value, kept := range map[string]bool{first: true, "short": false, "": false} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.AddCookie(&http.Cookie{Name: cookie.Visit, Value: value})
		w := httptest.NewRecorder()
		if got := policy.EnsureVisit(w, r); (got == value) != kept || (w.Header().Get("Set-Cookie") == "") != kept {
			t.Errorf("EnsureVisit(%q) = %q, kept: %t", value, got, kept)
		}
	}
}

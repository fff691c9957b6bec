// Package cookie has the cookies of the console, and the rules by which a request that carries them counts.
//
// A browser adds cookies to requests whatever page makes them. So a request that changes something needs proof that a page of the
// console made it: the form token, which is derived from a secret cookie that other sites can't read. What the browser says of the
// request (Sec-Fetch-Site, Origin) is checked besides.
package cookie

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// The cookies.
const (
	Session = "refract_session" // The secret of a session.
	Visit   = "refract_visit"   // A random secret of a browser without a session, from which the tokens of its forms are derived.
	SignIn  = "refract_oidc"    // What a browser that went to an OIDC issuer comes back with.
)

// TokenHeader is the header with the form token of a request to the API.
const TokenHeader = "X-Refract-Form-Token" //nolint:gosec // It is the name of a header.

// maxValue bounds what is read of a cookie, in bytes.
const maxValue = 4 << 10

// ErrForged means that a request may come from a page of another site.
var ErrForged = errors.New("the request is not from a page of this console, or from one that was opened before you signed in: reload the page and try again")

// Policy says how cookies are set and read. A nil Policy has no cookies.
type Policy struct {
	secure bool
	sites  *http.CrossOriginProtection
}

// New returns the policy of a service that browsers reach at a URL; its origin is that of the console, besides the Host of a request.
// secure says that they reach it over TLS.
func New(baseURL string, secure bool) *Policy {
	p := &Policy{secure: secure, sites: http.NewCrossOriginProtection()}
	if u, err := url.Parse(baseURL); err == nil && u.Host != "" {
		_ = p.sites.AddTrustedOrigin(u.Scheme + "://" + u.Host) // Where it is no origin, no browser sends it.
	}
	return p
}

// name returns the name of a cookie. With TLS its prefix makes browsers refuse it from other hosts and over plain HTTP.
func (p *Policy) name(cookie string) string {
	if p.secure {
		return "__Host-" + cookie
	}
	return cookie
}

// Get returns the value of a cookie of a request; empty without one.
func (p *Policy) Get(r *http.Request, cookie string) string {
	if p == nil {
		return ""
	}
	c, err := r.Cookie(p.name(cookie))
	if err != nil || len(c.Value) > maxValue {
		return ""
	}
	return c.Value
}

// Set sets a cookie for a time, or for as long as the browser runs with 0.
func (p *Policy) Set(w http.ResponseWriter, cookie, value string, life time.Duration) {
	p.set(w, cookie, value, int(life.Seconds()))
}

// Clear removes a cookie.
func (p *Policy) Clear(w http.ResponseWriter, cookie string) { p.set(w, cookie, "", -1) }

func (p *Policy) set(w http.ResponseWriter, cookie, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Without TLS, a Secure cookie would not come back.
		Name: p.name(cookie), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	})
}

// EnsureVisit returns the visit of a browser, and gives it one where it has none.
func (p *Policy) EnsureVisit(w http.ResponseWriter, r *http.Request) string {
	if visit := p.Get(r, Visit); len(visit) >= minVisit {
		return visit
	}
	visit := rand.Text()
	p.Set(w, Visit, visit, 0)
	return visit
}

// minVisit is the least length of a visit that counts, so that it cannot be guessed.
const minVisit = 26

// CheckAPI returns ErrForged for a request to the API without credentials in its header that another site may have made. A browser adds
// the session, and also the client certificate of a person who has one.
func (p *Policy) CheckAPI(r *http.Request) error {
	if p == nil || r.Header.Get("Authorization") != "" {
		return nil
	}
	secret := p.Get(r, Session)
	if secret == "" {
		return p.CheckOrigin(r)
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			return ErrForged
		}
		return nil
	}
	if !HasFormToken(r.Header.Get(TokenHeader), secret) {
		return ErrForged
	}
	return p.CheckOrigin(r)
}

// CheckOrigin returns ErrForged where the browser says that the page of another origin changes something.
func (p *Policy) CheckOrigin(r *http.Request) error {
	if p.sites.Check(r) != nil {
		return ErrForged
	}
	return nil
}

// FormToken returns the token of the forms of the holder of a secret. Other sites can make a browser send a form with its cookies, but
// can't know the secret from which the token is made.
func FormToken(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("refract.console.form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// HasFormToken reports whether a token is that of a secret, which is not empty.
func HasFormToken(token, secret string) bool {
	return secret != "" && hmac.Equal([]byte(token), []byte(FormToken(secret)))
}

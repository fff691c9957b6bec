package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/identity"
)

// SignIn is how visitors sign in. All but OIDC is required.
type SignIn struct {
	// Tokens knows who holds an API token.
	Tokens identity.Authenticator
	// Sessions has the sessions and the login links.
	Sessions SessionStore
	// OIDC signs people in at an issuer; nil without one.
	OIDC *identity.CodeFlow
	// Forget is called after a session was ended, with its secret.
	Forget func(secret string)
	// Status returns the status of an error of the two, for visitors.
	Status func(ctx context.Context, err error) error
}

// SessionStore is where the sessions and the login links are.
type SessionStore interface {
	// Create stores a session by the hash of its secret.
	Create(ctx context.Context, s identity.Session, hash []byte) (identity.Session, error)
	// SignOut ends the session of a hash, or returns identity.ErrSessionNotFound.
	SignOut(ctx context.Context, hash []byte) error
	// Link returns the session that the login link of a hash would make, or identity.ErrLinkNotFound.
	Link(ctx context.Context, hash []byte) (identity.Session, error)
	// UseLink makes a session of a login link, which can't be used again.
	UseLink(ctx context.Context, linkHash, hash []byte) (identity.Session, error)
}

const (
	linkPath = "/login/link" // The page of a login link.
	oidcPath = "/login/oidc" // It leads to the issuer.

	// OIDCCallbackPath is where the issuer sends people back to.
	OIDCCallbackPath = oidcPath + "/callback"
)

// LinkPath returns the path of the page that signs in with the code of a login link.
func LinkPath(code string) string { return linkPath + "?" + url.Values{"code": {code}}.Encode() }

var errTooMany = errors.New("there were too many attempts to sign in: try again in a minute")

// signInRetry is after how many seconds there may be another attempt to sign in.
const signInRetry = "60"

// loginPage is what the page to sign in shows.
type loginPage struct {
	To    string // Where it leads.
	OIDC  string // The path of the page that leads to the issuer; empty without one.
	Name  string // Of the issuer.
	Ended bool   // Whether a session of the visitor has ended.
}

// loginPage returns the page that leads to a path.
func (c *Console) loginPage(to string) loginPage {
	p := loginPage{To: to}
	if c.SignIn.OIDC != nil {
		p.OIDC, p.Name = oidcPath+"?"+url.Values{"to": {to}}.Encode(), c.SignIn.OIDC.Issuer()
	}
	return p
}

// showLogin shows the page to sign in. Who is signed in goes on to where it leads.
func (c *Console) showLogin(v *visit) error {
	query := v.r.URL.Query()
	to := localPath(query.Get("to"))
	if _, err := c.Identify(v.r); err == nil {
		return v.redirect(to)
	}
	page := c.loginPage(to)
	page.Ended = query.Get("ended") != ""
	return v.show("login", "Sign in", page)
}

// signInByToken makes a session of an API token.
func (c *Console) signInByToken(v *visit) error {
	page := c.loginPage(localPath(v.r.PostForm.Get("to")))
	if !c.attempts.allow(v.r, time.Now()) {
		setRetryAfter(v.w, errTooMany)
		return v.showStatus(http.StatusTooManyRequests, "login", "Sign in", errTooMany.Error(), page)
	}
	token := strings.TrimSpace(v.r.PostForm.Get("token"))
	id, err := c.SignIn.Tokens.Authenticate(v, identity.Credentials{Authorization: []string{"Bearer " + token}})
	if errors.Is(err, identity.ErrAbsent) || errors.Is(err, identity.ErrInvalid) {
		return v.showStatus(http.StatusForbidden, "login", "Sign in", "This is no API token of this service, or it was revoked.", page)
	}
	if err != nil {
		return c.SignIn.Status(v, err)
	}
	if id.Actor.Kind != audit.Token {
		return errForged
	}
	session := identity.Session{Tenant: id.Tenant, Operator: id.Operator, Actor: id.Actor, TokenID: id.Actor.Name}
	return c.begin(v, page.To, func(hash []byte) error {
		_, err := c.SignIn.Sessions.Create(v, session, hash)
		return err
	})
}

// linkPage is what the page of a login link shows.
type linkPage struct {
	Code     string
	Tenant   string
	Operator bool
}

// showLink shows whom a login link signs in as. It uses nothing up, since mail programs and chats open links before people do.
func (c *Console) showLink(v *visit) error {
	if !c.attempts.allow(v.r, time.Now()) {
		return errTooMany
	}
	code := v.r.URL.Query().Get("code")
	session, err := c.SignIn.Sessions.Link(v, identity.HashSecret(code))
	if err != nil {
		return c.linkError(v, err)
	}
	return v.show("link", "Sign in", linkPage{Code: code, Tenant: session.Tenant, Operator: session.Operator})
}

// signInByLink makes a session of a login link.
func (c *Console) signInByLink(v *visit) error {
	if !c.attempts.allow(v.r, time.Now()) {
		return errTooMany
	}
	return c.begin(v, "/", func(hash []byte) error {
		_, err := c.SignIn.Sessions.UseLink(v, identity.HashSecret(v.r.PostForm.Get("code")), hash)
		return err
	})
}

// linkError returns the error of a login link for visitors.
func (c *Console) linkError(v *visit, err error) error {
	if errors.Is(err, identity.ErrLinkNotFound) {
		return identity.ErrLinkNotFound
	}
	return c.SignIn.Status(v, err)
}

// begin begins a session with a new secret, which create stores by its hash, and leads to a page. It ends the session that the browser
// had, and no secret is used twice, so that no site can plant one.
func (c *Console) begin(v *visit, to string, create func(hash []byte) error) error {
	secret, hash := identity.NewSecret()
	if err := create(hash); err != nil {
		return c.linkError(v, err)
	}
	if old := c.Cookies.Get(v.r, cookie.Session); old != "" {
		if err := c.end(v, old); err != nil {
			c.Log.WarnContext(v, "the session before could not be ended; it ends by itself", "error", err)
		}
	}
	c.Cookies.Set(v.w, cookie.Session, secret, identity.SessionLife)
	return v.redirect(to)
}

// signOut ends the visitor's session.
func (c *Console) signOut(v *visit) error {
	if !v.caller.Session {
		return v.redirect("/")
	}
	if err := c.end(v, c.Cookies.Get(v.r, cookie.Session)); err != nil {
		return c.SignIn.Status(v, err)
	}
	c.Cookies.Clear(v.w, cookie.Session)
	return v.redirect("/login")
}

// end ends the session of a secret, unless it has ended.
func (c *Console) end(ctx context.Context, secret string) error {
	err := c.SignIn.Sessions.SignOut(ctx, identity.HashSecret(secret))
	if err != nil && !errors.Is(err, identity.ErrSessionNotFound) {
		return err
	}
	c.SignIn.Forget(secret)
	return nil
}

// maxTo bounds where a sign-in leads, in bytes.
const maxTo = 2048

// localPath returns where a sign-in leads: a path of this console with its query, or the start for anything else. Browsers read a backslash
// as a slash and leave out tabs and line breaks.
func localPath(to string) string {
	u, err := url.Parse(to)
	switch {
	case err != nil || len(to) > maxTo || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//"):
		return "/"
	case u.Scheme != "" || u.Host != "" || strings.Contains(to, `\`) || strings.ContainsFunc(to, unicode.IsControl):
		return "/"
	case u.Path == "/login" || strings.HasPrefix(u.Path, "/login/") || u.Path == "/logout" || strings.HasPrefix(u.Path, "/v1/"):
		return "/"
	}
	return to
}

package console

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/identity"
)

// oidcLife is for how long a person can be away at the issuer.
const oidcLife = 10 * time.Minute

// pending is what the browser of a person keeps who is away at the issuer.
type pending struct {
	identity.PendingSignIn

	To string `json:"t"`
}

// leaveForIssuer leads to the issuer.
func (c *Console) leaveForIssuer(v *visit) error {
	to := localPath(v.r.URL.Query().Get("to"))
	if !c.attempts.allow(v.r, time.Now()) {
		return errTooMany
	}
	address, begun, err := c.SignIn.OIDC.Begin(v)
	if err != nil {
		return c.oidcProblem(v, to, err)
	}
	value, err := pending{begun, to}.encode()
	if err != nil {
		return err
	}
	c.Cookies.Set(v.w, cookie.SignIn, value, oidcLife)
	return v.redirect(address)
}

// maxPending bounds the value of the cookie in bytes. Browsers drop a cookie of more than 4096 with its name and attributes.
const maxPending = 3500

// encode returns the value of the cookie. Where that were too long, the sign-in leads to the start.
func (p pending) encode() (string, error) {
	text, err := json.Marshal(p)
	if err == nil && base64.RawURLEncoding.EncodedLen(len(text)) > maxPending {
		p.To = "/"
		text, err = json.Marshal(p)
	}
	return base64.RawURLEncoding.EncodeToString(text), err
}

// returnFromIssuer makes a session for a person whom the issuer sends back.
func (c *Console) returnFromIssuer(v *visit) error {
	if !c.attempts.allow(v.r, time.Now()) {
		return errTooMany
	}
	var p pending
	text, err := base64.RawURLEncoding.DecodeString(c.Cookies.Get(v.r, cookie.SignIn))
	if err != nil || json.Unmarshal(text, &p) != nil || p.State == "" {
		return c.showOIDCProblem(v, http.StatusBadRequest, "/", "The sign-in took too long, or began in another browser. Try again.")
	}
	c.Cookies.Clear(v.w, cookie.SignIn)
	to, query := localPath(p.To), v.r.URL.Query()
	if query.Get("error") != "" && query.Get("state") == p.State {
		return c.showOIDCProblem(v, http.StatusForbidden, to, "The identity provider did not sign you in. Try again, or use an API token.")
	}
	id, err := c.SignIn.OIDC.Finish(v, p.PendingSignIn, query.Get("state"), query.Get("code"))
	if err != nil {
		return c.oidcProblem(v, to, err)
	}
	return c.begin(v, to, func(hash []byte) error {
		_, err := c.SignIn.Sessions.Create(v, identity.Session{Tenant: id.Tenant, Operator: id.Operator, Actor: id.Actor}, hash)
		return err
	})
}

// oidcProblem shows why a person could not sign in. What the issuer answered is in no page. The log has the code of its error, which says
// operators what is wrong with their client.
func (c *Console) oidcProblem(v *visit, to string, err error) error {
	c.Log.WarnContext(v, "a person could not sign in at the issuer", "error", err)
	switch {
	case errors.Is(err, identity.ErrUnassigned):
		return c.showOIDCProblem(v, http.StatusForbidden, to, "The identity provider knows you, but names no tenant for you and no rights of an operator.")
	case errors.Is(err, identity.ErrInvalid):
		return c.showOIDCProblem(v, http.StatusForbidden, to, "The answer of the identity provider could not be verified. Try again.")
	case errors.Is(err, identity.ErrIssuer), errors.Is(err, identity.ErrQueue):
		return c.showOIDCProblem(v, http.StatusServiceUnavailable, to, "The identity provider is out of reach. Try again, or use an API token.")
	}
	return c.SignIn.Status(v, err)
}

func (c *Console) showOIDCProblem(v *visit, status int, to, problem string) error {
	return v.showStatus(status, "login", "Sign in", problem, c.loginPage(to))
}

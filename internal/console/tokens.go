package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// tokenRoutes adds the pages of API tokens and console sessions.
func (c *Console) tokenRoutes() {
	c.handle("GET /tokens", c.listTokens)
	c.handle("POST /tokens", c.createToken)
	c.handle("GET /tokens/{id}/revoke", c.askRevoke)
	c.handle("POST /tokens/{id}/revoke", c.revokeToken)
	c.handle("POST /tokens/sessions/{id}/end", c.endSession)
}

var tokenNotices = map[string]string{ //nolint:gosec // These are sentences.
	"token-revoked": "The token is revoked. Calls with it are refused within five seconds.",
	"session-ended": "The session has ended. Its cookie is refused within five seconds.",
}

// tokenPage is what the page of API tokens and sessions shows.
type tokenPage struct {
	Tenant string // The filter.
	Tokens []*refractv1.APIToken
	Self   string // The id of the token that makes the call.
	Next   string // The URL of the next page; empty at the end.
	First  string // The URL of the first page; empty at the first page.
	Form   tokenForm

	HasSessions  bool // Whether the service lists sessions.
	Sessions     []*refractv1.ConsoleSession
	MoreSessions bool
}

// Live reports whether a token is live.
func (tokenPage) Live(t *refractv1.APIToken) bool { return t.GetRevokeTime() == nil }

// tokenForm is the form that creates a token.
type tokenForm struct {
	Tenant     string
	Operator   bool
	Version    string
	Violations map[string]string
}

// listTokens shows the API tokens, and the console sessions of the same tenant or of all.
func (c *Console) listTokens(v *visit) error {
	page := tokenPage{Form: tokenForm{Tenant: strings.TrimSpace(v.r.URL.Query().Get("tenant"))}}
	if err := c.fillTokens(v, &page); err != nil {
		return err
	}
	var err error
	if page.Form.Version, err = c.newestToken(v); err != nil {
		return err
	}
	return v.show("tokens", "API tokens", page)
}

// fillTokens reads what the page shows around its form.
func (c *Console) fillTokens(v *visit, page *tokenPage) error {
	q := v.r.URL.Query()
	page.Tenant, page.Self = strings.TrimSpace(q.Get("tenant")), v.caller.Name
	resp, err := c.operators.ListAPITokens(v, &refractv1.ListAPITokensRequest{PageSize: pageSize, Tenant: page.Tenant, PageToken: q.Get(pageParameter)})
	if err != nil {
		return err
	}
	page.Tokens = resp.GetTokens()
	page.Next, page.First = nextPage(v.r.URL, resp.GetNextPageToken()), firstPage(v.r.URL)
	sessions, err := c.operators.ListConsoleSessions(v, &refractv1.ListConsoleSessionsRequest{PageSize: pageSize, Tenant: page.Tenant})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil
	case err != nil:
		return err
	}
	page.HasSessions, page.Sessions, page.MoreSessions = true, sessions.GetSessions(), sessions.GetNextPageToken() != ""
	return nil
}

// newestToken returns a version that changes when a token is created, by anyone: the id of that event in the audit log. A form has the
// version of its page, so that a form that is sent twice creates one token.
func (c *Console) newestToken(v *visit) (string, error) {
	resp, err := c.operators.ListAuditEvents(v, &refractv1.ListAuditEventsRequest{PageSize: 1, Action: "token.create"})
	if err != nil {
		return "", err
	}
	if len(resp.GetEvents()) == 0 {
		return "none", nil
	}
	return resp.GetEvents()[0].GetId(), nil
}

var errTokenMeanwhile = errors.New("a token was created since this form was opened, so nothing was done: if you have reloaded the page of a new token, that token exists already, and otherwise send the form again")

// newToken is what the page shows that has a new token.
type newToken struct {
	*refractv1.APIToken
	Secret string
}

// createToken creates an API token and shows it, once. It is in no URL, so the answer to the form shows it.
func (c *Console) createToken(v *visit) error {
	form := tokenForm{Tenant: strings.TrimSpace(v.r.PostForm.Get("tenant")), Operator: v.r.PostForm.Get("operator") != "", Version: v.r.PostForm.Get("version")}
	newest, err := c.newestToken(v)
	if err != nil {
		return err
	}
	if form.Version != newest {
		form.Version = newest
		return c.refuseToken(v, form, status.Error(codes.Aborted, errTokenMeanwhile.Error()))
	}
	if form.Tenant == "" {
		form.Violations = map[string]string{"tenant": "Enter the tenant that the token identifies."}
		return c.refuseToken(v, form, status.Error(codes.InvalidArgument, "the form has no tenant"))
	}
	resp, err := c.operators.CreateAPIToken(v, &refractv1.CreateAPITokenRequest{Tenant: form.Tenant, Operator: form.Operator})
	if err != nil {
		form.Violations = violations(err)
		return c.refuseToken(v, form, err)
	}
	v.w.Header().Set("Cache-Control", "no-store")
	return v.showStatus(http.StatusCreated, "token_created", "New API token", "", newToken{resp.GetToken(), resp.GetSecret()})
}

// refuseToken shows the page with a form that was refused.
func (c *Console) refuseToken(v *visit, form tokenForm, cause error) error {
	page := tokenPage{Form: form}
	if err := c.fillTokens(v, &page); err != nil {
		return err
	}
	return v.refuse(cause, "tokens", "API tokens", page)
}

// tokenRevocation is what the page shows that asks before a revocation.
type tokenRevocation struct {
	*refractv1.APIToken
	Self      bool   // Whether it is the token that makes the call.
	OtherLive int    // The number of other live tokens of the tenant.
	Back      string // The URL of the list.
}

// askRevoke asks whether to revoke a token.
func (c *Console) askRevoke(v *visit) error {
	tenant := v.r.URL.Query().Get("tenant")
	page := tokenRevocation{Back: "/tokens?" + url.Values{"tenant": {tenant}}.Encode()}
	for req := (&refractv1.ListAPITokensRequest{PageSize: 500, Tenant: tenant}); tenant != ""; {
		resp, err := c.operators.ListAPITokens(v, req)
		if err != nil {
			return err
		}
		for _, t := range resp.GetTokens() {
			switch {
			case t.GetRevokeTime() != nil:
			case t.GetId() == v.r.PathValue("id"):
				page.APIToken = t
			default:
				page.OtherLive++
			}
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if page.APIToken == nil {
		return status.Error(codes.NotFound, "The tenant has no live token with this id. Perhaps it is revoked already.")
	}
	page.Self = page.GetId() == v.caller.Name
	return v.show("token_revoke", "Revoke an API token", page)
}

// revokeToken revokes a token.
func (c *Console) revokeToken(v *visit) error {
	resp, err := c.operators.RevokeAPIToken(v, &refractv1.RevokeAPITokenRequest{TokenId: v.r.PathValue("id")})
	if status.Code(err) == codes.InvalidArgument {
		return errNoPage // The path has no id.
	}
	if err != nil {
		return err
	}
	return v.done("/tokens?"+url.Values{"tenant": {resp.GetToken().GetTenant()}}.Encode(), "token-revoked")
}

// endSession ends a console session.
func (c *Console) endSession(v *visit) error {
	_, err := c.operators.EndConsoleSession(v, &refractv1.EndConsoleSessionRequest{SessionId: v.r.PathValue("id")})
	if status.Code(err) == codes.InvalidArgument {
		return errNoPage // The path has no id.
	}
	if err != nil {
		return err
	}
	return v.done("/tokens", "session-ended")
}

package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/console"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/redact"
)

// Console are the settings of the pages for people.
type Console struct {
	Pages string `name:"console" env:"REFRACT_CONSOLE" enum:"on,off" default:"on" help:"Whether the HTTP listener serves the console, the pages for people. With off there are no pages, and sessions of the console are no credentials." json:"console"`

	ClientID     string        `name:"console-oidc-client-id" env:"REFRACT_CONSOLE_OIDC_CLIENT_ID" help:"Client id of the console at an OIDC issuer. With it, people sign in there (code flow with PKCE). The redirect URI is /login/oidc/callback at --base-url." json:"console_oidc_client_id"`
	ClientSecret redact.Secret `name:"console-oidc-client-secret" env:"REFRACT_CONSOLE_OIDC_CLIENT_SECRET" help:"Secret of the client. Default: none, for a public client." json:"console_oidc_client_secret"`
	Issuer       string        `name:"console-oidc-issuer" env:"REFRACT_CONSOLE_OIDC_ISSUER" help:"The issuer, as an https URL. Tenant and operators are read from its JWTs by --oidc-tenant-claim and --oidc-operator. Default: that of --oidc-issuer, if it is one." json:"console_oidc_issuer"`
}

// hasConsole reports whether there are pages for people.
func (f *Config) hasConsole() bool { return f.Pages != "off" }

// signsIn reports whether people sign in to the console. Without authentication everyone is known.
func (f *Config) signsIn() bool { return f.hasConsole() && f.Auth != "none" }

// codeFlow returns how people sign in at an OIDC issuer, or nil.
func (f *Config) codeFlow(rest string, client *http.Client, log *slog.Logger) (*identity.CodeFlow, error) {
	if f.ClientID == "" {
		if f.ClientSecret != "" || f.Issuer != "" {
			return nil, errors.New("--console-oidc-client-secret and --console-oidc-issuer need --console-oidc-client-id")
		}
		return nil, nil //nolint:nilnil // No one signs in so.
	}
	if !f.signsIn() {
		return nil, errors.New("--console-oidc-client-id has no use with --console=off or --auth=none: drop it")
	}
	issuers := f.OIDCIssuers
	if f.Issuer != "" {
		issuers = []string{f.Issuer}
	}
	return identity.NewCodeFlow(identity.CodeFlowConfig{
		JWT: identity.JWTConfig{
			Issuers: issuers, Audiences: []string{f.ClientID}, TenantClaim: f.OIDCTenantClaim, Operators: f.OIDCOperators,
			HTTPOnLoopback: f.AllowPrivate, Client: client, Log: log,
		},
		ClientSecret: f.ClientSecret.Reveal(), RedirectURL: rest + console.OIDCCallbackPath,
	})
}

// pages is what the surfaces make the console of; nil for none.
type pages struct {
	config  console.Config
	cookies *cookie.Policy // Nil where sessions are no credentials.
}

// newPages returns the pages of a service that callers reach at a URL.
func newPages(f Config, rest string, authentication *authentication, stores *postgres.Stores, statuses *api.Statuses) *pages {
	if !f.hasConsole() {
		return nil
	}
	policy := cookie.New(rest, strings.HasPrefix(rest, "https://") || f.HTTP.TLSCert != "")
	p := &pages{config: console.Config{Cookies: policy}}
	if f.signsIn() {
		p.cookies = policy
		p.config.SignIn = &console.SignIn{
			Tokens: authentication.tokens, Sessions: stores.Sessions, Forget: authentication.sessions.Forget, OIDC: authentication.codeFlow,
			Status: func(ctx context.Context, err error) error { return statuses.Convert(ctx, "console", err) },
		}
	}
	return p
}

// handler returns the handler of the pages, whose calls go over a connection.
func (p *pages) handler(conn grpc.ClientConnInterface, cfg api.Config) http.Handler {
	config := p.config
	config.Conn, config.Log, config.Identify = conn, cfg.Log, visitor
	return console.New(config)
}

// visitor returns who makes a request to the console.
func visitor(r *http.Request) (console.Caller, error) {
	caller, ok := httpapi.CallerOf(r.Context()).(*api.RESTCaller)
	if !ok {
		return console.Caller{}, console.ErrSignedOut
	}
	id, err := caller.Identity(r.Context())
	if err != nil {
		return console.Caller{}, err
	}
	secret := caller.Session()
	return console.Caller{
		Tenant: id.Tenant, Operator: id.Operator, Name: id.Actor.Name, Metadata: caller.Metadata(), FormKey: secret, Session: secret != "",
	}, nil
}

// ConsoleLink returns the URL of a login link to the console, which signs in once, within ten minutes, as a tenant, as an operator or as
// both. It is a secret.
func (s *Server) ConsoleLink(ctx context.Context, tenant string, operator bool) (string, error) {
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.Command, Name: "login link"})
	code, err := s.sessions.CreateLink(ctx, tenant, operator)
	if err != nil {
		return "", err
	}
	return s.restURL + console.LinkPath(code), nil
}

// CreateToken creates an API token of a tenant, as "refract token create" does, and returns it. It is a secret.
func (s *Server) CreateToken(ctx context.Context, tenant string) (string, error) {
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.Command, Name: "demo"})
	_, secret, err := s.tokens.Issue(ctx, tenant, false)
	return secret, err
}

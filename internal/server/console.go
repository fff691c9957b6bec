package server

import (
	"context"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/console"
	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/postgres"
)

// Console are the settings of the pages for people.
type Console struct {
	Pages string `name:"console" env:"REFRACT_CONSOLE" enum:"on,off" default:"on" help:"Whether the HTTP listener serves the console, the pages for people. With off there are no pages, and sessions of the console are no credentials." json:"console"`
}

// hasConsole reports whether there are pages for people.
func (f *Config) hasConsole() bool { return f.Pages != "off" }

// signsIn reports whether people sign in to the console. Without authentication everyone is known.
func (f *Config) signsIn() bool { return f.hasConsole() && f.Auth != "none" }

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
			Tokens: authentication.tokens, Sessions: stores.Sessions, Forget: authentication.sessions.Forget,
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

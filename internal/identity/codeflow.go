package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// CodeFlowConfig is how people sign in at an OIDC issuer.
type CodeFlowConfig struct {
	// JWT says whom the JWTs of the issuer identify. It has one issuer, and the client id as the audience.
	JWT          JWTConfig
	ClientSecret string // Empty for a public client.
	RedirectURL  string // Where the issuer sends people back to.
}

// CodeFlow signs people in at an OIDC issuer, by the authorization code flow with PKCE. The JWT that comes of it is proof at that moment
// alone.
type CodeFlow struct {
	jwts           *JWTs
	issuer         string
	client         *http.Client
	httpOnLoopback bool
	oauth          *oauth2.Config // Without the endpoint.

	mu       sync.Mutex
	endpoint oauth2.Endpoint
	read     time.Time // When the endpoint was discovered.
}

// PendingSignIn is a sign-in that was begun. It must be kept by the browser that began it, and shown to no one else.
type PendingSignIn struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
}

// NewCodeFlow returns a code flow that knows no keys before it runs.
func NewCodeFlow(cfg CodeFlowConfig) (*CodeFlow, error) {
	if len(cfg.JWT.Issuers) != 1 || len(cfg.JWT.Audiences) != 1 {
		return nil, errors.New("--console-oidc-client-id needs one issuer: pass --console-oidc-issuer")
	}
	jwts, err := NewJWTs(cfg.JWT)
	if err != nil {
		return nil, fmt.Errorf("--console-oidc-client-id: %w", err)
	}
	return &CodeFlow{
		jwts: jwts, issuer: cfg.JWT.Issuers[0], client: cfg.JWT.Client, httpOnLoopback: cfg.JWT.HTTPOnLoopback,
		oauth: &oauth2.Config{
			ClientID: cfg.JWT.Audiences[0], ClientSecret: cfg.ClientSecret, RedirectURL: cfg.RedirectURL,
			Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
	}, nil
}

// Run reads the keys of the issuer until ctx ends.
func (f *CodeFlow) Run(ctx context.Context) error { return f.jwts.Run(ctx) }

// Issuer returns the host of the issuer, for people.
func (f *CodeFlow) Issuer() string {
	u, err := url.Parse(f.issuer)
	if err != nil {
		return ""
	}
	return u.Host
}

// Begin returns the URL to which the browser of a person who signs in goes. The error is ErrIssuer.
func (f *CodeFlow) Begin(ctx context.Context) (string, PendingSignIn, error) {
	config, err := f.discover(ctx)
	if err != nil {
		return "", PendingSignIn{}, err
	}
	p := PendingSignIn{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	return config.AuthCodeURL(p.State, oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier)), p, nil
}

// Finish returns who came back from the issuer with a state and a code. The errors are ErrInvalid, ErrUnassigned, ErrIssuer, ErrQueue and
// that of ctx.
func (f *CodeFlow) Finish(ctx context.Context, p PendingSignIn, state, code string) (*Identity, error) {
	if p.State == "" || subtle.ConstantTimeCompare([]byte(p.State), []byte(state)) != 1 || code == "" {
		return nil, ErrInvalid
	}
	config, err := f.discover(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := config.Exchange(oidc.ClientContext(ctx, f.client), code, oauth2.VerifierOption(p.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError {
		return nil, fmt.Errorf("the issuer refused the code with %.64q: %w", refused.ErrorCode, ErrInvalid) // Its other text may hold secrets.
	}
	if err != nil {
		return nil, ErrIssuer
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, ErrInvalid
	}
	token, _, _, err := f.jwts.verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if token.Claims(&claims) != nil || claims.AuthorizedParty != "" && claims.AuthorizedParty != config.ClientID {
		return nil, ErrInvalid
	}
	if p.Nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(p.Nonce)) != 1 {
		return nil, ErrInvalid
	}
	return f.jwts.identify(token)
}

// discover returns the configuration with the endpoint of the issuer, which it asks for again after a while.
func (f *CodeFlow) discover(ctx context.Context) (*oauth2.Config, error) {
	f.mu.Lock()
	known := f.endpoint
	if time.Since(f.read) > keyReload {
		known = oauth2.Endpoint{}
	}
	f.mu.Unlock()
	if known.AuthURL == "" {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, f.client), f.issuer)
		if err != nil {
			return nil, ErrIssuer
		}
		known = provider.Endpoint()
		// The browser goes to the first without a client of ours that would check it.
		if u, err := url.Parse(known.AuthURL); err != nil || checkIssuerURL(u, f.httpOnLoopback) != nil || known.TokenURL == "" {
			return nil, ErrIssuer
		}
		f.mu.Lock()
		f.endpoint, f.read = known, time.Now()
		f.mu.Unlock()
	}
	known.AuthStyle = oauth2.AuthStyleInHeader // Every issuer takes a secret there.
	if f.oauth.ClientSecret == "" {
		known.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: f.oauth.ClientID, ClientSecret: f.oauth.ClientSecret, RedirectURL: f.oauth.RedirectURL, Scopes: f.oauth.Scopes, Endpoint: known,
	}, nil
}

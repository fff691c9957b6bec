package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres"
)

// Identity are the settings of who may call, besides the holders of API tokens.
type Identity struct {
	GRPCClientCA string `name:"grpc-client-ca" env:"REFRACT_GRPC_CLIENT_CA" type:"existingfile" help:"CA file that vouches for the certificates of gRPC clients. They must show one, unless --cert-tenant or --cert-operator is set: then clients without one need other credentials." json:"grpc_client_ca"`
	HTTPClientCA string `name:"http-client-ca" env:"REFRACT_HTTP_CLIENT_CA" type:"existingfile" help:"The same for REST." json:"http_client_ca"`

	CertTenants   []string `name:"cert-tenant" env:"REFRACT_CERT_TENANT" help:"Pattern of URIs or DNS names in client certificates that name a tenant, such as spiffe://example.org/tenant/{tenant} or {tenant}.tenants.example.org." json:"cert_tenants"`
	CertOperators []string `name:"cert-operator" env:"REFRACT_CERT_OPERATOR" help:"URI or DNS name in the client certificate of an operator." json:"cert_operators"`

	OIDCIssuers     []string `name:"oidc-issuer" env:"REFRACT_OIDC_ISSUER" help:"OIDC issuer whose JWTs identify callers, as an https URL. Several are trusted alike." json:"oidc_issuers"`
	OIDCAudiences   []string `name:"oidc-audience" env:"REFRACT_OIDC_AUDIENCE" help:"Audience that a JWT must be for. Of several, one suffices. Required with --oidc-issuer." json:"oidc_audiences"`
	OIDCTenantClaim string   `name:"oidc-tenant-claim" env:"REFRACT_OIDC_TENANT_CLAIM" default:"tenant" help:"Claim of a JWT that names the tenant." json:"oidc_tenant_claim"`
	OIDCOperators   []string `name:"oidc-operator" env:"REFRACT_OIDC_OPERATOR" help:"Claim and value that make the holder of a JWT an operator, such as groups=video-operators." json:"oidc_operators"`
}

// clientCerts returns what a listener with a client CA does about certificates. Where they identify callers, they are one way of several.
func (f *Identity) clientCerts() clientCerts {
	if f.byCertificate() {
		return optionalClientCerts
	}
	return requiredClientCerts
}

func (f *Identity) byCertificate() bool { return len(f.CertTenants)+len(f.CertOperators) > 0 }

// checkIdentity refuses settings that would let no caller in, or more than it seems.
func (f *Config) checkIdentity() error {
	if f.Auth == "none" && (len(f.OIDCIssuers) > 0 || f.byCertificate()) {
		return errors.New("--auth=none lets anyone in, so --oidc-issuer, --cert-tenant and --cert-operator have no use: drop them, or use --auth=tokens")
	}
	if f.byCertificate() && f.GRPCClientCA == "" && f.HTTPClientCA == "" {
		return errors.New("--cert-tenant and --cert-operator need --grpc-client-ca or --http-client-ca, which vouches for the certificates")
	}
	if _, err := f.certificates(); err != nil {
		return err
	}
	if _, err := f.jwts(nil, nil); err != nil {
		return err
	}
	_, err := f.codeFlow("", nil, nil)
	return err
}

// certificates returns what identifies callers by client certificate, or nil.
func (f *Config) certificates() (*identity.Certificates, error) {
	if !f.byCertificate() {
		return nil, nil //nolint:nilnil // Nothing is what certificates identify then.
	}
	c, err := identity.NewCertificates(f.CertTenants, f.CertOperators)
	if err != nil {
		return nil, fmt.Errorf("--cert-tenant and --cert-operator: %w", err)
	}
	return c, nil
}

// jwts returns what identifies callers by JWT, or nil.
func (f *Config) jwts(client *http.Client, log *slog.Logger) (*identity.JWTs, error) {
	if len(f.OIDCIssuers) == 0 {
		if len(f.OIDCAudiences) > 0 || len(f.OIDCOperators) > 0 && f.ClientID == "" {
			return nil, errors.New("--oidc-audience and --oidc-operator need --oidc-issuer")
		}
		return nil, nil //nolint:nilnil // Nothing is what JWTs identify then.
	}
	return identity.NewJWTs(identity.JWTConfig{
		Issuers: f.OIDCIssuers, Audiences: f.OIDCAudiences, TenantClaim: f.OIDCTenantClaim, Operators: f.OIDCOperators,
		HTTPOnLoopback: f.AllowPrivate, Client: client, Log: log,
	})
}

// issuerClient returns the client for requests to OIDC issuers.
func (f *Config) issuerClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // It is what net/http documents.
	if f.Tuning.Roots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: f.Tuning.Roots, MinVersion: tls.VersionTLS12}
	}
	return identity.NewIssuerClient(transport, f.AllowPrivate)
}

// authentication is how callers are identified.
type authentication struct {
	identity.Authenticator
	tokens   identity.Authenticator // For API tokens alone.
	sessions *identity.Sessions     // Nil without sign-in.
	codeFlow *identity.CodeFlow     // Nil without sign-in at an issuer.
	running  []part                 // What reads tokens, sessions, keys and rates.
	close    func(context.Context) error
}

// openAuthentication returns the authentication, with the tokens and the call rates as the database has them. Nothing waits for an
// issuer: until its keys are known, calls with its JWTs end with UNAVAILABLE.
func openAuthentication(ctx context.Context, f Config, rest string, stores *postgres.Stores, log *slog.Logger) (*authentication, error) {
	if f.Auth == "none" {
		return &authentication{Authenticator: identity.As(f.tenant()), close: func(context.Context) error { return nil }}, nil
	}
	tokens := identity.NewKeyring(stores.APITokens)
	if err := tokens.Load(ctx); err != nil {
		return nil, fmt.Errorf("read the API tokens: %w", err)
	}
	rates := identity.NewRates(stores.Tenants, log)
	if err := rates.Load(ctx); err != nil {
		return nil, fmt.Errorf("read the call rates of tenants: %w", err)
	}
	chain, running := identity.Chain{tokens}, []part{tokens.Run, rates.Run}
	var sessions *identity.Sessions
	if f.signsIn() {
		sessions = identity.NewSessions(stores.Sessions)
		chain, running = append(chain, sessions), append(running, sessions.Run)
	}
	client := f.issuerClient()
	jwts, err := f.jwts(client, log)
	if err != nil {
		return nil, err
	}
	if jwts != nil {
		chain, running = append(chain, jwts), append(running, jwts.Run)
	}
	codeFlow, err := f.codeFlow(rest, client, log)
	if err != nil {
		return nil, err
	}
	if codeFlow != nil {
		running = append(running, codeFlow.Run)
	}
	certificates, err := f.certificates()
	if err != nil {
		return nil, err
	}
	if certificates != nil {
		chain = append(chain, certificates)
	}
	return &authentication{Authenticator: rates.Limit(chain), tokens: tokens, sessions: sessions, codeFlow: codeFlow, running: running, close: func(context.Context) error {
		client.CloseIdleConnections()
		return nil
	}}, nil
}

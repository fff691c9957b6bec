// Package identity finds out who calls: by API token, by JWT of an OIDC issuer, by client certificate, or by a session of the console.
//
// A call is authenticated by a Chain of authenticators, which is the same for gRPC and REST. Each credential that a call carries
// must be valid, and all must be those of one tenant. What an identity is derived from is read in the background: a call with known
// credentials costs no query and no request, and works for a bounded time when the database or the issuer is out of reach.
package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/audit"
)

var (
	// ErrAbsent means that a call carries no credentials of the kind that an authenticator knows.
	ErrAbsent = errors.New("no credentials of this kind")
	// ErrInvalid means that the credentials are missing, wrong, expired or revoked. Callers do not learn which.
	ErrInvalid = errors.New("the credentials are missing, wrong, expired or revoked: send `authorization: Bearer <token>`, or a client certificate where the service takes them")
	// ErrUnassigned means that a JWT is valid, and names neither a tenant nor an operator. It is an ErrInvalid.
	ErrUnassigned = fmt.Errorf("the JWT names neither a tenant nor an operator: %w", ErrInvalid)
	// ErrAmbiguous means that a call carries the credentials of two callers.
	ErrAmbiguous = errors.New("the call carries credentials of two callers: send those of one")
	// ErrTokensUnread means that the live tokens can't be read, so that nothing is known about a token.
	ErrTokensUnread = errors.New("the API token can't be checked now: call again")
	// ErrIssuer means that the keys of an issuer can't be read, so that nothing is known about a JWT.
	ErrIssuer = errors.New("the issuer of the JWT is out of reach, so that the JWT can't be checked: call again")
	// ErrQueue means that too many calls with unknown credentials wait.
	ErrQueue = errors.New("too many credentials wait to be checked: call again")
)

// Credentials are what a call carries.
type Credentials struct {
	// Authorization has the values of the Authorization header, which are several only by mistake.
	Authorization []string
	// Certificate is the client certificate of the connection, which TLS has verified; nil without one.
	Certificate *x509.Certificate
	// Session is the secret of a session of the console, which only a request over HTTP can carry. It has no effect besides Authorization.
	Session string
}

// Identity is who calls. It must not be changed.
type Identity struct {
	Tenant   string // Empty for an operator without a tenant, who may call OperatorService alone.
	Operator bool   // Whether the caller may call OperatorService.
	Actor    audit.Actor
	// Expire is when the credentials expire. Zero means never.
	Expire time.Time
	// Live ends, with the cause ErrInvalid, when the credentials are revoked. Nil never ends.
	Live context.Context //nolint:containedctx // It ends with the credentials, not with a call.
}

// Authenticator identifies callers by credentials of one kind. It may be called concurrently.
type Authenticator interface {
	// Authenticate returns who calls, or ErrAbsent if the call carries no credentials of the kind.
	Authenticate(ctx context.Context, c Credentials) (*Identity, error)
}

// Bind returns a context that also ends, with the cause ErrInvalid, when the credentials expire or are revoked. stop must be called.
func (id *Identity) Bind(ctx context.Context) (_ context.Context, stop func()) {
	if id.Live == nil && id.Expire.IsZero() {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	invalid := func() { end(ErrInvalid) }
	forget := func() bool { return true }
	if id.Live != nil {
		forget = context.AfterFunc(id.Live, invalid)
	}
	var expiry *time.Timer
	if !id.Expire.IsZero() {
		expiry = time.AfterFunc(time.Until(id.Expire), invalid)
	}
	return ctx, func() {
		forget()
		if expiry != nil {
			expiry.Stop()
		}
		end(nil)
	}
}

// Chain asks authenticators one after the other. It returns ErrInvalid if a call carries no credentials, or any that none knows.
type Chain []Authenticator

// Authenticate implements Authenticator.
func (c Chain) Authenticate(ctx context.Context, given Credentials) (*Identity, error) {
	if len(given.Authorization) > 1 {
		return nil, ErrAmbiguous
	}
	var known *Identity
	unknown := len(given.Authorization) > 0 // Whether the header is of no known kind.
	for _, a := range c {
		id, err := a.Authenticate(ctx, given)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if id.Actor.Kind != audit.Certificate {
			unknown = false
		}
		if known, err = merge(known, id); err != nil {
			return nil, err
		}
	}
	if unknown || known == nil {
		return nil, ErrInvalid
	}
	return known, nil
}

// merge returns the identity of a call that carries two credentials, of which the first may be nil. The actor is the one with the
// rights of an operator.
func merge(a, b *Identity) (*Identity, error) {
	switch {
	case a == nil:
		return b, nil
	case a.Tenant != b.Tenant && a.Tenant != "" && b.Tenant != "":
		return nil, ErrAmbiguous
	}
	both := *a
	if b.Operator && !a.Operator {
		both.Operator, both.Actor = true, b.Actor
	}
	if both.Tenant == "" {
		both.Tenant = b.Tenant
	}
	if both.Live == nil {
		both.Live = b.Live
	}
	if both.Expire.IsZero() || !b.Expire.IsZero() && b.Expire.Before(both.Expire) {
		both.Expire = b.Expire
	}
	return &both, nil
}

// As returns an authenticator that takes every caller for one tenant, and for an operator. It is for listeners that only the own
// machine can reach.
func As(tenant string) Authenticator {
	return anyone{Tenant: tenant, Operator: true, Actor: audit.Actor{Kind: audit.Anonymous, Name: "anonymous", Tenant: tenant}}
}

type anyone Identity

// Authenticate implements Authenticator.
func (a anyone) Authenticate(context.Context, Credentials) (*Identity, error) {
	return (*Identity)(&a), nil
}

// bearer returns the token of an Authorization header.
func (c Credentials) bearer() (token string, ok bool) {
	if len(c.Authorization) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(c.Authorization[0], " ")
	return token, strings.EqualFold(scheme, "bearer")
}

// maxTenant is the maximum length of the name of a tenant, in bytes.
const maxTenant = 64

// CheckTenant returns what is wrong with the name of a tenant, as a sentence that follows the name of a setting.
func CheckTenant(name string) error {
	switch {
	case name == "" || len(name) > maxTenant:
		return fmt.Errorf("takes 1 to %d characters", maxTenant)
	case name == "-":
		return errors.New("can't be -, which is reserved for the default quotas: choose another name")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("takes printable characters only") // Invisible ones would make names that look alike.
	}
	return nil
}

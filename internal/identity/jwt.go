package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/audit"
)

const (
	// maxJWT bounds a JWT in bytes, before anything of it is read.
	maxJWT = 12 << 10
	// clockSkew is by how much the clocks of issuers and of this machine may differ.
	clockSkew = time.Minute
	// maxSubject bounds the subject of a JWT in bytes.
	maxSubject = 255
)

// JWTConfig says which JWTs identify whom. All issuers are trusted alike: each may name every tenant.
type JWTConfig struct {
	Issuers     []string // Their URLs, as the claim iss has them.
	Audiences   []string // A JWT must be for one of them.
	TenantClaim string   // The claim that names the tenant.
	Operators   []string // Claims and values that make an operator, as claim=value.
	// HTTPOnLoopback permits issuers on loopback addresses over http.
	HTTPOnLoopback bool
	Client         *http.Client // As NewIssuerClient returns it.
	Log            *slog.Logger
}

// JWTs identifies callers by JWTs of OIDC issuers.
type JWTs struct {
	issuers     map[string]*issuer
	audiences   []string
	tenantClaim string
	operators   []claimValue
	verified    verifiedTokens
}

// claimValue is a claim and a value that it must have or contain.
type claimValue struct{ claim, value string }

// NewJWTs returns an authenticator that knows no keys before it runs. The error names a setting of which something is wrong.
func NewJWTs(cfg JWTConfig) (*JWTs, error) {
	j := &JWTs{issuers: map[string]*issuer{}, audiences: cfg.Audiences, tenantClaim: cfg.TenantClaim}
	for _, issuerURL := range cfg.Issuers {
		u, err := url.Parse(issuerURL)
		if err != nil || u.RawQuery != "" || u.Fragment != "" || u.User != nil || checkIssuerURL(u, cfg.HTTPOnLoopback) != nil {
			return nil, errors.New("--oidc-issuer takes https URLs without query and user, exactly as the issuer spells them in its JWTs")
		}
		j.issuers[issuerURL] = newIssuer(issuerURL, cfg.Client, cfg.Log)
	}
	if len(j.audiences) == 0 || slices.Contains(j.audiences, "") {
		return nil, errors.New("--oidc-audience is missing: without it, a JWT that was issued for another service would be accepted")
	}
	if j.tenantClaim == "" {
		return nil, errors.New("--oidc-tenant-claim is empty")
	}
	for _, operator := range cfg.Operators {
		claim, value, ok := strings.Cut(operator, "=")
		if !ok || claim == "" || value == "" {
			return nil, fmt.Errorf("--oidc-operator=%s is not of the form claim=value", operator)
		}
		j.operators = append(j.operators, claimValue{claim, value})
	}
	return j, nil
}

// Run reads the keys of the issuers until ctx ends.
func (j *JWTs) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, i := range j.issuers {
		g.Go(func() error { return i.reads.run(ctx) })
	}
	return g.Wait()
}

// Authenticate implements Authenticator for bearer tokens of the shape of a JWT. The errors are ErrAbsent, ErrInvalid, ErrIssuer,
// ErrQueue and that of ctx.
func (j *JWTs) Authenticate(ctx context.Context, c Credentials) (*Identity, error) {
	token, ok := c.bearer()
	if !ok || strings.HasPrefix(token, tokenPrefix) || strings.Count(token, ".") != 2 {
		return nil, ErrAbsent
	}
	if len(token) > maxJWT {
		return nil, ErrInvalid
	}
	if id := j.verified.find(token); id != nil {
		return id, nil
	}
	verified, i, keysRead, err := j.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	id, err := j.identify(verified)
	if err != nil {
		return nil, err
	}
	j.verified.add(token, verifiedToken{identity: id, issuer: i, keysRead: keysRead})
	return id, nil
}

// verify returns a JWT whose signature is that of an issuer, with the issuer and when the keys were read that verified it. It checks neither
// the audience nor the times.
func (j *JWTs) verify(ctx context.Context, token string) (*oidc.IDToken, *issuer, time.Time, error) {
	if len(token) > maxJWT {
		return nil, nil, time.Time{}, ErrInvalid
	}
	unverified, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, nil, time.Time{}, ErrInvalid
	}
	var claimed struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(unverified.UnsafePayloadWithoutVerification(), &claimed) != nil {
		return nil, nil, time.Time{}, ErrInvalid
	}
	i := j.issuers[claimed.Issuer]
	if i == nil {
		return nil, nil, time.Time{}, ErrInvalid
	}
	verified, keysRead, err := i.verify(ctx, token, unverified.Signatures[0].Header.KeyID)
	return verified, i, keysRead, err
}

// identify returns whom a verified JWT identifies now, or ErrInvalid.
func (j *JWTs) identify(token *oidc.IDToken) (*Identity, error) {
	if !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(j.audiences, a) }) {
		return nil, ErrInvalid
	}
	var claims map[string]json.RawMessage
	if token.Claims(&claims) != nil {
		return nil, ErrInvalid
	}
	expire := token.Expiry.Add(clockSkew)
	if now := time.Now(); !now.Before(expire) || !begun(claims["nbf"], now.Add(clockSkew)) {
		return nil, ErrInvalid
	}
	if token.Subject == "" || len(token.Subject) > maxSubject || !utf8.ValidString(token.Subject) || strings.ContainsFunc(token.Subject, unicode.IsControl) {
		return nil, ErrInvalid
	}
	id := &Identity{Expire: expire}
	if raw, ok := claims[j.tenantClaim]; ok {
		if json.Unmarshal(raw, &id.Tenant) != nil || CheckTenant(id.Tenant) != nil {
			return nil, ErrInvalid
		}
	}
	id.Operator = slices.ContainsFunc(j.operators, func(o claimValue) bool { return holds(claims[o.claim], o.value) })
	if id.Tenant == "" && !id.Operator {
		return nil, ErrUnassigned
	}
	id.Actor = audit.Actor{Kind: audit.JWT, Name: token.Issuer + " " + token.Subject, Tenant: id.Tenant}
	return id, nil
}

// begun reports whether the time of the claim nbf has come. Without the claim it has.
func begun(notBefore json.RawMessage, now time.Time) bool {
	if notBefore == nil {
		return true
	}
	var seconds float64
	return json.Unmarshal(notBefore, &seconds) == nil && seconds <= float64(now.Unix())
}

// holds reports whether a claim has a value: as a string, as an item of a list of strings, or as true or false.
func holds(claim json.RawMessage, value string) bool {
	var one string
	if json.Unmarshal(claim, &one) == nil {
		return one == value
	}
	var list []string
	if json.Unmarshal(claim, &list) == nil {
		return slices.Contains(list, value)
	}
	var truth bool
	return json.Unmarshal(claim, &truth) == nil && fmt.Sprint(truth) == value
}

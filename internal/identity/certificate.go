package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

// Certificates identifies callers by the URIs and DNS names of their client certificates. Other names, such as the common name,
// do not identify a caller.
type Certificates struct {
	tenants   []namePattern
	operators map[certName]bool
}

// certName is a name in a certificate. The kind is a part of it: a CA that checks DNS names may put any text in a URI, and the reverse.
type certName struct {
	text string
	uri  bool
}

// namePattern is a pattern of names in which one part is the tenant.
type namePattern struct {
	before, after string
	uri           bool
}

// tenantPart stands for the tenant in a pattern.
const tenantPart = "{tenant}"

// NewCertificates returns an authenticator for names that match one of the patterns, which contain {tenant} once, and for operators,
// whose names are exact. A name or pattern with :// is that of a URI, and any other is a DNS name.
func NewCertificates(tenants, operators []string) (*Certificates, error) {
	c := &Certificates{operators: map[certName]bool{}}
	for _, pattern := range tenants {
		before, after, ok := strings.Cut(pattern, tenantPart)
		if !ok || strings.Contains(after, tenantPart) || before+after == "" {
			return nil, fmt.Errorf("%q must contain {tenant} once, as spiffe://example.org/tenant/{tenant} or {tenant}.tenants.example.org do", pattern)
		}
		p := namePattern{before: before, after: after, uri: strings.Contains(pattern, "://")}
		if p.uri && !strings.Contains(before, "://") {
			return nil, fmt.Errorf("%q must begin with a scheme that is no part of the tenant", pattern)
		}
		if !p.uri {
			p.before, p.after = strings.ToLower(before), strings.ToLower(after)
		}
		c.tenants = append(c.tenants, p)
	}
	for _, name := range operators {
		if name == "" {
			return nil, errors.New("the name of an operator is empty")
		}
		uri := strings.Contains(name, "://")
		if !uri {
			name = strings.ToLower(name)
		}
		c.operators[certName{name, uri}] = true
	}
	return c, nil
}

// tenant returns the tenant in a name: one segment of the path of a URI, or one label of a DNS name, which is no wildcard.
func (p namePattern) tenant(name certName) (string, bool) {
	if p.uri != name.uri {
		return "", false
	}
	rest, ok := strings.CutPrefix(name.text, p.before)
	if !ok {
		return "", false
	}
	tenant, ok := strings.CutSuffix(rest, p.after)
	foreign := ".*"
	if name.uri {
		foreign = "/?#"
	}
	return tenant, ok && !strings.ContainsAny(tenant, foreign) && CheckTenant(tenant) == nil
}

// Authenticate implements Authenticator. The errors are ErrAbsent, which also means a certificate whose names say nothing, ErrInvalid
// for one that has expired since the connection began, and ErrAmbiguous for one that names two tenants.
func (c *Certificates) Authenticate(_ context.Context, given Credentials) (*Identity, error) {
	cert := given.Certificate
	if cert == nil {
		return nil, ErrAbsent
	}
	id := &Identity{Actor: audit.Actor{Kind: audit.Certificate}, Expire: cert.NotAfter}
	for _, u := range cert.URIs {
		if err := c.add(id, certName{u.String(), true}); err != nil {
			return nil, err
		}
	}
	for _, name := range cert.DNSNames {
		if err := c.add(id, certName{strings.ToLower(name), false}); err != nil {
			return nil, err
		}
	}
	if id.Actor.Name == "" {
		return nil, ErrAbsent
	}
	if time.Now().After(cert.NotAfter) {
		return nil, ErrInvalid
	}
	id.Actor.Tenant = id.Tenant
	return id, nil
}

// add adds to an identity what a name says. The name of an operator is that of the actor.
func (c *Certificates) add(id *Identity, name certName) error {
	if c.operators[name] {
		id.Operator, id.Actor.Name = true, name.text
	}
	for _, p := range c.tenants {
		tenant, ok := p.tenant(name)
		if !ok {
			continue
		}
		if id.Tenant != "" && id.Tenant != tenant {
			return ErrAmbiguous
		}
		id.Tenant = tenant
		if !id.Operator {
			id.Actor.Name = name.text
		}
	}
	return nil
}

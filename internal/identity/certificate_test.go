package identity

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

// certificateOf returns a certificate with names, of which those with :// are URIs.
func certificateOf(t *testing.T, names ...string) *x509.Certificate {
	t.Helper()
	cert := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	for _, name := range names {
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "://") {
			cert.URIs = append(cert.URIs, u)
		} else {
			cert.DNSNames = append(cert.DNSNames, name)
		}
	}
	return cert
}

func TestCertificates_NamesIdentify(t *testing.T) {
	t.Parallel()
	c, err := NewCertificates([]string{"spiffe://example.org/tenant/{tenant}", "{tenant}.Tenants.example.org", "spiffe://{tenant}.example.net/refract"},
		[]string{"spiffe://example.org/operator/alice", "Ops.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		names    []string
		tenant   string
		operator bool
		actor    string
		want     error
	}{
		{names: []string{"spiffe://example.org/tenant/acme"}, tenant: "acme", actor: "spiffe://example.org/tenant/acme"},
		{names: []string{"ACME.tenants.example.ORG"}, tenant: "acme", actor: "acme.tenants.example.org"},
		{names: []string{"spiffe://acme.example.net/refract"}, tenant: "acme", actor: "spiffe://acme.example.net/refract"},
		{names: []string{"acme.tenants.example.org", "spiffe://example.org/tenant/acme"}, tenant: "acme", actor: "acme.tenants.example.org"},
		{names: []string{"ops.example.org"}, operator: true, actor: "ops.example.org"},
		{names: []string{"spiffe://example.org/tenant/acme", "ops.example.org"}, tenant: "acme", operator: true, actor: "ops.example.org"},
		{names: []string{"spiffe://example.org/tenant/acme", "films.tenants.example.org"}, want: ErrAmbiguous},
		{names: nil, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/a/b"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/-"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org.evil.org/tenant/acme"}, want: ErrAbsent},
		{names: []string{"a.b.tenants.example.org"}, want: ErrAbsent},
		{names: []string{"acme.tenants.example.org.evil.org"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/operator/alice/x"}, want: ErrAbsent},
		{names: []string{"*.tenants.example.org"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/acme?as=films"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/acme#films"}, want: ErrAbsent},
		{names: []string{"spiffe://acme?.example.net/refract"}, want: ErrAbsent},
		{names: []string{"spiffe://example.org/tenant/" + strings.Repeat("x", 65)}, want: ErrAbsent},
	} {
		id, err := c.Authenticate(t.Context(), Credentials{Certificate: certificateOf(t, tt.names...)})
		if !errors.Is(err, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.names, err, tt.want)
		}
		if err == nil && (id.Tenant != tt.tenant || id.Operator != tt.operator || id.Actor != audit.Actor{Kind: audit.Certificate, Name: tt.actor, Tenant: tt.tenant}) {
			t.Errorf("%q identify %+v", tt.names, id)
		}
	}
}

// TestCertificates_ANameOfOneKindIsNoneOfTheOther has names that CAs may sign unread, since they check names of the other kind alone.
func TestCertificates_ANameOfOneKindIsNoneOfTheOther(t *testing.T) {
	t.Parallel()
	c, err := NewCertificates([]string{"spiffe://example.org/tenant/{tenant}", "{tenant}.tenants.example.org"},
		[]string{"spiffe://example.org/operator/alice", "ops.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cert := range []*x509.Certificate{
		{DNSNames: []string{"spiffe://example.org/operator/alice"}},
		{URIs: []*url.URL{{Path: "ops.example.org"}}},
		{DNSNames: []string{"spiffe://example.org/tenant/acme"}},
		{URIs: []*url.URL{{Path: "acme.tenants.example.org"}}},
	} {
		cert.NotAfter = time.Now().Add(time.Hour)
		if id, err := c.Authenticate(t.Context(), Credentials{Certificate: cert}); !errors.Is(err, ErrAbsent) {
			t.Errorf("DNS names %q and URIs %q identify %+v, %v", cert.DNSNames, cert.URIs, id, err)
		}
	}
}

// TestCertificates_ExpireDuringAConnection has a certificate that was valid when its connection began.
func TestCertificates_ExpireDuringAConnection(t *testing.T) {
	t.Parallel()
	c, err := NewCertificates([]string{"{tenant}.example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificateOf(t, "acme.example.org")
	cert.NotAfter = time.Now().Add(-time.Second)
	if _, err := c.Authenticate(t.Context(), Credentials{Certificate: cert}); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestNewCertificates_RefusesPatternsThatNameNobodyOrAnybody(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", "{tenant}", "acme.example.org", "{tenant}.{tenant}.example.org", "{tenant}://example.org"} {
		if _, err := NewCertificates([]string{pattern}, nil); err == nil {
			t.Errorf("%q is accepted", pattern)
		}
	}
	if _, err := NewCertificates(nil, []string{""}); err == nil {
		t.Error("an operator without a name is accepted")
	}
}

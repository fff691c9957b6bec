package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

func TestAs_TakesEveryCallerForAnOperator(t *testing.T) {
	t.Parallel()
	if id, err := As("local").Authenticate(t.Context(), Credentials{}); err != nil || id.Tenant != "local" || !id.Operator {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestBind_EndsWithTheCallToo(t *testing.T) {
	t.Parallel()
	live, end := context.WithCancelCause(t.Context())
	defer end(nil)
	ctx, stop := (&Identity{Live: live}).Bind(t.Context())
	stop()
	if ctx.Err() == nil {
		t.Error("a call that has ended is still bound")
	}
	if errors.Is(context.Cause(ctx), ErrInvalid) {
		t.Error("the end of a call counts as the end of its credentials")
	}
	if ctx, _ := (&Identity{}).Bind(t.Context()); ctx != t.Context() {
		t.Error("credentials without an end bind the call")
	}
}

// TestChain_EveryCredentialMustBeValidAndOfOneTenant combines a header and a certificate.
func TestChain_EveryCredentialMustBeValidAndOfOneTenant(t *testing.T) {
	t.Parallel()
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	byHeader := func(id *Identity, err error) Authenticator { return fixed{audit.Token, id, err} }
	byCert := func(id *Identity, err error) Authenticator { return fixed{audit.Certificate, id, err} }
	acme, films := &Identity{Tenant: "acme", Expire: later}, &Identity{Tenant: "films"}
	operator := &Identity{Operator: true, Expire: soon}
	for name, tc := range map[string]struct {
		chain    Chain
		headers  []string
		want     error
		tenant   string
		operator bool
		expire   time.Time
	}{
		"a header":                           {chain: Chain{byHeader(acme, nil), byCert(nil, ErrAbsent)}, headers: []string{"x"}, tenant: "acme", expire: later},
		"an unknown header":                  {chain: Chain{byHeader(nil, ErrAbsent), byCert(acme, nil)}, headers: []string{"x"}, want: ErrInvalid},
		"a certificate":                      {chain: Chain{byHeader(nil, ErrAbsent), byCert(films, nil)}, tenant: "films"},
		"nothing":                            {chain: Chain{byHeader(nil, ErrAbsent), byCert(nil, ErrAbsent)}, want: ErrInvalid},
		"a wrong header and a certificate":   {chain: Chain{byHeader(nil, ErrInvalid), byCert(acme, nil)}, headers: []string{"x"}, want: ErrInvalid},
		"a header and a wrong certificate":   {chain: Chain{byHeader(acme, nil), byCert(nil, ErrInvalid)}, headers: []string{"x"}, want: ErrInvalid},
		"two tenants":                        {chain: Chain{byHeader(acme, nil), byCert(films, nil)}, headers: []string{"x"}, want: ErrAmbiguous},
		"two headers":                        {chain: Chain{byHeader(acme, nil)}, headers: []string{"x", "y"}, want: ErrAmbiguous},
		"a tenant, and an operator's rights": {chain: Chain{byHeader(acme, nil), byCert(operator, nil)}, headers: []string{"x"}, tenant: "acme", operator: true, expire: soon},
		"an issuer that is out of reach":     {chain: Chain{byHeader(nil, ErrIssuer), byCert(acme, nil)}, headers: []string{"x"}, want: ErrIssuer},
	} {
		id, err := tc.chain.Authenticate(t.Context(), Credentials{Authorization: tc.headers})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
		if err == nil && (id.Tenant != tc.tenant || id.Operator != tc.operator || !id.Expire.Equal(tc.expire)) {
			t.Errorf("%s: got %+v", name, id)
		}
	}
	if acme.Operator || operator.Tenant != "" {
		t.Error("identities were changed")
	}
}

// fixed is an authenticator that always returns the same.
type fixed struct {
	kind audit.Kind
	id   *Identity
	err  error
}

func (f fixed) Authenticate(context.Context, Credentials) (*Identity, error) {
	if f.err != nil {
		return nil, f.err
	}
	id := *f.id
	id.Actor.Kind = f.kind
	return &id, nil
}

func TestCheckTenant_RefusesWhatLooksLikeAnotherName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"acme": true, "acme films": true, "Café-1": true, strings.Repeat("x", 64): true,
		"": false, "-": false, strings.Repeat("x", 65): false, "ac\xffme": false, "acme\x00": false, "acme\n": false, "\x1b[2Jacme": false,
		"acme\u200b": false, "\u202eemca": false, "ac\u00adme": false, "acme\u00a0": false, "acme\u2028": false,
	} {
		if err := CheckTenant(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestBind_EndsWithTheCredentials lets credentials expire during a call.
func TestBind_EndsWithTheCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, stop := (&Identity{Expire: began.Add(time.Minute)}).Bind(t.Context())
		defer stop()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrInvalid) || time.Since(began) != time.Minute {
			t.Errorf("the call ended after %v with %v", time.Since(began), context.Cause(ctx))
		}
	})
}

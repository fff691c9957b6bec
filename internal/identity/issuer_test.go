package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const testIssuer = "https://idp.example.com"

// idp stands in for an issuer where time must pass: it answers without a network.
type idp struct {
	mu    sync.Mutex
	keys  map[string]crypto.Signer
	down  bool
	reads int
}

// RoundTrip answers the two requests that an issuer gets.
func (p *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if p.down {
		return nil, errors.New("connection refused")
	}
	var body any = map[string]string{"issuer": testIssuer, "jwks_uri": testIssuer + "/keys"}
	if r.URL.Path == "/keys" {
		set := jose.JSONWebKeySet{}
		for id, key := range p.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id})
		}
		body = set
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(text))), Request: r,
	}, nil
}

func (p *idp) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// newKey returns a key and the credentials of a JWT of tenant "films" that it signed.
func newKey(t testing.TB, id string) (crypto.Signer, Credentials) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": testIssuer, "sub": "robot", "aud": "refract", "tenant": "films", "exp": time.Now().Add(24 * time.Hour).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return key, bearer(token)
}

// startJWTs runs an authenticator of one issuer, in a bubble.
func startJWTs(t *testing.T, p *idp) *JWTs {
	t.Helper()
	j, err := NewJWTs(JWTConfig{
		Issuers: []string{testIssuer}, Audiences: []string{"refract"}, TenantClaim: "tenant",
		Client: &http.Client{Transport: p}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = j.Run(ctx) // It always returns nil.
	}()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return j
}

func TestJWTs_UnknownKeysCostABoundedNumberOfReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		known, good := newKey(t, "known")
		_, unknown := newKey(t, "unknown")
		p := &idp{keys: map[string]crypto.Signer{"known": known}}
		j := startJWTs(t, p)
		began, before := time.Now(), p.reads
		var calls sync.WaitGroup
		for range 500 {
			calls.Go(func() {
				for range 3 {
					if _, err := j.Authenticate(t.Context(), unknown); !errors.Is(err, ErrInvalid) {
						t.Errorf("an unknown key: %v", err)
					}
				}
			})
		}
		if id, err := j.Authenticate(t.Context(), good); whose(id) != "films" || err != nil || time.Since(began) > 0 {
			t.Errorf("a known key meanwhile: %v after %v", err, time.Since(began))
		}
		calls.Wait()
		if requests := p.reads - before; requests > 2*(1+int(time.Since(began)/keyGap)) || requests > 8 {
			t.Errorf("1500 JWTs with an unknown key cost %d requests in %v", requests, time.Since(began))
		}
	})
}

func TestJWTs_KnownKeysWorkForAnHourWithoutTheIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, good := newKey(t, "known")
		p := &idp{keys: map[string]crypto.Signer{"known": key}}
		j := startJWTs(t, p)
		p.set(func() { p.down = true })
		for _, tc := range []struct {
			after time.Duration
			want  error
		}{{0, nil}, {keyTrust - 2*keyReload, nil}, {3 * keyReload, ErrIssuer}} {
			<-time.After(tc.after)
			if _, err := j.Authenticate(t.Context(), good); !errors.Is(err, tc.want) {
				t.Errorf("after %v more: %v, want %v", tc.after, err, tc.want)
			}
		}
		p.set(func() { p.down = false })
		<-time.After(keyRetry + keyGap)
		if id, err := j.Authenticate(t.Context(), good); whose(id) != "films" || err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestJWTs_AWithdrawnKeyEndsWithTheNextRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, old := newKey(t, "first")
		second, fresh := newKey(t, "second")
		p := &idp{keys: map[string]crypto.Signer{"first": first}}
		j := startJWTs(t, p)
		p.set(func() { p.keys = map[string]crypto.Signer{"second": second} })
		if _, err := j.Authenticate(t.Context(), old); err != nil {
			t.Errorf("before the next read: %v", err)
		}
		<-time.After(keyReload + time.Second)
		if _, err := j.Authenticate(t.Context(), old); !errors.Is(err, ErrInvalid) {
			t.Errorf("after the next read: %v", err)
		}
		if _, err := j.Authenticate(t.Context(), fresh); err != nil {
			t.Errorf("the new key: %v", err)
		}
	})
}

// TestJWTs_AKnownTokenEndsAsOneThatIsVerified has a JWT that was verified before expire.
func TestJWTs_AKnownTokenEndsAsOneThatIsVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, good := newKey(t, "known")
		j := startJWTs(t, &idp{keys: map[string]crypto.Signer{"known": key}})
		first, err := j.Authenticate(t.Context(), good)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := j.Authenticate(t.Context(), good); err != nil || again != first {
			t.Errorf("the second call was verified again: %v", err)
		}
		<-time.After(time.Until(first.Expire))
		if _, err := j.Authenticate(t.Context(), good); !errors.Is(err, ErrInvalid) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestVerifiedTokens_AreBounded(t *testing.T) {
	t.Parallel()
	var v verifiedTokens
	for i := range 2 * maxVerified {
		v.add(string(rune('a'+i)), verifiedToken{})
		if len(v.tokens) > maxVerified {
			t.Fatalf("%d tokens are kept", len(v.tokens))
		}
	}
}

func TestParseKeys_PassesOverWhatVerifiesNoSignature(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, "good")
	good, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "good"})
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "private"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		others string
		want   int
	}{
		"a key alone":          {"", 1},
		"a key of a new kind":  {`,{"kty":"XYZ","kid":"x"}`, 1},
		"a symmetric key":      {`,{"kty":"oct","k":"c2VjcmV0","kid":"s"}`, 1},
		"a private key":        {"," + string(private), 1},
		"a key for encryption": {strings.Replace(","+string(good), `{`, `{"use":"enc",`, 1), 1},
		"text":                 {`,"text"`, 1},
		"very many keys":       {strings.Repeat(","+string(good), 1000), maxKeys},
	} {
		if keys, err := parseKeys([]byte(`{"keys":[` + string(good) + tc.others + `]}`)); err != nil || len(keys) != tc.want {
			t.Errorf("%s: %d keys, %v, want %d", name, len(keys), err, tc.want)
		}
	}
	for _, body := range []string{``, `[]`, `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`} {
		if keys, err := parseKeys([]byte(body)); err == nil {
			t.Errorf("%s gives %d keys", body, len(keys))
		}
	}
}

func FuzzJWTs(f *testing.F) {
	j, err := NewJWTs(JWTConfig{Issuers: []string{testIssuer}, Audiences: []string{"refract"}, TenantClaim: "tenant", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSJ9.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // Nothing reads keys.
		if id, err := (Chain{j}).Authenticate(ctx, bearer(token)); err == nil {
			t.Errorf("%q identifies %+v", token, id)
		}
	})
}

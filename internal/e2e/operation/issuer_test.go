package operation_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an OIDC issuer on a socket, with TLS.
type issuer struct {
	*httptest.Server
	down  atomic.Bool  // Whether it answers nothing but errors.
	reads atomic.Int32 // How often its keys were read.

	mu   sync.Mutex
	keys map[string]crypto.Signer // By key id; it publishes all of them.

	signIns signIns
}

// startIssuer starts an issuer with an RSA key "first", and a key "curve" on an elliptic curve.
func startIssuer(t *testing.T) *issuer {
	t.Helper()
	first, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{keys: map[string]crypto.Signer{"first": first, "curve": newCurveKey(t)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(t, w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.reads.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		set := jose.JSONWebKeySet{}
		for id, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"})
		}
		i.answer(t, w, set)
	})
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { i.exchange(t, w, r) })
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

func newCurveKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (i *issuer) answer(t *testing.T, w http.ResponseWriter, body any) {
	t.Helper()
	if i.down.Load() {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		t.Errorf("the issuer: %v", err)
	}
}

// rotate replaces the keys by one with an id.
func (i *issuer) rotate(t *testing.T, id string) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]crypto.Signer{id: newCurveKey(t)}
}

// claims returns the claims of a good JWT of a tenant, with changes. A change to nil removes a claim.
func (i *issuer) claims(tenant string, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": i.URL, "sub": "robot-of-" + tenant, "aud": []string{"other", "refract"}, "tenant": tenant,
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
	maps.Copy(claims, changes)
	for name, value := range claims {
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// token returns a JWT of a tenant as an Authorization header, signed with a published key.
func (i *issuer) token(t *testing.T, keyID, tenant string, changes map[string]any) string {
	t.Helper()
	i.mu.Lock()
	key := i.keys[keyID]
	i.mu.Unlock()
	return signed(t, key, keyID, i.claims(tenant, changes))
}

// signed returns a JWT as an Authorization header. A []byte is a symmetric key.
func signed(t *testing.T, key any, keyID string, claims map[string]any) string {
	t.Helper()
	algorithm := jose.ES256
	switch key.(type) {
	case *rsa.PrivateKey:
		algorithm = jose.RS256
	case []byte:
		algorithm = jose.HS256
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", keyID))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

package fal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// published returns a key set with the keys of some seeds, among keys of other kinds.
func published(seeds ...byte) string {
	keys := []string{`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kty":"OKP","crv":"X25519","x":"AAAA"}`, `7`}
	for _, seed := range seeds {
		keys = append(keys, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, base64.RawURLEncoding.EncodeToString(keyOf(seed)[32:])))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// keyServer serves a key set, or a failure while it is empty.
type keyServer struct {
	mu       sync.Mutex
	set      string
	requests []string
}

func (k *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests = append(k.requests, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
	if k.set == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, k.set)
}

func (k *keyServer) publish(set string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set = set
}

func (k *keyServer) asked() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.requests)
}

func serveKeys(t *testing.T, set string) (*keyServer, *Provider) {
	t.Helper()
	k := &keyServer{set: set}
	url, _ := wiretest.Serve(t, k.ServeHTTP)
	return k, newProvider(t, "http://127.0.0.1:1", func(c *Config) { c.RestURL = url + "/rest" })
}

// receive returns what a webhook that a key signed some time after sent proves.
func receive(t *testing.T, p *Provider, seed byte, after time.Duration) (provider.Callback, error) {
	t.Helper()
	body := []byte(`{"request_id":"T","status":"OK","payload":` + video + `}`)
	return p.Callback(t.Context(), signed(seed, "T", user, at(int64(after/time.Second)), body), body, sent.Add(after))
}

func wantProven(t *testing.T, p *Provider, seed byte, after time.Duration) {
	t.Helper()
	cb, err := receive(t, p, seed, after)
	if err != nil || cb.Proof != provider.ProofBody || cb.Signer != user || cb.KeysUnavailable != nil {
		t.Fatalf("key %d after %v: %+v, %v; want proven", seed, after, cb, err)
	}
}

func wantForged(t *testing.T, p *Provider, seed byte, after time.Duration) {
	t.Helper()
	if cb, err := receive(t, p, seed, after); !errors.Is(err, provider.ErrCallbackSignature) {
		t.Fatalf("key %d after %v: %+v, %v; want a bad signature", seed, after, cb, err)
	}
}

func wantHint(t *testing.T, p *Provider, seed byte, after time.Duration) {
	t.Helper()
	cb, err := receive(t, p, seed, after)
	if err != nil || cb.Proof != provider.ProofNone || cb.Signer != "" || cb.KeysUnavailable == nil || cb.Status.Phase != provider.Succeeded {
		t.Fatalf("key %d after %v: %+v, %v; want a hint", seed, after, cb, err)
	}
	_ = wiretest.ProviderError(t, cb.KeysUnavailable)
}

func TestKeys_AreFetchedOnceADay(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, published(1, 2))
	for _, after := range []time.Duration{0, time.Second, time.Hour, 24*time.Hour - time.Second} {
		wantProven(t, p, 1, after)
		wantProven(t, p, 2, after)
	}
	if n := k.asked(); n != 1 {
		t.Errorf("%d requests within a day, want 1", n)
	}
	k.publish(published(2, 3))
	wantProven(t, p, 2, 24*time.Hour)
	wantForged(t, p, 1, 24*time.Hour)
	if n := k.asked(); n != 2 {
		t.Errorf("%d requests after a day, want 2", n)
	}
	if want := "GET /rest/.well-known/jwks.json "; k.requests[0] != want {
		t.Errorf("request %q, want %q without the API key", k.requests[0], want)
	}
}

func TestKeys_AnUnknownOneIsLookedForOnceAMinute(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, published(1))
	wantProven(t, p, 1, 0)
	k.publish(published(1, 2))
	wantForged(t, p, 2, 59*time.Second)
	if n := k.asked(); n != 1 {
		t.Errorf("%d requests within a minute, want 1", n)
	}
	wantProven(t, p, 2, time.Minute)
	for _, after := range []time.Duration{time.Minute, 90 * time.Second, 119 * time.Second} {
		wantForged(t, p, 9, after)
	}
	if n := k.asked(); n != 2 {
		t.Errorf("%d requests within two minutes, want 2", n)
	}
}

func TestKeys_ThatCannotBeFetchedMakeHints(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, "")
	wantHint(t, p, 1, 0)
	wantHint(t, p, 1, 59*time.Second)
	if n := k.asked(); n != 1 {
		t.Errorf("%d requests within a minute, want 1", n)
	}
	k.publish(published(1))
	wantProven(t, p, 1, time.Minute)
	wantForged(t, p, 9, time.Minute)
}

func TestKeys_TheLastGoodOnesStayInUse(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, published(1))
	wantProven(t, p, 1, 0)
	k.publish("")
	wantProven(t, p, 1, 48*time.Hour)
	wantHint(t, p, 2, 48*time.Hour) // Its key may be a new one.
	wantProven(t, p, 1, 49*time.Hour)
	k.publish(published(2))
	wantProven(t, p, 2, 50*time.Hour)
	wantForged(t, p, 1, 50*time.Hour)
}

func TestKeys_AClockThatIsSetBackIsNoTrouble(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, published(1))
	wantProven(t, p, 1, 100*time.Hour)
	wantProven(t, p, 1, 0)
	wantForged(t, p, 2, time.Second)
	if n := k.asked(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestKeys_ManyWebhooksFetchOnce(t *testing.T) {
	t.Parallel()
	k, p := serveKeys(t, published(1))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if cb, err := receive(t, p, 1, 0); err != nil || cb.Proof != provider.ProofBody {
				t.Errorf("%+v, %v; want proven", cb, err)
			}
		})
	}
	wg.Wait()
	if n := k.asked(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// TestKeys_AreFetchedForAll ends the webhook that fetches, on which others wait.
func TestKeys_AreFetchedForAll(t *testing.T) {
	t.Parallel()
	_, p := serveKeys(t, published(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := []byte(`{"request_id":"T","status":"OK","payload":null}`)
	if cb, err := p.Callback(ctx, signed(1, "T", user, at(0), body), body, sent); err != nil || cb.KeysUnavailable != nil {
		t.Errorf("%+v, %v; want proven", cb, err)
	}
}

func TestKeys_UnusableSetsAreFailures(t *testing.T) {
	t.Parallel()
	many := make([]byte, maxKeys)
	for name, set := range map[string]string{
		"page":          `<html>`,
		"null":          `null`,
		"list":          `[]`,
		"no keys":       `{"keys":[]}`,
		"keys no list":  `{"keys":7}`,
		"other kinds":   published(),
		"a short key":   `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`,
		"for secrecy":   strings.Replace(published(1), `"kty":"OKP","crv":"Ed25519"`, `"kty":"OKP","crv":"Ed25519","use":"enc"`, 1),
		"too many":      published(append(many, 1)...),
		"too long":      published(1) + strings.Repeat(" ", maxKeySet),
		"echoed secret": `{"error":"` + wiretest.Key + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p := serveKeys(t, set)
			wantHint(t, p, 1, 0)
		})
	}
	for _, status := range []int{204, 302, 404, 500} {
		url := wiretest.Answering(t, status, published(1), "Location", "/elsewhere")
		p := newProvider(t, "http://127.0.0.1:1", func(c *Config) { c.RestURL = url })
		wantHint(t, p, 1, 0)
	}
	p := newProvider(t, "http://"+wiretest.ClosedAddress(t))
	wantHint(t, p, 1, 0)
	if err := p.keys.failed; wiretest.ProviderError(t, err).Op != string(wire.OpKeys) {
		t.Errorf("the failure is %v", err)
	}
}

// FuzzKeySet wants every key of a set that is read to be one that the set spells out.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(published(1, 2)))
	f.Add([]byte(readVector(f).JWKS))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, err := parseKeySet(set)
		if err != nil {
			return
		}
		if len(keys) == 0 || len(keys) > maxKeys || !json.Valid(set) {
			t.Fatalf("%d keys of %q", len(keys), set)
		}
		for _, key := range keys {
			if len(key) != 32 {
				t.Fatalf("a key of %d bytes", len(key))
			}
		}
	})
}

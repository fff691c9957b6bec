package fal

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const keySetPath = "/.well-known/jwks.json"

const (
	keySetTimeout = 5 * time.Second
	maxKeySet     = 64 << 10 // In bytes; a key has about 100.
	maxKeys       = 20       // A signature is tried with each.
	keySetAge     = 24 * time.Hour
	// keySetPause is the least time between two fetches, so that forged signatures don't make us flood fal.
	keySetPause = time.Minute
)

// keySet has the keys with which fal signs webhooks. It is fetched when a webhook needs it, with no goroutine of its own, and one
// fetch at a time. Its methods may be called concurrently.
//
// The keys of the last fetch that succeeded stay in use while fetches fail: fal publishes several, so that a new one is known
// before it signs.
type keySet struct {
	wire *wire.Client
	url  string

	fetches singleflight.Group

	mu      sync.Mutex
	keys    []ed25519.PublicKey
	fetched time.Time // When the keys were fetched; zero without any.
	tried   time.Time // When a fetch last ended, with success or not.
	failed  error     // Why the last fetch failed, if it did.
}

// verify reports whether one of the keys made a signature. An error says that the right key may be missing, because the key set
// can't be fetched: then nothing is known.
//
// A signature that no key made may be of a key that is newer than the set, so the set is fetched once more, at most once a
// minute.
func (k *keySet) verify(ctx context.Context, message, signature []byte, now time.Time) (bool, error) {
	keys, fetched, _, _ := k.state()
	if !recent(fetched, now, keySetAge) {
		keys, _ = k.refresh(ctx, now)
	}
	if signedBy(keys, message, signature) {
		return true, nil
	}
	keys, err := k.refresh(ctx, now)
	if signedBy(keys, message, signature) {
		return true, nil
	}
	return false, err
}

func signedBy(keys []ed25519.PublicKey, message, signature []byte) bool {
	for _, key := range keys {
		if ed25519.Verify(key, message, signature) {
			return true
		}
	}
	return false
}

// recent reports whether a time is at most an age ago. A time that lies ahead is not: the clock was set back.
func recent(t, now time.Time, age time.Duration) bool {
	passed := now.Sub(t)
	return passed >= 0 && passed < age
}

func (k *keySet) state() (keys []ed25519.PublicKey, fetched, tried time.Time, failed error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, k.fetched, k.tried, k.failed
}

// refresh fetches the keys, unless it did within the last minute, and returns those to use. The error is that of the last fetch.
func (k *keySet) refresh(ctx context.Context, now time.Time) ([]ed25519.PublicKey, error) {
	// The first of several webhooks fetches for all, so its end must not end the fetch.
	_, _, _ = k.fetches.Do("", func() (any, error) {
		if _, _, tried, _ := k.state(); recent(tried, now, keySetPause) {
			return nil, nil
		}
		keys, err := k.fetch(context.WithoutCancel(ctx))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried, k.failed = now, err
		if err == nil {
			k.keys, k.fetched = keys, now
		}
		return nil, nil
	})
	keys, _, _, err := k.state()
	return keys, err
}

// fetch returns the published keys: one GET, without the API key.
func (k *keySet) fetch(ctx context.Context) ([]ed25519.PublicKey, error) {
	call := wire.Call{Op: wire.OpKeys, Method: http.MethodGet, URL: k.url, Public: true, Timeout: keySetTimeout, Max: maxKeySet}
	answer, perr := k.wire.Do(ctx, call)
	if perr != nil {
		return nil, perr
	}
	if answer.Status != http.StatusOK || answer.Err != nil {
		return nil, k.wire.Judge(call, codes, wire.Refusal{Answer: answer, Code: answer.Status, Message: string(answer.Body)})
	}
	keys, err := parseKeySet(answer.Body)
	if err != nil {
		return nil, &provider.Error{Class: provider.Unavailable, Op: string(wire.OpKeys), Code: answer.Status, Err: err}
	}
	return keys, nil
}

// parseKeySet returns the Ed25519 keys of a key set. It leaves out keys of other kinds, and refuses a set without any or with
// too many.
func parseKeySet(body []byte) ([]ed25519.PublicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the key set is not readable")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []ed25519.PublicKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || key.Use != "" && key.Use != "sig" {
			continue
		}
		if public, ok := key.Key.(ed25519.PublicKey); ok && len(public) == ed25519.PublicKeySize {
			keys = append(keys, public)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no Ed25519 key")
	}
	return keys, nil
}

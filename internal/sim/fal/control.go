package fal

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"

	"github.com/refract-video/refract/internal/sim"
)

// Control changes a simulated fal while it runs. It belongs to one simulator. Its methods may be called concurrently.
//
// What fal does with requests of a withdrawn model that it accepted before is not documented; here they go on.
type Control struct {
	sim.Withdrawals

	foreign ed25519.PrivateKey // Was never in the key set.

	mu        sync.Mutex
	published []ed25519.PrivateKey // The last one signs.
	retired   ed25519.PrivateKey   // Left the key set last.
	down      bool
	unknown   bool
	requests  int
}

// NewControl returns a control with fresh keys.
func NewControl() *Control {
	return &Control{
		foreign: newKey(), published: []ed25519.PrivateKey{newKey(), newKey()}, retired: newKey(),
	}
}

func newKey() ed25519.PrivateKey {
	var seed [ed25519.SeedSize]byte
	rand.Read(seed[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

// RotateKey makes a new key sign from now on. The key set gets it, and loses its oldest key.
func (c *Control) RotateKey() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = c.published[0]
	c.published = append(c.published[1:], newKey())
}

// SetKeySetDown makes the key set answer 503, or end that.
func (c *Control) SetKeySetDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// SetUnknownKey makes webhooks be signed with a key that was never in the key set, or end that.
func (c *Control) SetUnknownKey(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unknown = on
}

// KeySetRequests returns how often the key set was asked for.
func (c *Control) KeySetRequests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// signer returns the key that signs.
func (c *Control) signer() ed25519.PrivateKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unknown {
		return c.foreign
	}
	return c.published[len(c.published)-1]
}

func (c *Control) retiredKey() ed25519.PrivateKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retired
}

// jwk is a key of the key set. It has no id, so that a receiver tries each.
type jwk struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv"`
	X       string `json:"x"`
}

// keys returns the key set, or false while it is down.
func (c *Control) keys() ([]jwk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	set := []jwk{}
	for _, key := range c.published {
		public := key[ed25519.SeedSize:] // The second half of a private key.
		set = append(set, jwk{KeyType: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(public)})
	}
	return set, !c.down
}

// keySet is GET /.well-known/jwks.json. It needs no key of an account.
func (p *protocol) keySet(w http.ResponseWriter, _ *http.Request) {
	set, up := p.control.keys()
	if !up {
		p.Refuse(w, p.Refusal(http.StatusServiceUnavailable))
		return
	}
	p.api.Write(w, http.StatusOK, sim.JSON(map[string][]jwk{"keys": set}))
}

// State is the answer of the calls that control a simulated fal over HTTP.
type State struct {
	KeySetDown     bool     `json:"key_set_down"`
	KeySetRequests int      `json:"key_set_requests"`
	UnknownKey     bool     `json:"unknown_key"`
	Withdrawn      []string `json:"withdrawn"`
}

// State returns the present state.
func (c *Control) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{
		KeySetDown: c.down, KeySetRequests: c.requests, UnknownKey: c.unknown,
		Withdrawn: c.WithdrawnModels(),
	}
}

// register adds the calls of the package comment.
func (c *Control) register(mux *http.ServeMux) {
	handle := func(pattern string, change func(r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := change(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(sim.JSON(c.State()))
		})
	}
	handle("GET /sim/fal", func(*http.Request) error { return nil })
	handle("POST /sim/fal/rotate-key", func(*http.Request) error {
		c.RotateKey()
		return nil
	})
	handle("PUT /sim/fal/key-set", func(r *http.Request) error { return setFlag(r, "down", c.SetKeySetDown) })
	handle("PUT /sim/fal/unknown-key", func(r *http.Request) error { return setFlag(r, "on", c.SetUnknownKey) })
	handle("PUT /sim/fal/withdrawn/{model...}", func(r *http.Request) error {
		c.Withdraw(r.PathValue("model"))
		return nil
	})
	handle("DELETE /sim/fal/withdrawn/{model...}", func(r *http.Request) error {
		c.Restore(r.PathValue("model"))
		return nil
	})
}

// setFlag reads a boolean of the query of a URL.
func setFlag(r *http.Request, name string, set func(bool)) error {
	on, err := strconv.ParseBool(r.URL.Query().Get(name))
	if err == nil {
		set(on)
	}
	return err
}

package callback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/urltoken"
)

// macBytes is how much of the HMAC a token carries: 128 bits, beyond guessing.
const macBytes = 16

// tokenBytes is the size of a token before encoding: an attempt id and its truncated HMAC.
const tokenBytes = 16 + macBytes

// ErrToken means that a URL token is not one of ours.
var ErrToken = errors.New("the URL token is missing or forged")

// Tokens makes and verifies the URL tokens that name attempts. A token is the attempt id and an HMAC of it
// under our own key, so a forged one is told without a query.
type Tokens struct {
	keys [][]byte // The first makes tokens; all verify, so that a key can be replaced.
}

// NewTokens returns tokens under keys of at least 32 bytes. The first key makes tokens, all verify them.
func NewTokens(keys ...[]byte) (*Tokens, error) {
	if len(keys) == 0 {
		return nil, errors.New("callback tokens need a key")
	}
	for _, k := range keys {
		if len(k) < 32 {
			return nil, errors.New("a callback token key needs at least 32 bytes")
		}
	}
	return &Tokens{keys: keys}, nil
}

// Make returns the token of an attempt at a provider account: 43 characters that need no escaping in a URL.
func (t *Tokens) Make(account string, id task.AttemptID) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make the token of attempt %q: %w", id, err)
	}
	return base64.RawURLEncoding.EncodeToString(append(u[:], mac(t.keys[0], account, u)...)), nil
}

// Verify returns the attempt that a token names, or ErrToken. It takes the same time for every forgery.
func (t *Tokens) Verify(account, token string) (task.AttemptID, error) {
	raw, ok := urltoken.Decode(token, tokenBytes)
	if !ok {
		return "", ErrToken
	}
	id := uuid.UUID(raw[:16])
	valid := false
	for _, key := range t.keys {
		valid = hmac.Equal(raw[16:], mac(key, account, id)) || valid
	}
	if !valid {
		return "", ErrToken
	}
	return task.AttemptID(id.String()), nil
}

func mac(key []byte, account string, id uuid.UUID) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("refract callback\x00" + account + "\x00"))
	h.Write(id[:])
	return h.Sum(nil)[:macBytes]
}

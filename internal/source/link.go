package source

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/urltoken"
)

const (
	// macBytes is how much of the HMAC a token carries: 128 bits, beyond guessing.
	macBytes = 16
	// signedBytes is what the HMAC covers: a source id and the second at which the token expires.
	signedBytes = 16 + 8
)

// errLink means that a token is not one of ours, or has expired.
var errLink = errors.New("the link to the source is forged or has expired")

// Links makes and verifies the tokens under which providers fetch sources from us. A token is the id of a source, its
// expiry and an HMAC of both under our own key, so a forged one is told without a query.
type Links struct {
	keys [][]byte // The first makes tokens; all verify, so that a key can be replaced.
}

// NewLinks returns links under keys of at least 32 bytes. The first key makes tokens, all verify them.
func NewLinks(keys ...[]byte) (*Links, error) {
	if len(keys) == 0 {
		return nil, errors.New("links to sources need a key")
	}
	for _, k := range keys {
		if len(k) < 32 {
			return nil, errors.New("a key of links to sources needs at least 32 bytes")
		}
	}
	return &Links{keys: keys}, nil
}

// Make returns a token for a source, which needs no escaping in a URL. It is a secret.
func (l *Links) Make(id task.SourceID, expiry time.Time) (string, error) {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("make a link to source %q: %w", id, err)
	}
	signed := binary.BigEndian.AppendUint64(u[:], uint64(expiry.Unix())) //nolint:gosec // The service runs after 1970.
	return base64.RawURLEncoding.EncodeToString(append(signed, mac(l.keys[0], signed)...)), nil
}

// Verify returns the source that a token names, or an error for every other one. It takes the same time for every
// forgery.
func (l *Links) Verify(token string, now time.Time) (task.SourceID, error) {
	raw, ok := urltoken.Decode(token, signedBytes+macBytes)
	if !ok {
		return "", errLink
	}
	signed := raw[:signedBytes]
	valid := false
	for _, key := range l.keys {
		valid = hmac.Equal(raw[signedBytes:], mac(key, signed)) || valid
	}
	if !valid || now.Unix() >= int64(binary.BigEndian.Uint64(signed[16:])) { //nolint:gosec // As it was made.
		return "", errLink
	}
	return task.SourceID(uuid.UUID(signed[:16]).String()), nil
}

// mac signs for this purpose alone: callback tokens may be made with the same key.
func mac(key, signed []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("refract source\x00"))
	h.Write(signed)
	return h.Sum(nil)[:macBytes]
}

// Package signedtoken makes and verifies tokens that need no escaping in a URL: a body of fixed size and a truncated
// HMAC-SHA256, in base64url without padding. A forged token is refused without a query.
//
// The package that uses a token describes its [Format] and gives the body a meaning. It must not change a format: providers
// keep callback URLs for weeks, and callers keep resume tokens for days.
package signedtoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MinKey is the least size of a key in bytes.
const MinKey = 32

// Format describes the tokens of one purpose.
//
// The HMAC covers Purpose, a zero byte, the scope and a zero byte where the format is Scoped, and the body. Body has a fixed
// size, so no other purpose, scope and body have the same HMAC.
type Format struct {
	// Purpose separates the tokens of formats that share a key. It is required unless BodyFirst is set.
	Purpose string
	// Scoped binds a token to a name that the token does not contain, such as an account.
	Scoped bool
	// BodyFirst selects the older layout, in which the HMAC covers the body and then the scope.
	//
	// NOTE: it has no purpose, so such a format needs a key of its own.
	BodyFirst bool
	// BodySize is the size of the body in bytes.
	BodySize int
	// MACSize is how many bytes of the HMAC a token carries.
	MACSize int
}

// MACSize is the usual Format.MACSize: 128 bits can't be guessed.
const MACSize = 16

// Signer makes and verifies the tokens of one format. Its methods may be called concurrently.
type Signer struct {
	format Format
	keys   [][]byte
}

// New returns a signer under keys of at least [MinKey] bytes. The first key signs. All keys verify, so that a key can be
// replaced while tokens under the old one are in use.
func New(f Format, keys ...[]byte) (*Signer, error) {
	switch {
	case (f.Purpose == "") != f.BodyFirst || strings.Contains(f.Purpose, "\x00"):
		return nil, errors.New("a token format needs a purpose without a zero byte, or BodyFirst")
	case f.BodySize < 1 || f.MACSize < 8 || f.MACSize > sha256.Size:
		return nil, fmt.Errorf("a token format can't have a body of %d bytes and %d bytes of HMAC", f.BodySize, f.MACSize)
	case len(keys) == 0:
		return nil, errors.New("a key is missing")
	}
	own := make([][]byte, len(keys))
	for i, key := range keys {
		if len(key) < MinKey {
			return nil, fmt.Errorf("a key needs at least %d bytes, and has %d", MinKey, len(key))
		}
		own[i] = slices.Clone(key)
	}
	return &Signer{format: f, keys: own}, nil
}

// Sign returns the token of a body of Format.BodySize bytes. A format that is not scoped ignores the scope.
func (s *Signer) Sign(scope string, body []byte) string {
	raw := make([]byte, 0, s.format.BodySize+sha256.Size)
	if len(body) != s.format.BodySize {
		return "" // No token is better than one that protects less. Its callers have bodies of a fixed size.
	}
	raw = appendMAC(append(raw, body...), s.keys[0], s.format.message(scope, body))
	return base64.RawURLEncoding.EncodeToString(raw[:s.format.BodySize+s.format.MACSize])
}

// Verify returns the body of a token that was signed for the scope under one of the keys. It takes the same time for every
// forged token of the right size.
func (s *Signer) Verify(scope, token string) (body []byte, ok bool) {
	raw, ok := decode(token, s.format.BodySize+s.format.MACSize)
	if !ok {
		return nil, false
	}
	body, sent := raw[:s.format.BodySize:s.format.BodySize], raw[s.format.BodySize:]
	message, sum := s.format.message(scope, body), make([]byte, 0, sha256.Size)
	valid := false
	for _, key := range s.keys { // Every key, so that the time does not show which one matched.
		valid = hmac.Equal(sent, appendMAC(sum, key, message)[:s.format.MACSize]) || valid
	}
	if !valid {
		return nil, false
	}
	return body, true
}

// message returns what the HMAC of a token covers.
func (f Format) message(scope string, body []byte) []byte {
	m := make([]byte, 0, len(f.Purpose)+1+len(scope)+1+len(body))
	if f.BodyFirst {
		return append(append(m, body...), scope...)
	}
	m = append(append(m, f.Purpose...), 0)
	if f.Scoped {
		m = append(append(m, scope...), 0)
	}
	return append(m, body...)
}

func appendMAC(to, key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(message) // A hash returns no error.
	return h.Sum(to)
}

// ExpirySize is the size in bytes of what [AppendExpiry] appends.
const ExpirySize = 8

// AppendExpiry appends to a body the second at which its token expires.
func AppendExpiry(body []byte, expiry time.Time) []byte {
	return binary.BigEndian.AppendUint64(body, uint64(expiry.Unix())) //nolint:gosec // The clock is past 1970.
}

// Expired reports whether the expiry at the end of a verified body has come.
func Expired(body []byte, now time.Time) bool {
	expiry := binary.BigEndian.Uint64(body[len(body)-ExpirySize:])
	return now.Unix() >= int64(expiry) //nolint:gosec // AppendExpiry made it.
}

package watch

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/urltoken"
)

// Tokens makes and reads resume tokens: positions that callers keep without knowing what they mean. A token is bound
// to its tenant and to the key, which the database keeps: one of another tenant or another installation is refused
// rather than taken for a place that it does not mean. A forged one shows nothing, since a stream has its own tenant's
// events alone, whatever the position.
type Tokens struct{ key []byte }

// NewTokens returns tokens under a key.
func NewTokens(key []byte) Tokens { return Tokens{key: slices.Clone(key)} }

const (
	tokenVersion = 1
	tokenMAC     = 8
	tokenSize    = 1 + 8 + tokenMAC
)

// Make returns the token of a position.
func (t Tokens) Make(tenant string, p task.Position) string {
	raw := make([]byte, 0, tokenSize)
	raw = append(raw, tokenVersion)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p)) //nolint:gosec // Positions are not negative.
	return base64.RawURLEncoding.EncodeToString(append(raw, t.mac(raw, tenant)...))
}

// Parse returns the position of a token, or ErrToken.
func (t Tokens) Parse(tenant, token string) (task.Position, error) {
	raw, ok := urltoken.Decode(token, tokenSize)
	if !ok || raw[0] != tokenVersion {
		return 0, ErrToken
	}
	body := raw[:tokenSize-tokenMAC]
	p := binary.BigEndian.Uint64(body[1:])
	if !hmac.Equal(raw[len(body):], t.mac(body, tenant)) || p > 1<<63-1 {
		return 0, ErrToken
	}
	return task.Position(p), nil
}

func (t Tokens) mac(body []byte, tenant string) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write(body)
	h.Write([]byte(tenant))
	return h.Sum(nil)[:tokenMAC]
}

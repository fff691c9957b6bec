package watch

import (
	"encoding/binary"
	"fmt"

	"github.com/refract-video/refract/internal/signedtoken"
	"github.com/refract-video/refract/internal/task"
)

const tokenVersion = 1

// tokenFormat describes resume tokens: the body is the version and a position, the scope is the tenant.
//
// NOTE: callers keep resume tokens for days. A change of the format needs a new version next to this one.
var tokenFormat = signedtoken.Format{BodyFirst: true, BodySize: 1 + 8, MACSize: 8}

// Tokens makes and reads resume tokens: positions that are opaque to callers.
//
// A token is bound to its tenant and to the key, which is stored in the database. A token of another tenant or another
// installation is refused, because its position has another meaning. A forged token would reveal nothing, because a stream has
// only events of its own tenant.
type Tokens struct{ signer *signedtoken.Signer }

// NewTokens returns Tokens with keys of at least 32 bytes. No other format may use these keys. The first key signs tokens, and
// all keys verify them.
func NewTokens(keys ...[]byte) (Tokens, error) {
	signer, err := signedtoken.New(tokenFormat, keys...)
	if err != nil {
		return Tokens{}, fmt.Errorf("prepare resume tokens: %w", err)
	}
	return Tokens{signer}, nil
}

// Make returns the token of a position.
func (t Tokens) Make(tenant string, p task.Position) string {
	body := binary.BigEndian.AppendUint64([]byte{tokenVersion}, uint64(p)) //nolint:gosec // Positions are not negative.
	return t.signer.Sign(tenant, body)
}

// Parse returns the position of a token, or ErrToken.
func (t Tokens) Parse(tenant, token string) (task.Position, error) {
	body, valid := t.signer.Verify(tenant, token)
	if !valid || body[0] != tokenVersion {
		return 0, ErrToken
	}
	p := binary.BigEndian.Uint64(body[1:])
	if p > 1<<63-1 {
		return 0, ErrToken
	}
	return task.Position(p), nil
}

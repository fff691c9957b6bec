package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxVerified is how many verified JWTs are kept at the most. When there are more, all are dropped.
const maxVerified = 10_000

// verifiedTokens keeps the identities of JWTs that were verified, by their hashes. Each applies until the JWT expires or the keys of its
// issuer are read again, whichever is first. A signature costs as much as a whole call.
type verifiedTokens struct {
	mu     sync.Mutex
	tokens map[[sha256.Size]byte]verifiedToken
}

type verifiedToken struct {
	identity *Identity
	issuer   *issuer
	keysRead time.Time // When the keys were read that verified it.
}

// find returns the identity of a JWT, or nil if it has to be verified.
func (v *verifiedTokens) find(token string) *Identity {
	hash := sha256.Sum256([]byte(token)) // Before the lock: it takes longer than all below.
	v.mu.Lock()
	known, ok := v.tokens[hash]
	v.mu.Unlock()
	if !ok || !known.issuer.trusts(known.keysRead) || !time.Now().Before(known.identity.Expire) {
		return nil
	}
	return known.identity
}

// add keeps the identity of a JWT that keys verified.
func (v *verifiedTokens) add(token string, known verifiedToken) {
	hash := sha256.Sum256([]byte(token))
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens == nil || len(v.tokens) >= maxVerified {
		v.tokens = map[[sha256.Size]byte]verifiedToken{}
	}
	v.tokens[hash] = known
}

// trusts reports whether the keys of a read are the ones that the issuer uses, and can still be trusted.
func (i *issuer) trusts(read time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.read.Equal(read) && time.Since(read) <= keyTrust
}

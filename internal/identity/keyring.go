package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

const (
	// tokenReload is how often the live tokens are read. A token that was revoked works for so long and the time of one read,
	// which is less than the five seconds that are documented unless the database is slow.
	tokenReload = 2 * time.Second
	// tokenReloadTime bounds one read after the start: on a busy machine it may wait for a connection.
	tokenReloadTime = 10 * time.Second
	// tokenGap is the least time between two reads, however many unknown tokens come.
	tokenGap = 100 * time.Millisecond
	// tokenTrust is how long tokens work that were live when they could last be read. Streams end after the same time.
	tokenTrust = 30 * time.Second
	// tokenWait is how long a call with an unknown token waits for a read.
	tokenWait = 15 * time.Second
)

// tokenPrefix makes API tokens easy to recognize, for people and for secret scanners.
const tokenPrefix = "refract_"

// NewAPIToken returns a random API token and the hash under which it is stored.
func NewAPIToken() (token string, hash []byte) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // It never fails: a system without randomness ends the process.
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	return token, hashAPIToken(token)
}

// hashAPIToken returns the SHA-256 of a token. Tokens are random and long, so that no slow hash is needed, and the time of a
// lookup by hash reveals nothing.
func hashAPIToken(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Holder is who holds an API token.
type Holder struct {
	ID       string // Of the token.
	Tenant   string
	Operator bool
}

// Tokens is where the hashes of API tokens are.
type Tokens interface {
	// LiveTokens calls add with the hash of each live token and who holds it.
	LiveTokens(ctx context.Context, add func(hash []byte, h Holder)) error
}

// Keyring knows who holds the live API tokens. It reads all of them every two seconds. So a call with a known token costs no query
// and works for a while when the database is out of reach, and the streams of a revoked token end. A call with an unknown token
// waits for the next read, which all such calls share.
type Keyring struct {
	tokens Tokens
	reads  *refresh

	mu   sync.Mutex
	live map[tokenHash]*liveToken
	read time.Time // When the read began that found the live tokens; zero before the first.
}

type tokenHash [sha256.Size]byte

// liveToken is a live token, and the function that ends its streams.
type liveToken struct {
	Holder
	identity Identity
	end      context.CancelCauseFunc
}

// NewKeyring returns a keyring that knows no token before it runs.
func NewKeyring(tokens Tokens) *Keyring {
	k := &Keyring{tokens: tokens}
	k.reads = newRefresh(timing{
		read: k.reload, interval: tokenReload, retry: tokenReload, gap: tokenGap, timeout: tokenReloadTime, patience: tokenWait,
	})
	return k
}

// Load reads the live tokens once, for as long as ctx lasts, so that they are known before the first call comes.
func (k *Keyring) Load(ctx context.Context) error { return k.reads.once(ctx) }

// Run reads the live tokens until ctx ends.
func (k *Keyring) Run(ctx context.Context) error { return k.reads.run(ctx) }

// reload makes one read.
func (k *Keyring) reload(ctx context.Context) error {
	began := time.Now()
	holders := map[tokenHash]Holder{}
	err := k.tokens.LiveTokens(ctx, func(hash []byte, h Holder) {
		if len(hash) == sha256.Size {
			holders[tokenHash(hash)] = h
		}
	})
	if err == nil {
		k.replace(holders, began)
	}
	return err
}

// replace makes these the live tokens, and ends the streams of those that are not any more.
func (k *Keyring) replace(holders map[tokenHash]Holder, read time.Time) {
	live := make(map[tokenHash]*liveToken, len(holders))
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, h := range holders {
		known := k.live[hash]
		if known == nil || known.Holder != h {
			known = newLiveToken(h)
		}
		live[hash] = known
	}
	for hash, t := range k.live {
		if live[hash] != t {
			t.end(ErrInvalid)
		}
	}
	k.live, k.read = live, read
}

func newLiveToken(h Holder) *liveToken {
	t := &liveToken{Holder: h}
	t.identity = Identity{Tenant: h.Tenant, Operator: h.Operator, Actor: audit.Actor{Kind: audit.Token, Name: h.ID, Tenant: h.Tenant}}
	t.identity.Live, t.end = context.WithCancelCause(context.Background()) // It belongs to the token, not to a call.
	return t
}

// Authenticate implements Authenticator for bearer tokens with the prefix of API tokens. The errors are ErrAbsent, ErrInvalid,
// ErrTokensUnread, ErrQueue and that of ctx.
func (k *Keyring) Authenticate(ctx context.Context, c Credentials) (*Identity, error) {
	token, ok := c.bearer()
	if !ok || !strings.HasPrefix(token, tokenPrefix) {
		return nil, ErrAbsent
	}
	if len(token) > 128 {
		return nil, ErrInvalid
	}
	hash := tokenHash(hashAPIToken(token))
	if id := k.find(hash); id != nil {
		return id, nil
	}
	switch err := k.reads.await(ctx); {
	case err == nil:
	case errors.Is(err, ErrQueue), ctx.Err() != nil:
		return nil, err
	default:
		return nil, ErrTokensUnread
	}
	if id := k.find(hash); id != nil {
		return id, nil
	}
	return nil, ErrInvalid
}

// find returns who holds a token, or nil where that is not known.
func (k *Keyring) find(hash tokenHash) *Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.read) > tokenTrust {
		return nil
	}
	if t := k.live[hash]; t != nil {
		return &t.identity
	}
	return nil
}

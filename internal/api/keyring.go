package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

const (
	// tokenReload is how often the live tokens are read. A token that was revoked works for so long and the time of one read,
	// which is less than the five seconds that are documented unless the database is slow.
	tokenReload = 2 * time.Second
	// tokenReloadTime bounds one read: on a busy machine it may wait for a connection.
	tokenReloadTime = 10 * time.Second
	// tokenGap is the least time between two reads, however many unknown tokens come.
	tokenGap = 100 * time.Millisecond
	// tokenTrust is how long tokens work that were live when they could last be read. Streams end after the same time.
	tokenTrust = 30 * time.Second
	// tokenWait is how long a call with an unknown token waits for a read.
	tokenWait = 15 * time.Second
	// tokenWaiters is how many calls wait for a read at the most.
	tokenWaiters = 1000
)

// errTokensUnread means that the live tokens can't be read, so that nothing is known about a token.
var errTokensUnread = errors.New("the API token can't be checked now: call again")

// errTokenQueue means that too many calls with unknown tokens wait.
var errTokenQueue = errors.New("too many API tokens wait to be checked: call again")

// Tokens is where the hashes of API tokens are.
type Tokens interface {
	// LiveTokens calls add with the hash of each live token and who holds it.
	LiveTokens(ctx context.Context, add func(hash []byte, tenant string, operator bool)) error
}

// Keyring knows who holds the live API tokens. It reads all of them every two seconds. So a call with a known token costs no query
// and works for a while when the database is out of reach, and the streams of a revoked token end. A call with an unknown token
// waits for the next read, which all such calls share.
type Keyring struct {
	tokens Tokens

	mu      sync.Mutex
	holders map[tokenHash]*Identity
	read    time.Time  // When the read began that found the holders; zero before the first.
	next    *tokenRead // The read that has not begun.
	waiters int
	ask     chan struct{} // One slot. It is full while a call waits for the next read.
}

type tokenHash [sha256.Size]byte

// tokenRead is a read of all live tokens, which has ended when done is closed.
type tokenRead struct {
	done chan struct{}
	err  error
}

// NewKeyring returns a keyring that knows no token before it runs.
func NewKeyring(tokens Tokens) *Keyring {
	return &Keyring{tokens: tokens, next: &tokenRead{done: make(chan struct{})}, ask: make(chan struct{}, 1)}
}

// Load reads the live tokens once, so that they are known before the first call comes.
func (k *Keyring) Load(ctx context.Context) error {
	k.mu.Lock()
	r := k.next
	k.mu.Unlock()
	k.reload(ctx)
	return r.err
}

// Run reads the live tokens until ctx ends.
func (k *Keyring) Run(ctx context.Context) error {
	ticker := time.NewTicker(tokenReload)
	defer ticker.Stop()
	for {
		k.reload(ctx)
		if loop.Sleep(ctx, tokenGap) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.ask:
		case <-ticker.C:
		}
	}
}

// reload makes one read. When it fails everything stays as it was.
func (k *Keyring) reload(ctx context.Context) {
	k.mu.Lock()
	r := k.next
	k.next = &tokenRead{done: make(chan struct{})}
	k.mu.Unlock()
	defer close(r.done)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, tokenReloadTime)
	defer cancel()
	live := map[tokenHash]Identity{}
	r.err = k.tokens.LiveTokens(ctx, func(hash []byte, tenant string, operator bool) {
		if len(hash) == sha256.Size {
			live[tokenHash(hash)] = Identity{Tenant: tenant, Operator: operator}
		}
	})
	if r.err == nil {
		k.replace(live, began)
	}
}

// replace makes these the live tokens, and ends the streams of those that are not any more.
func (k *Keyring) replace(live map[tokenHash]Identity, read time.Time) {
	holders := make(map[tokenHash]*Identity, len(live))
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, id := range live {
		known := k.holders[hash]
		if known == nil || known.Tenant != id.Tenant || known.Operator != id.Operator {
			id.live, id.end = context.WithCancelCause(context.Background()) // It belongs to the token, not to a call.
			known = &id
		}
		holders[hash] = known
	}
	for hash, id := range k.holders {
		if holders[hash] != id {
			id.end(errCredentials)
		}
	}
	k.holders, k.read = holders, read
}

// Authenticate returns who holds the token of an Authorization header. The errors are errCredentials, errTokensUnread,
// errTokenQueue and that of ctx.
func (k *Keyring) Authenticate(ctx context.Context, authorization string) (Identity, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") || !strings.HasPrefix(token, tokenPrefix) || len(token) > 128 {
		return Identity{}, errCredentials
	}
	hash := tokenHash(hashAPIToken(token))
	if id := k.find(hash); id != nil {
		return *id, nil
	}
	if err := k.await(ctx); err != nil {
		return Identity{}, err
	}
	if id := k.find(hash); id != nil {
		return *id, nil
	}
	return Identity{}, errCredentials
}

// find returns who holds a token, or nil where that is not known.
func (k *Keyring) find(hash tokenHash) *Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.read) > tokenTrust {
		return nil
	}
	return k.holders[hash]
}

// await waits for a read that begins after the call.
func (k *Keyring) await(ctx context.Context) error {
	k.mu.Lock()
	if k.waiters == tokenWaiters {
		k.mu.Unlock()
		return errTokenQueue
	}
	k.waiters++
	r := k.next
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.waiters--
		k.mu.Unlock()
	}()
	select {
	case k.ask <- struct{}{}:
	default:
	}
	late := time.NewTimer(tokenWait)
	defer late.Stop()
	select {
	case <-r.done:
		if r.err != nil {
			return errTokensUnread
		}
		return nil
	case <-late.C:
		return errTokensUnread
	case <-ctx.Done():
		return ctx.Err()
	}
}

package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

// SessionLife is how long a session lasts at most.
const SessionLife = 8 * time.Hour

var (
	// ErrSessionsUnread means that the sessions can't be read, so that nothing is known about one.
	ErrSessionsUnread = errors.New("the session can't be checked now: call again")
	// ErrSessionNotFound means that no live session has this id or secret.
	ErrSessionNotFound = errors.New("there is no such session, or it has ended")
	// ErrLinkNotFound means that no login link has this code.
	ErrLinkNotFound = errors.New("the link was used already, or has expired: make a new one")
)

// Session is a session of a person who signed in to the console. It lasts until its time is over, a person ends it, or the API token
// that it was made from is revoked.
type Session struct {
	ID         string
	Tenant     string // Empty for an operator without a tenant.
	Operator   bool
	Actor      audit.Actor // Who signed in.
	TokenID    string      // Of the API token that the session was made from; empty for none.
	CreateTime time.Time
	ExpireTime time.Time
}

// SessionFilter selects live sessions.
type SessionFilter struct {
	Tenant string // Empty selects all.
	// Only sessions before this place in the list, which is newest first. The zero values mean the beginning.
	BeforeTime time.Time
	BeforeID   string
	Limit      int
}

// NewSecret returns a random secret for a session or a login link, and the hash under which it is stored.
func NewSecret() (secret string, hash []byte) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // It never fails: a system without randomness ends the process.
	secret = base64.RawURLEncoding.EncodeToString(random)
	return secret, HashSecret(secret)
}

// HashSecret returns the SHA-256 of the secret of a session or a login link, under which it is stored.
func HashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// SessionStore is where the sessions are.
type SessionStore interface {
	// LiveSessions calls add with those sessions of the hashes that are live.
	LiveSessions(ctx context.Context, hashes [][]byte, add func(hash []byte, s Session)) error
}

// Sessions knows who is signed in to the console at this replica. It reads the sessions that it knows every two seconds, so that a
// request with a known session costs no query and works for a while when the database is out of reach, and the streams of a session
// that was ended end. A request with an unknown session waits for the next read, which all such requests share.
type Sessions struct {
	store SessionStore
	reads *refresh

	mu     sync.Mutex
	live   map[tokenHash]*liveSession
	wanted map[tokenHash]int // How many requests wait to know a session.
	// ended are the sessions that were forgotten while a read is under way, which may have found them before they ended. It is nil
	// between reads.
	ended map[tokenHash]bool
	read  time.Time // When the read began that found the live sessions; zero before the first.
}

// liveSession is a live session, and the function that ends its streams.
type liveSession struct {
	identity Identity
	end      context.CancelCauseFunc
}

// NewSessions returns sessions that are all unknown before they run.
func NewSessions(store SessionStore) *Sessions {
	s := &Sessions{store: store, wanted: map[tokenHash]int{}}
	s.reads = newRefresh(timing{
		read: s.reload, interval: tokenReload, retry: tokenReload, gap: tokenGap, timeout: tokenReloadTime, patience: tokenWait,
	})
	return s
}

// Run reads the sessions until ctx ends.
func (s *Sessions) Run(ctx context.Context) error { return s.reads.run(ctx) }

// reload makes one read, which costs no query while no session is known or wanted.
func (s *Sessions) reload(ctx context.Context) error {
	began := time.Now()
	s.mu.Lock()
	hashes := make([][]byte, 0, len(s.live)+len(s.wanted))
	for hash := range s.live {
		hashes = append(hashes, hash[:])
	}
	for hash := range s.wanted {
		if s.live[hash] == nil {
			hashes = append(hashes, hash[:])
		}
	}
	s.ended = map[tokenHash]bool{}
	s.mu.Unlock()
	found := map[tokenHash]Session{}
	if len(hashes) > 0 {
		err := s.store.LiveSessions(ctx, hashes, func(hash []byte, session Session) {
			if len(hash) == sha256.Size {
				found[tokenHash(hash)] = session
			}
		})
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = nil
			return err
		}
	}
	s.replace(found, began)
	return nil
}

// replace makes these the live sessions, and ends the streams of those that are not any more.
func (s *Sessions) replace(found map[tokenHash]Session, read time.Time) {
	live := make(map[tokenHash]*liveSession, len(found))
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash := range s.ended {
		delete(found, hash)
	}
	s.ended = nil
	for hash, session := range found {
		if live[hash] = s.live[hash]; live[hash] == nil {
			live[hash] = newLiveSession(session)
		}
	}
	for hash, known := range s.live {
		if live[hash] == nil {
			known.end(ErrInvalid)
		}
	}
	s.live, s.read = live, read
}

func newLiveSession(session Session) *liveSession {
	s := &liveSession{identity: Identity{
		Tenant: session.Tenant, Operator: session.Operator, Actor: session.Actor, Expire: session.ExpireTime,
	}}
	s.identity.Live, s.end = context.WithCancelCause(context.Background()) // It belongs to the session, not to a request.
	return s
}

// Authenticate implements Authenticator for the sessions of requests without other credentials in their header. The errors are
// ErrAbsent, ErrInvalid, ErrSessionsUnread, ErrQueue and that of ctx.
func (s *Sessions) Authenticate(ctx context.Context, c Credentials) (*Identity, error) {
	if c.Session == "" || len(c.Authorization) > 0 {
		return nil, ErrAbsent
	}
	if len(c.Session) > 128 {
		return nil, ErrInvalid
	}
	hash := tokenHash(HashSecret(c.Session))
	if id := s.find(hash); id != nil {
		return id, nil
	}
	s.want(hash, 1)
	defer s.want(hash, -1)
	switch err := s.reads.await(ctx); {
	case err == nil:
	case errors.Is(err, ErrQueue), ctx.Err() != nil:
		return nil, err
	default:
		return nil, ErrSessionsUnread
	}
	if id := s.find(hash); id != nil {
		return id, nil
	}
	return nil, ErrInvalid
}

// Forget makes this replica forget a session that was ended, and ends its streams, before the next read does.
func (s *Sessions) Forget(secret string) {
	hash := tokenHash(HashSecret(secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		s.ended[hash] = true
	}
	if known := s.live[hash]; known != nil {
		known.end(ErrInvalid)
		delete(s.live, hash)
	}
}

// want adds to the number of requests that wait to know a session.
func (s *Sessions) want(hash tokenHash, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted[hash] += more; s.wanted[hash] == 0 {
		delete(s.wanted, hash)
	}
}

// find returns who is signed in by a session, or nil where that is not known.
func (s *Sessions) find(hash tokenHash) *Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.read) > tokenTrust {
		return nil
	}
	if known := s.live[hash]; known != nil && time.Now().Before(known.identity.Expire) {
		return &known.identity
	}
	return nil
}

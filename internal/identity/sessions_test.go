package identity

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/audit"
)

// sessionTable stands in for the table of sessions where time must pass. While it hangs a read lasts as long as its context.
type sessionTable struct {
	mu    sync.Mutex
	live  map[string]Session // By secret.
	hangs bool
	slow  time.Duration // How long a read takes after it has found the sessions.
	reads int
}

func (st *sessionTable) LiveSessions(ctx context.Context, hashes [][]byte, add func([]byte, Session)) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.reads++
	if st.hangs {
		st.mu.Unlock()
		<-ctx.Done()
		st.mu.Lock()
		return ctx.Err()
	}
	for secret, s := range st.live {
		for _, hash := range hashes {
			if string(hash) == string(HashSecret(secret)) && time.Now().Before(s.ExpireTime) {
				add(hash, s)
			}
		}
	}
	if slow := st.slow; slow > 0 {
		st.mu.Unlock()
		<-time.After(slow)
		st.mu.Lock()
	}
	return nil
}

func (st *sessionTable) set(change func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	change()
}

// startSessions runs sessions over a table with one of tenant "films", in a bubble.
func startSessions(t *testing.T) (*Sessions, *sessionTable, string) {
	t.Helper()
	secret, _ := NewSecret()
	table := &sessionTable{live: map[string]Session{secret: {
		ID: "1", Tenant: "films", Actor: audit.Actor{Kind: audit.Token, Name: "token", Tenant: "films"}, ExpireTime: time.Now().Add(SessionLife),
	}}}
	s := NewSessions(table)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx) // It always returns nil.
	}()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return s, table, secret
}

func inSession(secret string) Credentials { return Credentials{Session: secret} }

func TestSessions_NobodySignedInCostsNoQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, table, secret := startSessions(t)
		<-time.After(time.Minute)
		if table.reads != 0 {
			t.Errorf("%d reads without a known session, want none", table.reads)
		}
		for range 100 {
			if id, err := s.Authenticate(t.Context(), inSession(secret)); whose(id) != "films" || id.Actor.Name != "token" || err != nil {
				t.Fatalf("Authenticate = %+v, %v", id, err)
			}
		}
		if table.reads != 1 {
			t.Errorf("100 requests of one session cost %d reads, want 1", table.reads)
		}
	})
}

func TestSessions_UnknownOnesCostOneReadTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, table, _ := startSessions(t)
		var calls sync.WaitGroup
		for range 500 {
			wrong, _ := NewSecret()
			calls.Go(func() {
				if _, err := s.Authenticate(t.Context(), inSession(wrong)); !errors.Is(err, ErrInvalid) {
					t.Errorf("Authenticate of a wrong session = %v, want ErrInvalid", err)
				}
			})
		}
		calls.Wait()
		if table.reads > 3 {
			t.Errorf("500 wrong sessions cost %d reads, want at most 3", table.reads)
		}
		if len(s.wanted) != 0 || len(s.live) != 0 {
			t.Errorf("%d sessions are wanted and %d known after the requests, want none", len(s.wanted), len(s.live))
		}
	})
}

func TestSessions_AStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end   func(*sessionTable, string)
		after time.Duration // At the latest.
	}{
		"ended":   {func(st *sessionTable, secret string) { st.set(func() { delete(st.live, secret) }) }, tokenReload + tokenGap},
		"expired": {func(*sessionTable, string) {}, SessionLife},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, table, secret := startSessions(t)
				id, err := s.Authenticate(t.Context(), inSession(secret))
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := id.Bind(t.Context())
				defer stop()
				began := time.Now()
				tc.end(table, secret)
				<-ctx.Done()
				if took := time.Since(began); !errors.Is(context.Cause(ctx), ErrInvalid) || took > tc.after {
					t.Errorf("the stream ended after %s with %v, want ErrInvalid within %s", took, context.Cause(ctx), tc.after)
				}
				if _, err := s.Authenticate(t.Context(), inSession(secret)); !errors.Is(err, ErrInvalid) {
					t.Errorf("Authenticate afterwards = %v, want ErrInvalid", err)
				}
			})
		})
	}
}

// TestSessions_AForgottenOneStaysForgotten signs out while a read is under way that has found the session already.
func TestSessions_AForgottenOneStaysForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, table, secret := startSessions(t)
		if _, err := s.Authenticate(t.Context(), inSession(secret)); err != nil {
			t.Fatal(err)
		}
		table.set(func() { table.slow = time.Second })
		<-time.After(tokenReload + tokenReload/4) // The next read is under way.
		table.set(func() { delete(table.live, secret) })
		s.Forget(secret)
		<-time.After(time.Second) // It has ended.
		if _, err := s.Authenticate(t.Context(), inSession(secret)); !errors.Is(err, ErrInvalid) {
			t.Errorf("Authenticate after signing out = %v, want ErrInvalid", err)
		}
	})
}

func TestSessions_WorkForAWhileWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, table, secret := startSessions(t)
		if _, err := s.Authenticate(t.Context(), inSession(secret)); err != nil {
			t.Fatal(err)
		}
		table.set(func() { table.hangs = true })
		<-time.After(tokenTrust - tokenReload - time.Second)
		if id, err := s.Authenticate(t.Context(), inSession(secret)); whose(id) != "films" || err != nil {
			t.Errorf("Authenticate during the outage = %+v, %v", id, err)
		}
		<-time.After(2 * tokenReload)
		if _, err := s.Authenticate(t.Context(), inSession(secret)); !errors.Is(err, ErrSessionsUnread) {
			t.Errorf("Authenticate long after = %v, want ErrSessionsUnread", err)
		}
	})
}

// TestSessions_CountOnlyAlone sends a session with other credentials. The header comes before the session, which the browser adds without
// being asked.
func TestSessions_CountOnlyAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, secret := startSessions(t)
		for name, tc := range map[string]struct {
			given Credentials
			want  error
		}{
			"alone":              {inSession(secret), nil},
			"none":               {Credentials{}, ErrInvalid},
			"too long":           {inSession(secret + string(make([]byte, 200))), ErrInvalid},
			"with a header":      {Credentials{Session: secret, Authorization: []string{"Bearer x"}}, ErrInvalid},
			"as a bearer token":  {bearer(secret), ErrInvalid},
			"its hash as secret": {inSession(string(HashSecret(secret))), ErrInvalid},
		} {
			if _, err := (Chain{s}).Authenticate(t.Context(), tc.given); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
		}
	})
}

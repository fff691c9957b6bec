package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tokenTable stands in for the table of tokens where time must pass. While it hangs a read lasts as long as its context.
type tokenTable struct {
	mu    sync.Mutex
	live  map[string]string // Tenants by token.
	hangs bool
	reads int
}

func (tt *tokenTable) LiveTokens(ctx context.Context, add func([]byte, string, bool)) error {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	tt.reads++
	if tt.hangs {
		tt.mu.Unlock()
		<-ctx.Done()
		tt.mu.Lock()
		return ctx.Err()
	}
	for token, tenant := range tt.live {
		add(hashAPIToken(token), tenant, false)
	}
	return nil
}

func (tt *tokenTable) set(change func()) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	change()
}

// startKeyring runs a keyring over a table with a token of tenant "films", in a bubble.
func startKeyring(t *testing.T) (*Keyring, *tokenTable, string) {
	t.Helper()
	token, _ := NewAPIToken()
	table := &tokenTable{live: map[string]string{token: "films"}}
	k := NewKeyring(table)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = k.Run(ctx) // It always returns nil.
	}()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return k, table, token
}

func bearer(token string) string { return "Bearer " + token }

// Each wrong token comes once, so that a cache of wrong tokens would not help.
func TestKeyring_UnknownTokensCostOneReadTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, table, token := startKeyring(t)
		<-time.After(tokenGap)
		synctest.Wait()
		before := table.reads
		var calls sync.WaitGroup
		for range 500 {
			wrong, _ := NewAPIToken()
			calls.Go(func() {
				if _, err := k.Authenticate(t.Context(), bearer(wrong)); !errors.Is(err, errCredentials) {
					t.Errorf("Authenticate of a wrong token = %v, want errCredentials", err)
				}
			})
		}
		for range 500 {
			if id, err := k.Authenticate(t.Context(), bearer(token)); id.Tenant != "films" || err != nil {
				t.Errorf("Authenticate of a good token = %+v, %v", id, err)
			}
		}
		calls.Wait()
		if reads := table.reads - before; reads > 3 {
			t.Errorf("500 wrong tokens cost %d reads, want at most 3", reads)
		}
	})
}

func TestKeyring_ANewTokenWorksAtOnceAndARevokedOneEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, table, token := startKeyring(t)
		second, _ := NewAPIToken()
		table.set(func() { table.live[second] = "films" })
		old, err := k.Authenticate(t.Context(), bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := k.Authenticate(t.Context(), bearer(second))
		if fresh.Tenant != "films" || err != nil {
			t.Fatalf("Authenticate of a new token = %+v, %v", fresh, err)
		}
		ctx, stop := old.Bind(t.Context())
		defer stop()
		other, stopOther := fresh.Bind(t.Context())
		defer stopOther()
		table.set(func() { delete(table.live, token) })
		revoked := time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
		if took := time.Since(revoked); !errors.Is(context.Cause(ctx), errCredentials) || took > 5*time.Second {
			t.Errorf("the streams of a revoked token ended after %v with %v", took, context.Cause(ctx))
		}
		if _, err := k.Authenticate(t.Context(), bearer(token)); !errors.Is(err, errCredentials) {
			t.Errorf("Authenticate of a revoked token = %v, want errCredentials", err)
		}
		if other.Err() != nil {
			t.Errorf("the streams of the other token ended: %v", context.Cause(other))
		}
	})
}

func TestKeyring_WhileTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, table, token := startKeyring(t)
		table.set(func() { table.hangs = true })
		<-time.After(tokenReload) // A read is under way.
		began := time.Now()
		var calls sync.WaitGroup
		var unread, queued atomic.Int32
		for range 2 * tokenWaiters {
			wrong, _ := NewAPIToken()
			calls.Go(func() {
				_, err := k.Authenticate(t.Context(), bearer(wrong))
				switch {
				case errors.Is(err, errTokensUnread):
					unread.Add(1)
				case errors.Is(err, errTokenQueue):
					queued.Add(1)
				default:
					t.Errorf("Authenticate of an unknown token = %v, want errTokensUnread or errTokenQueue", err)
				}
			})
		}
		synctest.Wait()
		if k.waiters > tokenWaiters {
			t.Errorf("%d calls wait, want at most %d", k.waiters, tokenWaiters)
		}
		if id, err := k.Authenticate(t.Context(), bearer(token)); id.Tenant != "films" || err != nil || time.Since(began) > 0 {
			t.Errorf("Authenticate of a known token = %+v, %v after %v, want it at once", id, err, time.Since(began))
		}
		calls.Wait()
		if unread.Load() != tokenWaiters || queued.Load() != tokenWaiters {
			t.Errorf("%d calls ended with errTokensUnread and %d with errTokenQueue, want %d of each", unread.Load(), queued.Load(), tokenWaiters)
		}
		if took := time.Since(began); took > tokenWait {
			t.Errorf("an unknown token waited %v", took)
		}
		<-time.After(tokenTrust)
		if _, err := k.Authenticate(t.Context(), bearer(token)); !errors.Is(err, errTokensUnread) {
			t.Errorf("Authenticate of a token that was last seen %v ago = %v, want errTokensUnread", tokenTrust, err)
		}
		table.set(func() { table.hangs = false })
		<-time.After(tokenReload + tokenReloadTime)
		if id, err := k.Authenticate(t.Context(), bearer(token)); id.Tenant != "films" || err != nil {
			t.Errorf("Authenticate after the outage = %+v, %v", id, err)
		}
	})
}

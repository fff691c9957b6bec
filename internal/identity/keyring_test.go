package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
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

func (tt *tokenTable) LiveTokens(ctx context.Context, add func([]byte, Holder)) error {
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
		add(hashAPIToken(token), Holder{ID: "id-of-" + tenant, Tenant: tenant})
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

func bearer(token string) Credentials { return Credentials{Authorization: []string{"Bearer " + token}} }

// whose returns the tenant of an identity; empty without one.
func whose(id *Identity) string {
	if id == nil {
		return ""
	}
	return id.Tenant
}

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
				if _, err := k.Authenticate(t.Context(), bearer(wrong)); !errors.Is(err, ErrInvalid) {
					t.Errorf("Authenticate of a wrong token = %v, want ErrInvalid", err)
				}
			})
		}
		for range 500 {
			if id, err := k.Authenticate(t.Context(), bearer(token)); whose(id) != "films" || err != nil {
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
		if whose(fresh) != "films" || err != nil {
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
		if took := time.Since(revoked); !errors.Is(context.Cause(ctx), ErrInvalid) || took > 5*time.Second {
			t.Errorf("the streams of a revoked token ended after %v with %v", took, context.Cause(ctx))
		}
		if _, err := k.Authenticate(t.Context(), bearer(token)); !errors.Is(err, ErrInvalid) {
			t.Errorf("Authenticate of a revoked token = %v, want ErrInvalid", err)
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
		<-time.After(tokenReload + tokenGap) // A read is under way.
		began := time.Now()
		var calls sync.WaitGroup
		var unread, queued atomic.Int32
		for range 2 * maxWaiters {
			wrong, _ := NewAPIToken()
			calls.Go(func() {
				_, err := k.Authenticate(t.Context(), bearer(wrong))
				switch {
				case errors.Is(err, ErrTokensUnread):
					unread.Add(1)
				case errors.Is(err, ErrQueue):
					queued.Add(1)
				default:
					t.Errorf("Authenticate of an unknown token = %v, want ErrTokensUnread or ErrQueue", err)
				}
			})
		}
		synctest.Wait()
		k.reads.mu.Lock()
		waiters := k.reads.waiters
		k.reads.mu.Unlock()
		if waiters > maxWaiters {
			t.Errorf("%d calls wait, want at most %d", waiters, maxWaiters)
		}
		if id, err := k.Authenticate(t.Context(), bearer(token)); whose(id) != "films" || err != nil || time.Since(began) > 0 {
			t.Errorf("Authenticate of a known token = %+v, %v after %v, want it at once", id, err, time.Since(began))
		}
		calls.Wait()
		if unread.Load() != maxWaiters || queued.Load() != maxWaiters {
			t.Errorf("%d calls ended with ErrTokensUnread and %d with ErrQueue, want %d of each", unread.Load(), queued.Load(), maxWaiters)
		}
		if took := time.Since(began); took > tokenWait {
			t.Errorf("an unknown token waited %v", took)
		}
		<-time.After(tokenTrust)
		if _, err := k.Authenticate(t.Context(), bearer(token)); !errors.Is(err, ErrTokensUnread) {
			t.Errorf("Authenticate of a token that was last seen %v ago = %v, want ErrTokensUnread", tokenTrust, err)
		}
		table.set(func() { table.hangs = false })
		<-time.After(tokenReload + tokenReloadTime)
		if id, err := k.Authenticate(t.Context(), bearer(token)); whose(id) != "films" || err != nil {
			t.Errorf("Authenticate after the outage = %+v, %v", id, err)
		}
	})
}

func TestNewAPIToken_IsRandomAndStoredAsItsHash(t *testing.T) {
	t.Parallel()
	token, hash := NewAPIToken()
	other, _ := NewAPIToken()
	if token == other {
		t.Error("two tokens are equal")
	}
	sum := sha256.Sum256([]byte(token))
	if string(hash) != string(sum[:]) || !strings.HasPrefix(token, "refract_") || len(token) != len("refract_")+43 {
		t.Errorf("token %q has the hash %x, want %x", token, hash, sum)
	}
}

func TestKeyring_TakesOneFormOfTheHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, table, token := startKeyring(t)
		reads := table.reads
		for header, want := range map[string]error{
			"Bearer " + token:                  nil,
			"bearer " + token:                  nil, // Schemes have no case.
			"":                                 ErrInvalid,
			token:                              ErrInvalid,
			"Basic " + token:                   ErrInvalid,
			"Bearer":                           ErrInvalid,
			"Bearer  " + token:                 ErrInvalid,
			"Bearer " + strings.ToUpper(token): ErrInvalid,
			"Bearer secret":                    ErrInvalid,
			"Bearer refract_" + strings.Repeat("x", 1000): ErrInvalid,
		} {
			if id, err := (Chain{k}).Authenticate(t.Context(), Credentials{Authorization: []string{header}}); !errors.Is(err, want) || (err == nil) != (whose(id) == "films") {
				t.Errorf("%.40q: got %+v, %v, want %v", header, id, err, want)
			}
		}
		if table.reads != reads {
			t.Errorf("headers that can't be right cost %d reads", table.reads-reads)
		}
	})
}

func TestKeyring_AnUnknownTokenWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	k := NewKeyring(&tokenTable{}) // It does not run, so no read comes.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unknown, _ := NewAPIToken()
	if _, err := k.Authenticate(ctx, bearer(unknown)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if k.reads.waiters != 0 {
		t.Errorf("%d calls still wait", k.reads.waiters)
	}
}

func TestKeyring_LoadReturnsWhyTokensAreUnread(t *testing.T) {
	t.Parallel()
	token, _ := NewAPIToken()
	table := &tokenTable{live: map[string]string{token: "films"}, hangs: true}
	k := NewKeyring(table)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("load: got %v", err)
	}
	table.set(func() { table.hangs = false })
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := k.Authenticate(t.Context(), bearer(token)); whose(id) != "films" || err != nil {
		t.Errorf("after the load: %+v, %v", id, err)
	}
}

// TestKeyring_ATokenThatChangesHandsEndsItsStreams gives a token to another tenant.
func TestKeyring_ATokenThatChangesHandsEndsItsStreams(t *testing.T) {
	t.Parallel()
	token, _ := NewAPIToken()
	table := &tokenTable{live: map[string]string{token: "films"}}
	k := NewKeyring(table)
	load := func() *Identity {
		if err := k.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, err := k.Authenticate(t.Context(), bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := load()
	ctx, stop := first.Bind(t.Context())
	defer stop()
	if load(); ctx.Err() != nil {
		t.Errorf("a token that stays as it is ended its streams: %v", context.Cause(ctx))
	}
	table.set(func() { table.live[token] = "ads" })
	if id := load(); whose(id) != "ads" {
		t.Errorf("the token belongs to %q", whose(id))
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Minute): // Only a test that hangs gets here.
	}
	if !errors.Is(context.Cause(ctx), ErrInvalid) {
		t.Errorf("the streams ended with %v", context.Cause(ctx))
	}
}

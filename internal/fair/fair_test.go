package fair_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/fair"
)

// claims makes claims on a gate and records the order in which they got slots.
type claims struct {
	*testing.T
	gate    *fair.Gate
	got     []string
	full    []string
	release map[string]func()
}

func start(t *testing.T, places, waiting int) *claims {
	t.Helper()
	return &claims{T: t, gate: fair.New(places, waiting), release: map[string]func(){}}
}

// claim makes a named claim in a goroutine, and returns when it has a slot or waits for one.
func (c *claims) claim(name string, claim fair.Claim) {
	c.Helper()
	go func() {
		release, err := c.gate.Acquire(c.Context(), claim)
		switch {
		case errors.Is(err, fair.ErrFull):
			c.full = append(c.full, name)
		case err == nil:
			c.got, c.release[name] = append(c.got, name), release
		}
	}()
	synctest.Wait()
}

func (c *claims) free(name string) {
	c.Helper()
	c.release[name]()
	synctest.Wait()
}

// fill makes a tenant claim slots that it never releases, and returns how many it got.
func (c *claims) fill(tenant, host string, n int) int {
	c.Helper()
	before := len(c.got)
	for i := range n {
		c.claim(fmt.Sprintf("%s/%s/%d", tenant, host, i), fair.Claim{Tenant: tenant, Host: host})
	}
	return len(c.got) - before
}

func TestAcquire_ATenantLeavesAsManyFreeAsItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 32, 100)
		for i, want := range []int{16, 8, 4, 2, 1, 1, 0} {
			if got := c.fill(fmt.Sprintf("tenant-%d", i), "", 20); got != want {
				t.Errorf("tenant %d holds %d places, want %d", i, got, want)
			}
		}
	})
}

func TestAcquire_AHostLeavesHalfOfItsTenantsPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 32, 1000)
		for i, want := range []int{8, 4, 2, 1, 1, 0} {
			if got := c.fill("films", fmt.Sprintf("host-%d", i), 20); got != want {
				t.Errorf("host %d holds %d places, want %d", i, got, want)
			}
		}
		if got := c.fill("ads", "host-0", 20); got != 4 {
			t.Errorf("another tenant holds %d places of a host that hangs for the first, want its own 4", got)
		}
	})
}

func TestAcquire_TheEarliestGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, now := start(t, 1, 10), time.Now()
		c.claim("holder", fair.Claim{Tenant: "films"})
		c.claim("late", fair.Claim{Tenant: "films", Due: now.Add(time.Hour)})
		c.claim("soon", fair.Claim{Tenant: "ads", Due: now.Add(time.Minute)})
		c.claim("soon too", fair.Claim{Tenant: "films", Due: now.Add(time.Minute)})
		c.claim("first", fair.Claim{Tenant: "books", Due: now})
		want := []string{"holder", "first", "soon", "soon too", "late"}
		for _, name := range want {
			c.free(name)
		}
		if !slices.Equal(c.got, want) {
			t.Errorf("got places in the order %q, want %q", c.got, want)
		}
	})
}

func TestAcquire_TheTenantWithMostClaimsGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, now := start(t, 1, 3), time.Now()
		due := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
		c.claim("holder", fair.Claim{Tenant: "films"})
		c.claim("films 2", fair.Claim{Tenant: "films", Due: due(2)})
		c.claim("films 3", fair.Claim{Tenant: "films", Due: due(3)})
		c.claim("films 4", fair.Claim{Tenant: "films", Due: due(4)})
		c.claim("films 1", fair.Claim{Tenant: "films", Due: due(1)}) // It is more urgent than the fourth.
		c.claim("films 5", fair.Claim{Tenant: "films", Due: due(5)})
		c.claim("ads 9", fair.Claim{Tenant: "ads", Due: due(9)}) // It is less urgent than all, of a tenant that has none.
		if want := []string{"films 4", "films 5", "films 3"}; !slices.Equal(c.full, want) {
			t.Errorf("%q gave way, want %q", c.full, want)
		}
		for _, name := range []string{"holder", "films 1", "films 2", "ads 9"} {
			c.free(name)
		}
	})
}

func TestAcquire_ACallerThatGoesLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1, 1)
		c.claim("holder", fair.Claim{Tenant: "films"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.gate.Acquire(ctx, fair.Claim{Tenant: "ads"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the time is over", err)
		}
		c.claim("next", fair.Claim{Tenant: "ads"}) // It takes the only place in the list.
		c.free("holder")
		c.free("holder") // A second call releases no other slot.
		c.claim("last", fair.Claim{Tenant: "books"})
		if !slices.Equal(c.got, []string{"holder", "next"}) || len(c.full) > 0 {
			t.Errorf("%q got places and %q gave way", c.got, c.full)
		}
		c.free("next")
		c.free("last")
	})
}

// try makes a claim that does not wait.
func try(over context.Context, g *fair.Gate, c fair.Claim) (func(), bool) {
	release, err := g.Acquire(over, c)
	return release, err == nil
}

// TestAcquire_HoldersThatNeverReturnDelayNoOther makes up to four tenants claim and release slots in any order, on any
// hosts. Whatever they hold, a fifth tenant gets one of 32 slots at once.
func TestAcquire_HoldersThatNeverReturnDelayNoOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const places = 32
		gate := fair.New(places, 4)
		var held []func()
		over, cancel := context.WithCancel(t.Context())
		cancel() // No claim waits here.
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(held) > 0 && rapid.IntRange(0, 3).Draw(t, "step") == 0 {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				held[i]()
				held = slices.Delete(held, i, i+1)
				continue
			}
			c := fair.Claim{
				Tenant: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "tenant"),
				Host:   rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "host"),
			}
			if release, ok := try(over, gate, c); ok {
				held = append(held, release)
			}
		}
		if len(held) >= places {
			t.Fatalf("%d of %d places are held", len(held), places)
		}
		release, ok := try(over, gate, fair.Claim{Tenant: "good", Host: "x"})
		if !ok {
			t.Fatalf("the good tenant waits while %d of %d places are held", len(held), places)
		}
		release()
		for _, release := range held {
			release()
		}
		n := 0
		for ; n < places; n++ { // As many tenants get all slots again.
			if _, ok := try(over, gate, fair.Claim{Tenant: fmt.Sprint(n)}); !ok {
				break
			}
		}
		if n != places {
			t.Fatalf("%d of %d places came back", n, places)
		}
	})
}

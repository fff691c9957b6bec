package faults_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// chaos breaks a fleet at random.
type chaos struct {
	*fleet
	random *rand.Rand
	gap    time.Duration // About how long until the next fault.
	storm  time.Duration // So long faults come,
	calm   time.Duration // then none for so long, since what dies all the time gets nothing done.
	kills  int           // How many kills there are to be; 0 leaves it to the context to end them.
	deck   []accident    // What happens, in an order of chance, and then again.
	dealt  chan struct{} // Closed once the deck has been dealt.
	work   sync.WaitGroup
}

// accident is a fault of a replica or of what it depends on.
type accident func(*chaos, context.Context, *replica)

// deckOf returns a deck with a number of kills and one of every other accident.
func deckOf(kills int) []accident {
	return append(slices.Repeat([]accident{(*chaos).kill}, kills),
		(*chaos).terminate, (*chaos).crashDatabase, (*chaos).cut, (*chaos).delay, (*chaos).swallow)
}

// run lets accidents happen until ctx ends, or until there were as many kills as there are to be.
func (c *chaos) run(ctx context.Context) {
	defer c.work.Wait()
	began := time.Now()
	var order []int
	dealt := sync.OnceFunc(func() { close(c.dealt) })
	for ctx.Err() == nil && (c.kills == 0 || c.done.get("kills") < c.kills) {
		if phase := time.Since(began) % (c.storm + c.calm); phase >= c.storm {
			_ = pause(ctx, c.storm+c.calm-phase)
			continue
		}
		if len(order) == 0 {
			order = c.random.Perm(len(c.deck))
		}
		c.deck[order[0]](c, ctx, c.replicas[c.random.IntN(len(c.replicas))])
		if order = order[1:]; len(order) == 0 {
			dealt()
		}
		_ = pause(ctx, time.Duration(c.random.Int64N(int64(2*c.gap))))
	}
}

// kill kills a replica, which is started again soon.
func (c *chaos) kill(ctx context.Context, r *replica) {
	if r.runs() {
		r.kill()
	}
	c.revive(ctx, r, time.Duration(c.random.Int64N(int64(500*time.Millisecond))))
}

// terminate stops a replica in order.
func (c *chaos) terminate(ctx context.Context, r *replica) {
	c.work.Go(func() {
		if err := r.stop(syscall.SIGTERM); err != nil {
			c.t.Logf("%s was told to stop and ended with %v", r.name, err) // As when the database is away.
		}
		c.done.add("stops in order", 1)
		c.revive(ctx, r, 0)
	})
}

// revive starts a replica after a while, as often as it takes: it ends at once while the database is away. It does so
// though ctx ends, so that a run ends with all replicas.
func (c *chaos) revive(ctx context.Context, r *replica, after time.Duration) {
	c.work.Go(func() {
		_ = pause(ctx, after)
		for began := time.Now(); time.Since(began) < hung; {
			err := r.start(ctx)
			if err == nil {
				return
			}
			if !errors.Is(err, errNoStart) {
				c.t.Error(err)
				return
			}
			_ = pause(context.WithoutCancel(ctx), 200*time.Millisecond)
		}
		c.t.Errorf("%s does not start", r.name)
	})
}

// crashDatabase makes the database crash and recover.
func (c *chaos) crashDatabase(ctx context.Context, _ *replica) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hung)
	defer cancel()
	if err := crash(ctx, c.cfg.databaseURL); err != nil {
		c.t.Logf("crash the database: %v", err) // It is recovering still.
		return
	}
	c.done.add("crashes of the database", 1)
	if err := answers(ctx, c.cfg.databaseURL); err != nil {
		c.t.Errorf("the database does not recover: %v", err)
	}
}

// cut resets all connections of a replica to the database.
func (c *chaos) cut(ctx context.Context, r *replica) {
	c.poison(ctx, r, "cut links", reset, 200*time.Millisecond)
}

// delay slows the link of a replica down.
func (c *chaos) delay(ctx context.Context, r *replica) {
	c.poison(ctx, r, "slow links", slow(time.Duration(10+c.random.IntN(100))*time.Millisecond), time.Duration(1+c.random.IntN(3))*time.Second)
}

// swallow lets nothing through the link of a replica, for shorter or longer than it waits for an answer.
func (c *chaos) swallow(ctx context.Context, r *replica) {
	c.poison(ctx, r, "silent links", swallow, time.Duration(1+c.random.IntN(int(outlast.silence/time.Second)))*time.Second)
}

// poison makes a link bad for a while, unless it is already.
func (c *chaos) poison(ctx context.Context, r *replica, what, toxic string, d time.Duration) {
	if r.link.poison(toxic) != nil {
		return
	}
	c.done.add(what, 1)
	c.work.Go(func() {
		_ = pause(ctx, d)
		r.link.heal(ctx)
	})
}

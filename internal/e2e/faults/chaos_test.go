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
	random   *rand.Rand
	gap      time.Duration // The mean time until the next fault.
	storm    time.Duration // How long faults occur.
	calm     time.Duration // How long none occur after that, so that the fleet makes progress.
	kills    int           // The number of kills after which the faults end; 0 means that the context ends them.
	plan     []fault       // The faults. All occur in random order, repeatedly.
	executed chan struct{} // Closed once each fault of the plan has occurred.
	work     sync.WaitGroup
}

// fault causes a fault of a replica or of a dependency.
type fault func(*chaos, context.Context, *replica)

// planOf returns a plan with a number of kills and one of every other fault.
func planOf(kills int) []fault {
	return append(slices.Repeat([]fault{(*chaos).kill}, kills),
		(*chaos).terminate, (*chaos).crashDatabase, (*chaos).cut, (*chaos).delay, (*chaos).swallow)
}

// run causes faults until ctx ends, or until the number of kills is reached.
func (c *chaos) run(ctx context.Context) {
	defer c.work.Wait()
	began := time.Now()
	var order []int
	executed := sync.OnceFunc(func() { close(c.executed) })
	for ctx.Err() == nil && (c.kills == 0 || c.done.get("kills") < c.kills) {
		if phase := time.Since(began) % (c.storm + c.calm); phase >= c.storm {
			_ = pause(ctx, c.storm+c.calm-phase)
			continue
		}
		if len(order) == 0 {
			order = c.random.Perm(len(c.plan))
		}
		c.plan[order[0]](c, ctx, c.replicas[c.random.IntN(len(c.replicas))])
		if order = order[1:]; len(order) == 0 {
			executed()
		}
		_ = pause(ctx, time.Duration(c.random.Int64N(int64(2*c.gap))))
	}
}

// kill kills a replica and starts it again soon.
func (c *chaos) kill(ctx context.Context, r *replica) {
	if r.runs() {
		r.kill()
	}
	c.revive(ctx, r, time.Duration(c.random.Int64N(int64(500*time.Millisecond))))
}

// terminate stops a replica with SIGTERM.
func (c *chaos) terminate(ctx context.Context, r *replica) {
	c.work.Go(func() {
		if err := r.stop(syscall.SIGTERM); err != nil {
			c.t.Logf("%s got SIGTERM and ended with %v", r.name, err) // For example while the database is unreachable.
		}
		c.done.add("stops in order", 1)
		c.revive(ctx, r, 0)
	})
}

// revive starts a replica after a while. It retries, since a replica ends at once while the database is unreachable. It
// ignores the end of ctx, so that all replicas are running when a run ends.
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
		c.t.Logf("crash the database: %v", err) // It is still recovering.
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

// delay slows down the link of a replica.
func (c *chaos) delay(ctx context.Context, r *replica) {
	c.poison(ctx, r, "slow links", slow(time.Duration(10+c.random.IntN(100))*time.Millisecond), time.Duration(1+c.random.IntN(3))*time.Second)
}

// swallow drops everything on the link of a replica, for shorter or longer than the replica waits for an answer.
func (c *chaos) swallow(ctx context.Context, r *replica) {
	c.poison(ctx, r, "silent links", swallow, time.Duration(1+c.random.IntN(int(outlast.silence/time.Second)))*time.Second)
}

// poison adds a toxic to a link for a while, unless the link has one already.
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

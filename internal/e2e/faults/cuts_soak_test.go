//go:build soak

package faults_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// The size of the run with cuts: a pair of cuts takes about 20 seconds, and there are 82 ordered pairs.
var cutsFor = flag.Duration("cuts", 10*time.Minute, "how long cuts are made, in every order of two")

// cut is a fault between two parts of a fleet that lasts for a while.
type cut struct {
	name       string
	way        *link // Nil if the cut affects no link.
	begin, end func(ctx context.Context)
	longest    time.Duration
}

// cutsOf returns the cuts of a fleet: each link of a replica to the database and to the provider is reset, silent or
// slow, and each replica is stopped.
func (f *fleet) cutsOf() []cut {
	var cuts []cut
	for _, r := range f.replicas {
		through := func(l *link, toxic string) (begin, end func(context.Context)) {
			return func(context.Context) {
				if err := l.poison(toxic); err != nil {
					f.t.Error(err)
				}
			}, l.heal
		}
		add := func(what string, l *link, toxic string, longest time.Duration) {
			begin, end := through(l, toxic)
			cuts = append(cuts, cut{r.name + " " + what, l, begin, end, longest})
		}
		add("database reset", r.link, reset, 40*time.Second) // Longer than its streams may continue.
		add("database silent", r.link, swallow, 40*time.Second)
		add("provider silent", r.provider, swallow, 30*time.Second)
		add("provider slow", r.provider, slow(8*time.Second), 30*time.Second)
		cuts = append(cuts, cut{
			r.name + " stopped", nil, func(context.Context) { r.signal(syscall.SIGSTOP) }, func(context.Context) { r.signal(syscall.SIGCONT) }, 12 * time.Second,
		})
	}
	return cuts
}

// TestSoak_CutsInEveryOrder delays and cuts the network between two replicas, the database and the provider, in every
// order of two overlapping cuts. Some tasks of its load are always refused, as by a firewall of the provider.
func TestSoak_CutsInEveryOrder(t *testing.T) {
	s := seed(t)
	ctx, cancel := context.WithTimeout(t.Context(), *cutsFor+30*time.Minute)
	defer cancel()
	f := newFleet(t, fleetConfig{
		replicas: 2, databaseURL: startDatabase(t), ownWays: true,
		limits: map[string]audit.Limit{
			"kie":         {Submissions: 6, Window: 10 * time.Second, InFlight: 80},
			"luma":        {Submissions: 6, Window: 10 * time.Second, InFlight: 80},
			"luma-agents": {Submissions: 6, Window: 10 * time.Second, InFlight: 400},
		},
		sim:      sim.Config{Script: (&firstAnswers{seen: map[string]bool{}}).script},
		profiles: profiles.Set{Kie: kie.Profile{CallbackSpacing: 2 * time.Second}, Luma: luma.Profile{CallbackSpacing: 2 * time.Second}},
	})
	f.start(ctx)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var witnesses sync.WaitGroup
	for _, r := range f.replicas {
		witnesses.Go(func() { f.witness(watching, r) })
	}

	random := rand.New(rand.NewPCG(s, 1))
	loaded, unload := context.WithCancel(ctx)
	var load sync.WaitGroup
	load.Go(func() {
		f.feedWhile(loaded, &generator{random: rand.New(rand.NewPCG(s, 2)), rare: 3, used: map[string]int{}})
	})

	f.cutInEveryOrder(ctx, random, time.Now().Add(*cutsFor))
	unload()
	load.Wait()
	f.settle(ctx)
	_ = pause(ctx, 20*time.Second) // For a last bookmark, which confirms that nothing is missing.
	stopWatching()
	witnesses.Wait()
	f.drain()
	f.audit(ctx)
}

// cutInEveryOrder runs the ordered pairs of cuts, in random order, until all are done or the time is up. The second cut
// begins during the first and ends after it.
func (f *fleet) cutInEveryOrder(ctx context.Context, random *rand.Rand, until time.Time) {
	f.t.Helper()
	cuts := f.cutsOf()
	for _, n := range random.Perm(len(cuts) * len(cuts)) {
		first, second := cuts[n/len(cuts)], cuts[n%len(cuts)]
		if first.name == second.name || first.way != nil && first.way == second.way {
			continue // A link has only one fault at a time.
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return
		}
		// Most cuts are short, so that there is time for all orders. Every fourth has the full length.
		hold := func(c cut) time.Duration {
			if random.IntN(4) == 0 {
				return c.longest
			}
			return time.Duration(1+random.IntN(6)) * time.Second
		}
		a, b := hold(first), hold(second)
		first.begin(ctx)
		_ = pause(ctx, a/2)
		second.begin(ctx)
		_ = pause(ctx, a/2)
		first.end(ctx)
		_ = pause(ctx, b)
		second.end(ctx)
		f.done.add("pairs of cuts", 1)
		_ = pause(ctx, 2*time.Second)
	}
}

// feedWhile submits tasks at intervals until ctx ends.
func (f *fleet) feedWhile(ctx context.Context, k *generator) {
	client := f.dial()
	for ctx.Err() == nil {
		o := k.next()
		if _, err := f.submit(ctx, client, o); err != nil && ctx.Err() == nil {
			f.t.Errorf("submit %s: %v", o.requestID, err)
		}
		_ = pause(ctx, 700*time.Millisecond)
	}
}

// witness watches all tasks at one replica until ctx ends. It reconnects to the same replica whenever its stream ends.
func (f *fleet) witness(ctx context.Context, r *replica) {
	w := audit.Witness{Replica: r.name}
	token := ""
	for ctx.Err() == nil {
		conn, err := grpc.NewClient(r.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			f.t.Error(err)
			return
		}
		s := audit.Stream{Opened: time.Now()}
		stream, err := refractv1.NewTaskServiceClient(conn).WatchTasks(ctx, &refractv1.WatchTasksRequest{ResumeToken: token})
		for err == nil {
			var m *refractv1.WatchTasksResponse
			if m, err = stream.Recv(); err == nil {
				token = m.GetResumeToken()
				s.Heard = append(s.Heard, audit.Heard{At: time.Now(), TaskID: m.GetEvent().GetTaskId(), Revision: m.GetEvent().GetEvent().GetRevision()})
			}
		}
		s.Ended = time.Now()
		if ctx.Err() == nil {
			f.expect(fmt.Sprintf("a witness at %s", r.name), err)
		}
		w.Streams = append(w.Streams, s)
		_ = conn.Close()
		_ = pause(ctx, 200*time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.witnesses = append(f.witnesses, w)
}

// signal sends a signal to the process if it runs.
func (r *replica) signal(signal syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && !r.process.gone() {
		_ = r.process.cmd.Process.Signal(signal)
	}
}

// address returns the gRPC address of the process, or "" while none runs.
func (r *replica) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return ""
	}
	return r.process.grpc
}

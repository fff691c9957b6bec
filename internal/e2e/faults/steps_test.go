package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// step is a committed step of a task: the change of a row.
type step struct {
	name               string
	table, event, when string
	fault              string   // The simulator's directives that lead there; LONG stands for outlast.processing.
	only               string   // The providers of the short run. The step is the same for the others.
	moments            []moment // Of the short run. Where nothing happens since the commit before, a kill before this one is a kill after that one.
}

// Moments of steps.
var (
	both      = []moment{before, after}
	onlyAfter = []moment{after}
)

// allSteps makes every provider run all steps. The tag soak sets it.
var allSteps = false

// steps are all steps of a task. Those with the longest recovery come first. In these, the provider works until the
// last replica has taken the job over, so only the database prevents a second submission.
var steps = []step{
	{"attempt sent", "attempt", "UPDATE", "NEW.sent AND NOT OLD.sent", "processing=100ms", "kie luma-agents", both},
	{"answer settled", "attempt", "UPDATE", "NEW.state = 'RUNNING' AND OLD.state = 'SUBMITTING'", "processing=LONG", "kie luma-agents", both},
	{"outcome unknown", "attempt", "UPDATE", "NEW.state = 'UNCONFIRMED' AND OLD.state <> 'UNCONFIRMED'", "processing=LONG,drop-after", "kie luma", both},
	{"task inserted", "task", "INSERT", "true", "processing=100ms", "luma", both},
	{"attempt admitted", "attempt", "INSERT", "true", "processing=100ms", "luma", onlyAfter},
	{"callback stored", "callback", "INSERT", "true", "processing=100ms", "kie", both},
	{"saving begun", "task", "UPDATE", "NEW.state = 'SAVING' AND OLD.state <> 'SAVING'", "processing=100ms", "kie", onlyAfter},
	{"outputs stored", "output", "INSERT", "true", "processing=100ms", "luma-agents", both},
	{"succeeded", "task", "UPDATE", "NEW.state = 'SUCCEEDED' AND OLD.state <> 'SUCCEEDED'", "processing=100ms", "luma-agents", onlyAfter},
	{"event leased", "webhook_delivery", "UPDATE", "NEW.lease_time IS NOT NULL AND OLD.lease_time IS NULL", "processing=100ms", "luma", onlyAfter},
	{"event delivered", "webhook_delivery", "UPDATE", "NEW.state = 'SUCCEEDED' AND OLD.state <> 'SUCCEEDED'", "processing=100ms", "luma", both},
}

// TestFaults_AKillAtEveryStep kills a replica before and after the commit of each step of a task, and during the call
// to the provider. Another process takes over. Nothing may be lost, and nothing may be paid for twice. If the provider
// calls back, a task whose submission was running must still succeed.
//
// The short run kills during the call at every provider. At a step, it uses only the providers for which the step
// differs: the one without callbacks, for the steps of a submission; and only the moments that differ. With the tag soak, each
// provider runs all steps at both moments.
func TestFaults_AKillAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			killAtEveryStep(t, provider)
		})
	}
}

func killAtEveryStep(t *testing.T, provider string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	limits := map[string]audit.Limit{}
	for _, p := range providers {
		limits[p] = audit.Limit{Submissions: 20, Window: time.Second, InFlight: 50}
	}
	f := newFleet(t, fleetConfig{
		replicas: 1, databaseURL: postgrestest.URL(t), limits: limits, tenants: runTenants[:1],
		// The provider repeats a callback until a replica lives long enough to take it, however slow the machine is.
		profiles: profiles.Set{
			Kie:  kie.Profile{CallbackSpacing: time.Second, CallbackAttempts: 1000},
			Luma: luma.Profile{CallbackSpacing: time.Second, CallbackAttempts: 1000},
		},
	})
	k := &killer{fleet: f, trap: newTrap(t, f.cfg.databaseURL), provider: provider}
	f.start(ctx)
	f.subscribe(ctx, nil)
	k.duringTheCall(ctx)
	for _, s := range steps {
		if provider == "luma-agents" && (s.table == "callback" || s.event == "INSERT" && s.table != "output") {
			continue // It has no callbacks, and the steps before the submission are the same for all.
		}
		if !allSteps && !slices.Contains(strings.Fields(s.only), provider) {
			continue
		}
		moments := s.moments
		if allSteps {
			moments = both
		}
		for _, m := range moments {
			k.at(ctx, s, m)
		}
	}
	f.start(ctx)
	k.work.Wait()
	f.settle(ctx)
	f.drain()
	f.audit(ctx)
	k.check(ctx)
}

// killer kills the only replica of a fleet at steps.
type killer struct {
	*fleet
	trap     *trap
	provider string
	orders   []order
	work     sync.WaitGroup
}

// at kills the replica at a step of a new task.
func (k *killer) at(ctx context.Context, s step, m moment) {
	k.t.Helper()
	o := k.order(s.name, m, s.fault)
	k.start(ctx)
	k.trap.lay(ctx, s, m, o.requestID)
	victim := k.replicas[0]
	if m == after { // Its answers from the database are delayed, so it dies before it knows of the commit.
		if err := victim.link.poisonAnswers(slow(15 * time.Millisecond)); err != nil {
			k.t.Fatal(err)
		}
	}
	k.send(ctx, o)
	name := k.trap.wait(ctx, m)
	victim.kill()
	k.trap.clear(ctx, s, m, name)
	k.done.add(string(m)+" a commit", 1)
}

// duringTheCall kills the replica after the provider has created the task and before it answers.
func (k *killer) duringTheCall(ctx context.Context) {
	k.t.Helper()
	o := k.order("call", "during", fmt.Sprintf("processing=LONG,delay=%s", outlast.answer))
	k.start(ctx)
	k.send(ctx, o)
	if err := k.fleet.provider.Await(ctx, func() bool { return k.took(o) }); err != nil {
		k.t.Fatal(err)
	}
	k.replicas[0].kill()
	k.done.add("during a call", 1)
}

func (k *killer) order(name string, m moment, fault string) order {
	fault = strings.ReplaceAll(fault, "LONG", outlast.processing.String())
	o := order{
		tenant: runTenants[0], requestID: strings.ReplaceAll(fmt.Sprintf("%s %s", m, name), " ", "-"), provider: k.provider, maxAttempts: 2, outcomes: []string{"SUCCEEDED"},
		prompt: fmt.Sprintf("killed %s %s [sim:%s]", m, name, fault),
	}
	if k.provider == "luma-agents" { // Without callbacks, the outcome of a cut call stays unknown.
		o.outcomes = append(o.outcomes, "FAILED/OUTCOME_UNKNOWN")
	}
	k.orders = append(k.orders, o)
	return o
}

// send submits in the background, since the replica may die before it answers.
func (k *killer) send(ctx context.Context, o order) {
	client := k.dial()
	k.work.Go(func() {
		if _, err := k.submit(ctx, client, o); err != nil {
			k.t.Errorf("submit %q: %v", o.requestID, err)
		}
	})
}

// check checks what the audit cannot: that every task that the provider accepted has succeeded, if the provider has
// callbacks, and that none had a second attempt.
func (k *killer) check(ctx context.Context) {
	k.t.Helper()
	for _, o := range k.orders {
		var state, attempt string
		var attempts int
		const find = `SELECT task.state, attempt.state, count(*) OVER () FROM task JOIN attempt ON attempt.task_id = task.id WHERE request_id = $1`
		if err := k.trap.conn.QueryRow(ctx, find, o.requestID).Scan(&state, &attempt, &attempts); err != nil {
			k.t.Fatalf("task %q: %v", o.requestID, err)
		}
		want := "SUCCEEDED with an attempt that is SUCCEEDED"
		switch taken := k.took(o); {
		case !taken && k.provider != "luma-agents":
			want = "RUNNING with an attempt that is UNCONFIRMED" // The intent is recorded, and the request never left.
		case k.provider == "luma-agents" && state != "SUCCEEDED": // A later kill may have affected it, too.
			want = "FAILED with an attempt that is LOST"
		}
		if got := fmt.Sprintf("%s with an attempt that is %s", state, attempt); got != want || attempts != 1 {
			k.t.Errorf("killed %s, the task is %s, one of %d; want %s", o.requestID, got, attempts, want)
		}
	}
}

// took reports whether the provider accepted a task.
func (k *killer) took(o order) bool {
	return slices.ContainsFunc(k.fleet.provider.Ledger(), func(e sim.Entry) bool { return e.Prompt == o.prompt })
}

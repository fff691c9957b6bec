//go:build soak

package faults_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// The size of the long run. For a shorter run, reduce all of them: it has about 1.5 kills and six tasks a second.
var (
	soakKills    = flag.Int("kills", 1000, "how many replicas are killed")
	soakTasks    = flag.Int("tasks", 5000, "how many tasks are submitted")
	soakOver     = flag.Duration("over", 13*time.Minute, "how long the submissions take")
	soakReplicas = flag.Int("replicas", 3, "how many replicas the fleet has")
	soakWatchers = flag.Int("watchers", 60, "how many tasks are watched at a time")
	soakReport   = flag.String("report", "", "file to write the report to")
)

// clockTick is how often a process reads the offset of its clock.
const clockTick = `100 * time.Millisecond`

// The long run sets the clocks of processes forward and back: the package time itself is built with an adjustable wall
// clock, so that all code in the process sees the same time.
//
// Its program has the waits of a release.
func init() {
	allSteps, connections = true, "20"
	// A firewall of the provider always refuses the task. The task is at fault, and others are not delayed.
	scenarios = append(scenarios, scenario{fault: "html403", outcomes: []string{"FAILED/PROVIDER_REJECTED"}, rare: true})
	shorterWaits = nil
	outlast = waits{processing: 30 * time.Second, answer: 20 * time.Second, silence: 13 * time.Second, late: 14 * time.Second}
	changes = append(changes, change{
		file: "$GOROOT/src/time/time.go",
		old:  "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}",
		new:  "\tsec, nsec, mono := runtimeNow()\n\tsec += Skew.Load()\n\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}",
	}, change{
		file: "$GOROOT/src/time/skew.go",
		new:  "package time\n\nimport \"sync/atomic\"\n\n// Skew is by how many seconds the wall clock is ahead.\nvar Skew atomic.Int64\n",
	}, change{
		file: "../../../cmd/refract/skew.go",
		new: `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

func init() {
	look := func() {
		text, err := os.ReadFile(os.Getenv("` + clockVariable + `"))
		if seconds, parseErr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && parseErr == nil {
			time.Skew.Store(seconds)
		}
	}
	look()
	go func() {
		for range time.Tick(` + clockTick + `) {
			look()
		}
	}()
}
`,
	})
}

// skews are the clock offsets in seconds.
var skews = []int{0, 20, -20, 200, -200, 420, -420, 3600, -3600}

// step sets the clock of a replica.
func (c *chaos) step(_ context.Context, r *replica) {
	c.setClock(r, skews[c.random.IntN(len(skews))])
	c.done.add("steps of a clock", 1)
}

func (c *chaos) setClock(r *replica, seconds int) {
	if err := os.WriteFile(r.clock, []byte(strconv.Itoa(seconds)), 0o600); err != nil {
		c.t.Error(err)
	}
}

// TestSoak is the long run: a thousand kills over five thousand tasks, with every other fault in between, and clocks
// that differ by minutes.
func TestSoak(t *testing.T) {
	s := seed(t)
	ctx, cancel := context.WithTimeout(t.Context(), *soakOver+30*time.Minute)
	defer cancel()
	f := newFleet(t, fleetConfig{
		replicas: *soakReplicas, databaseURL: startDatabase(t), tenants: runTenants,
		limits: map[string]audit.Limit{
			"kie":         {Submissions: 12, Window: 2 * time.Second, InFlight: 80},
			"luma":        {Submissions: 10, Window: 2 * time.Second, InFlight: 80},
			"luma-agents": {Submissions: 10, Window: 2 * time.Second, InFlight: 400}, // A LOST attempt counts as in flight for 20 minutes.
		},
		sim:      sim.Config{Script: (&firstAnswers{seen: map[string]bool{}}).script},
		profiles: profiles.Set{Kie: kie.Profile{CallbackSpacing: 2 * time.Second}, Luma: luma.Profile{CallbackSpacing: 2 * time.Second}},
	})
	c := &chaos{
		fleet: f, random: rand.New(rand.NewPCG(s, 1)), gap: 300 * time.Millisecond, storm: 12 * time.Second, calm: 8 * time.Second,
		kills: *soakKills, executed: make(chan struct{}), plan: slices.Concat(planOf(30), []fault{(*chaos).step, (*chaos).step}),
	}
	for i, r := range f.replicas {
		c.setClock(r, []int{0, 420, -420}[i%3])
	}
	f.start(ctx)
	f.subscribe(ctx, randomOf(s))
	report := f.random(ctx, load{
		tasks: *soakTasks, over: *soakOver, watchers: *soakWatchers, cancels: 50, retries: 4,
	}, c, &generator{random: rand.New(rand.NewPCG(s, 2)), rare: 3, used: map[string]int{}, tenants: runTenants})
	if *soakReport != "" {
		if err := os.WriteFile(*soakReport, []byte(report.String()), 0o600); err != nil {
			t.Error(err)
		}
	}
}

package faults_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/refract-video/refract/internal/sim"
)

// dish is something that the provider may do with a task, and how the task may end then. What kills and outages add
// to that is in order.
type dish struct {
	fault    string // As the simulator spells it, or the code that the first submission is answered with.
	first    int
	outcomes []string // Empty means success.
	without  string   // The provider that does not know the fault, or meets it otherwise.
	only     string   // The one provider that knows it.
	rare     bool     // It leaves an attempt behind that takes room at the provider for long.
}

// menu is what providers do beside what they should.
var menu = []dish{
	// The answer to the submission.
	{fault: "delay=700ms"},
	{fault: "drop-after", without: "luma-agents"},
	{fault: "truncate", without: "luma-agents"},
	{fault: "drop-after", only: "luma-agents", outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{fault: "drop", outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{first: 429},
	{first: 500, outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{first: 400, outcomes: []string{"FAILED/INPUT_REJECTED"}},
	{first: 404, outcomes: []string{"FAILED/PROVIDER_REJECTED"}},
	// The generation.
	{fault: "fail", outcomes: []string{"FAILED/PROVIDER_FAILED"}},
	{fault: "create-fail", only: "kie", outcomes: []string{"FAILED/PROVIDER_FAILED"}},
	{fault: "fail=content_moderated", only: "luma-agents", outcomes: []string{"FAILED/CONTENT_MODERATED"}},
	{fault: "invisible=1s"},
	{fault: "lag=2s"},
	{fault: "results=3", without: "luma"},
	// The callback.
	{fault: "never", without: "luma-agents"},
	{fault: "late=2s", without: "luma-agents"},
	{fault: "early", without: "luma-agents"},
	{fault: "duplicate=3", without: "luma-agents"},
	{fault: "conflict", without: "luma-agents"},
	{fault: "fail,conflict", without: "luma-agents", outcomes: []string{"FAILED/PROVIDER_FAILED"}},
	{fault: "forge-urls", without: "luma-agents"},
	{fault: "forge-code=500", without: "luma-agents"},
	{fault: "fail,forge-code=200", without: "luma-agents", outcomes: []string{"FAILED/PROVIDER_FAILED"}},
	{fault: "null-data", without: "luma-agents"},
	{fault: "empty-callback", without: "luma-agents"},
	{fault: "undeliverable", without: "luma-agents"},
	{fault: "regress", only: "luma"},
	{fault: "bad-signature", only: "kie"},
	{fault: "no-signature", only: "kie"},
	{fault: "stale", only: "kie"},
	{fault: "prompt-object", only: "kie"},
	// The result.
	{fault: "expired", without: "luma"},
	{fault: "once", without: "luma"},
	{fault: "slow=1s"},
	{fault: "html-result", outcomes: []string{"FAILED/OUTPUT_INVALID"}},
}

// serves tells whether a provider has a dish.
func (d dish) serves(provider string) bool {
	return d.without != provider && (d.only == "" || d.only == provider)
}

// kitchen makes the orders of a run.
type kitchen struct {
	random *rand.Rand
	rare   int // How many rare dishes of a kind are served at most.
	served map[string]int
	made   int
}

// next returns an order for the next provider in turn.
func (k *kitchen) next() order {
	provider := providers[k.made%len(providers)]
	k.made++
	d := k.choose(provider)
	processing := 100 + k.random.IntN(1500)
	if provider == "kie" {
		processing += 1500 // So that it is what is in flight that holds it back, and at the others the window.
	}
	o := order{
		requestID: fmt.Sprintf("order-%d", k.made), provider: provider, maxAttempts: 1,
		outcomes: slices.Clone(d.outcomes),
		prompt:   fmt.Sprintf("order %d [sim:processing=%dms", k.made, processing),
	}
	if d.fault != "" {
		o.prompt += "," + d.fault
	}
	o.prompt += "]"
	if d.first != 0 {
		o.prompt += fmt.Sprintf(" [first:%d]", d.first)
	}
	if len(o.outcomes) == 0 {
		o.outcomes = []string{"SUCCEEDED"}
	}
	if provider == "luma-agents" { // Without callbacks nobody tells what became of a call that was cut.
		o.outcomes = append(o.outcomes, "FAILED/OUTCOME_UNKNOWN")
	}
	return o
}

// choose returns a dish that the provider serves; every fourth is as it should be.
func (k *kitchen) choose(provider string) dish {
	if k.random.IntN(4) == 0 {
		return dish{}
	}
	for {
		d := menu[k.random.IntN(len(menu))]
		key := provider + d.fault + strconv.Itoa(d.first)
		if d.serves(provider) && (!d.rare || k.served[key] < k.rare) {
			k.served[key]++
			return d
		}
	}
}

// firsts answers the first submission of a task otherwise than the following ones.
type firsts struct {
	mu   sync.Mutex
	seen map[string]bool
}

var firstCode = regexp.MustCompile(`\[first:(\d+)\]`)

// script is a sim.Config.Script.
func (f *firsts) script(s sim.Submission) sim.Script {
	script := s.Directives
	code := firstCode.FindStringSubmatch(s.Prompt)
	if code == nil {
		return script
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.seen[s.Prompt] {
		f.seen[s.Prompt] = true
		script.Code, _ = strconv.Atoi(code[1])
	}
	return script
}

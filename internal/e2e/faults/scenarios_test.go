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

// scenario is a possible behavior of the provider with a task, and the allowed ends of the task. Ends that kills and
// outages cause are allowed in addition.
type scenario struct {
	fault    string   // A directive of the simulator, or empty.
	first    int      // The HTTP status of the answer to the first submission; 0 means the usual one.
	outcomes []string // Empty means success.
	without  string   // The provider that does not have the fault, or has other ends with it.
	only     string   // The only provider that has it.
	rare     bool     // It leaves an attempt that counts as in flight for long.
}

// scenarios are the faults of providers.
var scenarios = []scenario{
	// The answer to the submission.
	{fault: "delay=700ms"},
	{fault: "drop-after", without: "luma-agents"},
	{fault: "truncate", without: "luma-agents"},
	{fault: "drop-after", only: "luma-agents", outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{fault: "drop", outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{first: 429},
	{first: 500, outcomes: []string{"FAILED/OUTCOME_UNKNOWN"}, rare: true},
	{first: 400, outcomes: []string{"FAILED/INPUT_REJECTED"}},
	{first: 418, outcomes: []string{"FAILED/PROVIDER_REJECTED"}},
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

// serves reports whether a provider has a scenario.
func (d scenario) serves(provider string) bool {
	return d.without != provider && (d.only == "" || d.only == provider)
}

// generator generates the orders of a run.
type generator struct {
	random  *rand.Rand
	rare    int // The maximum number of uses of a rare scenario.
	used    map[string]int
	made    int
	tenants []string // They submit in turn, and every fourth task has a webhook_uri. Empty means the default tenant.
}

// next returns an order for the next provider in turn.
func (k *generator) next() order {
	provider := providers[k.made%len(providers)]
	k.made++
	d := k.choose(provider)
	processing := 100 + k.random.IntN(1500)
	if provider == "kie" {
		processing += 1500 // So kie is limited by attempts in flight, and the others by the window.
	}
	o := order{
		requestID: fmt.Sprintf("order-%d", k.made), provider: provider, maxAttempts: 1,
		outcomes: slices.Clone(d.outcomes),
		prompt:   fmt.Sprintf("order %d [sim:processing=%dms", k.made, processing),
	}
	if n := len(k.tenants); n > 0 {
		o.tenant, o.own = k.tenants[k.made%n], k.random.IntN(4) == 0
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
	if provider == "luma-agents" { // Without callbacks, the outcome of a cut call stays unknown.
		o.outcomes = append(o.outcomes, "FAILED/OUTCOME_UNKNOWN")
	}
	return o
}

// choose returns a scenario that the provider has; every fourth has no fault.
func (k *generator) choose(provider string) scenario {
	if k.random.IntN(4) == 0 {
		return scenario{}
	}
	for {
		d := scenarios[k.random.IntN(len(scenarios))]
		key := provider + d.fault + strconv.Itoa(d.first)
		if d.serves(provider) && (!d.rare || k.used[key] < k.rare) {
			k.used[key]++
			return d
		}
	}
}

// firstAnswers answers the first submission of a task differently from the following ones.
type firstAnswers struct {
	mu   sync.Mutex
	seen map[string]bool
}

var firstCode = regexp.MustCompile(`\[first:(\d+)\]`)

// script is a sim.Config.Script.
func (f *firstAnswers) script(s sim.Submission) sim.Script {
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

// Package audit checks a run of Refract from outside: by what the provider saw, what the database and the bucket
// contain, what watchers received and what the processes logged.
//
// It shares no code with the service: it imports none of its packages, and has its own knowledge of the schema, of the
// wire format of the simulator and of the form of URL tokens. A mistake in the service is therefore not repeated here.
// [Load] collects the facts of a run, [Facts.Check] compares them with the numbered promises of the design, and
// [Report] is the readable result.
//
// Two promises cannot be seen from outside: that the service is fair (10), and that it drains in order (12).
package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is a broken promise.
type Violation struct {
	Promise int    // Its number in the design; 0 for faults outside all promises, such as a crash.
	Check   string // The name of the check.
	Detail  string // The finding, with ids to look it up.
}

// String returns the violation as one line.
func (v Violation) String() string {
	return fmt.Sprintf("promise %d, %s: %s", v.Promise, v.Check, v.Detail)
}

// Count is a line of the report.
type Count struct {
	Name string
	N    int
}

// Report is the outcome of an audit.
type Report struct {
	Counts     []Count
	Violations []Violation
}

// mostShown bounds how many violations of one check are printed.
const mostShown = 10

// String returns the report as a table with a verdict in the last line.
func (r Report) String() string {
	var b strings.Builder
	width := 0
	for _, c := range r.Counts {
		width = max(width, len(c.Name))
	}
	for _, c := range r.Counts {
		fmt.Fprintf(&b, "  %-*s %8d\n", width, c.Name, c.N)
	}
	shown := map[string]int{}
	for _, v := range r.Violations {
		if shown[v.Check]++; shown[v.Check] <= mostShown {
			fmt.Fprintf(&b, "  VIOLATION of %s\n", v)
		}
	}
	if len(r.Violations) == 0 {
		fmt.Fprintf(&b, "audit: PASSED, %d checks, no violation\n", len(checks))
	} else {
		fmt.Fprintf(&b, "audit: FAILED, %d violations in %d of %d checks\n", len(r.Violations), len(shown), len(checks))
	}
	return b.String()
}

// check is one property of a run.
type check struct {
	promise int
	name    string
	run     func(f *Facts, fail func(format string, args ...any))
}

// checks are all checks.
var checks = slices.Concat(submitChecks, paymentChecks, historyChecks, outcomeChecks, limitChecks, secretChecks, webhookChecks)

// Check compares the facts with all promises.
func (f *Facts) Check() Report {
	f.index()
	r := Report{Counts: f.counts()}
	for _, c := range checks {
		c.run(f, func(format string, args ...any) {
			r.Violations = append(r.Violations, Violation{c.promise, c.name, fmt.Sprintf(format, args...)})
		})
	}
	return r
}

// EveryCheck returns the promise number of each check, by name.
func EveryCheck() map[string]int {
	all := make(map[string]int, len(checks))
	for _, c := range checks {
		all[c.name] = c.promise
	}
	return all
}

// Package audit judges a run of Refract from outside: by what the provider saw, what the database and the bucket
// hold, what watchers were told and what the processes logged.
//
// It shares no code with the service: it imports none of its packages and knows the schema, the wire format of the
// simulator and the form of URL tokens by itself, so that a mistake there is not repeated here. [Load] gathers the
// facts of a run, [Facts.Check] holds them against the promises of the design, each by its number, and [Report] is
// what a person reads.
//
// What can't be seen from outside is not judged: that the service is fair (10), and that it drains in order (12).
package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is a promise that was not kept.
type Violation struct {
	Promise int    // Its number in the design; 0 for what no promise has to say, such as a crash.
	Check   string // What was looked at.
	Detail  string // What was found, with the ids to look it up by.
}

// String tells all of it in one line.
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

// String is the report as a table that ends in a verdict of one line.
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

// checks are all of them.
var checks = slices.Concat(submitChecks, paymentChecks, historyChecks, outcomeChecks, limitChecks, secretChecks)

// Check holds the facts against all promises.
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

// EveryCheck names the checks, with the number of the promise that each is about.
func EveryCheck() map[string]int {
	all := make(map[string]int, len(checks))
	for _, c := range checks {
		all[c.name] = c.promise
	}
	return all
}

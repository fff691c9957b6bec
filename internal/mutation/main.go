// Command mutation proves that the tests named in docs/guarantees.md fail without the mechanisms that they test.
//
// It has a table of mutations. A mutation replaces a part of one source file and names the tests that must then fail.
// The program first runs the named tests of each package on unchanged code, where they must pass. Then it runs each
// test on the mutated code, where it must fail. The go command reads the mutated file through an overlay, so the
// checkout never changes. An overlay does not reach a program that a test builds with its own overlay, as the tests of
// internal/e2e/faults do.
//
// Run it from the root of the checkout. It exits with status 1 when a test passes on mutated code, a mutation no longer
// fits the source, mutated code does not build, or a test ends without a verdict.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"time"
)

func main() {
	pattern := flag.String("run", "", "run only the mutations and tests that match this regular expression")
	list := flag.Bool("list", false, "list mutations and tests, and run nothing")
	timeout := flag.Duration("timeout", 5*time.Minute, "timeout of a test on mutated code; all tests of a package on unchanged code get four times this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *pattern, *list, *timeout, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pattern string, list bool, timeout time.Duration, out io.Writer) error {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	selected := choose(mutations, wanted)
	if list {
		for _, m := range selected {
			for _, t := range m.tests {
				_, _ = fmt.Fprintf(out, "%-34s %s\n", m, t)
			}
		}
		return nil
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "refract-mutation-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return (&prover{root: root, scratch: scratch, timeout: timeout, out: out, test: goTest(root)}).prove(ctx, selected)
}

// choose returns the mutations, each with only those tests whose line of -list matches a pattern.
func choose(all []mutation, wanted *regexp.Regexp) []mutation {
	var chosen []mutation
	for _, m := range all {
		m.tests = slices.DeleteFunc(slices.Clone(m.tests), func(t test) bool { return !wanted.MatchString(m.String() + " " + t.String()) })
		if len(m.tests) > 0 {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// prover runs mutations one after the other.
type prover struct {
	root       string // Of the checkout.
	scratch    string // The folder of mutated files.
	timeout    time.Duration
	out        io.Writer
	test       func(ctx context.Context, tests []test, overlay string, timeout time.Duration) map[test]verdict
	unexpected int // The number of unexpected verdicts.
}

// prove runs the tests of the mutations on unchanged code, and then on each mutation. It prints a line for each test
// and returns an error unless every mutation makes each of its tests fail.
func (p *prover) prove(ctx context.Context, selected []mutation) error {
	overlays := make([]string, len(selected))
	unchanged := map[string][]test{} // By package.
	for i, m := range selected {
		var err error
		if overlays[i], err = m.overlay(p.root, p.scratch); err != nil {
			p.say(m.String(), m.file, verdict{stale, err.Error()}, red, time.Now())
		}
		for _, t := range m.tests {
			if !slices.Contains(unchanged[t.pkg], t) {
				unchanged[t.pkg] = append(unchanged[t.pkg], t)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(unchanged)) {
		if p.unexpected == 0 {
			p.runTests(ctx, "unchanged", unchanged[pkg], "", 4*p.timeout, green)
		}
	}
	if p.unexpected > 0 {
		return errors.New("nothing was mutated: a mutation does not fit the source, or a test fails on unchanged code")
	}
	for i, m := range selected {
		for _, t := range m.tests {
			p.runTests(ctx, m.String(), []test{t}, overlays[i], p.timeout, red)
		}
	}
	if ctx.Err() == nil && p.unexpected > 0 {
		return fmt.Errorf("%d tests do not fail as they must", p.unexpected)
	}
	return ctx.Err()
}

// runTests runs tests of one package and prints how each ended.
func (p *prover) runTests(ctx context.Context, name string, tests []test, overlay string, timeout time.Duration, want word) {
	start := time.Now()
	verdicts := p.test(ctx, tests, overlay, timeout)
	for _, t := range tests {
		if ctx.Err() == nil {
			p.say(name, t.String(), verdicts[t], want, start)
		}
	}
}

func (p *prover) say(name, test string, v verdict, want word, start time.Time) {
	text := string(v.word)
	if v.word == want {
		text += " as expected"
	} else {
		p.unexpected++
	}
	if v.word == green && want == red {
		text = "STILL GREEN"
	}
	if v.detail != "" {
		text += " (" + v.detail + ")"
	}
	_, _ = fmt.Fprintf(p.out, "%-34s %-66s %s %.1fs\n", name, test, text, time.Since(start).Seconds())
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutation removes one mechanism from the code.
type mutation struct {
	promise int
	name    string // The behavior of the code without the mechanism.
	file    string // Relative to the root of the checkout.
	old     string // Occurs exactly once in the file.
	new     string
	tests   []test // Each must fail.
}

// test is a test with its subtests.
type test struct {
	pkg  string // Relative to the root of the checkout.
	name string
}

func (m mutation) String() string { return fmt.Sprintf("%02d %s", m.promise, m.name) }
func (t test) String() string     { return t.pkg + " " + t.name }

// verdict is how a test ended.
type verdict struct {
	word   word
	detail string // The evidence.
}

type word string

const (
	red    word = "red"
	green  word = "green"
	broken word = "DOES NOT BUILD"
	lost   word = "NO VERDICT" // The test did not run to an end, and the timeout does not name it.
	stale  word = "STALE"
)

// apply returns the text of the mutated file.
func (m mutation) apply(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return "", fmt.Errorf("the file holds %q %d times, want once", m.old, n)
	}
	return strings.Replace(string(source), m.old, m.new, 1), nil
}

// overlay writes the mutated file and an overlay that replaces the original with it. It returns the path of the
// overlay.
func (m mutation) overlay(root, scratch string) (string, error) {
	text, err := m.apply(root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		return "", err
	}
	mutated, overlay := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, m.file): mutated}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// goTest returns a function that runs tests of one package of a checkout.
func goTest(root string) func(context.Context, []test, string, time.Duration) map[test]verdict {
	return func(ctx context.Context, tests []test, overlay string, timeout time.Duration) map[test]verdict {
		names := make([]string, len(tests))
		for i, t := range tests {
			names[i] = t.name
		}
		args := []string{"test", "-json", "-vet=off", "-count=1", "-timeout=" + timeout.String(), "-run=^(" + strings.Join(names, "|") + ")$"}
		env := os.Environ()
		if overlay != "" {
			args = append(args, "-failfast")
			// As a flag of go test, the overlay would not reach a program that a test builds.
			flags, _ := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
			env = append(env, "GOFLAGS="+strings.TrimSpace(string(flags))+" -overlay="+overlay)
		}
		args = append(args, "./"+tests[0].pkg)
		if usesRapid[tests[0].pkg] {
			args = append(args, "-rapid.nofailfile") // Otherwise rapid writes the failure into the checkout.
		}
		cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // The arguments are those of the table.
		cmd.Dir, cmd.Env = root, env
		output, _ := cmd.Output() // The output says whether tests failed.
		return judge(string(output), tests)
	}
}

// complaint matches the messages of a failed test, a panic and the compiler.
var complaint = regexp.MustCompile(`^panic: |^fatal error: |^\S+\.go:\d+(:\d+)?: `)

// judge reads the verdicts on tests of one package from the output of go test -json; see go doc test2json.
func judge(output string, tests []test) map[test]verdict {
	ended := map[string]string{} // By test: pass, fail or skip.
	why := map[string]string{}   // The first complaint of each test, and of the package under "".
	named := map[string]bool{}   // Named by the panic of a timeout.
	unbuilt, timedOut := false, false
	for line := range strings.Lines(output) {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		name, _, _ := strings.Cut(e.Test, "/")
		text := strings.TrimSpace(e.Output)
		if why[name] == "" && complaint.MatchString(text) && !strings.Contains(text, ": testdbconf: ") { // The test's database.
			why[name] = fmt.Sprintf("%.120s", text)
		}
		timedOut = timedOut || strings.HasPrefix(text, "panic: test timed out")
		switch running, _, _ := strings.Cut(text, " ("); {
		case e.Action == "build-fail":
			unbuilt = true
		case e.Action != "output" && e.Test != "":
			ended[e.Test] = e.Action
		case timedOut: // "TestX/a (3m0s)" is running.
			running, _, _ = strings.Cut(running, "/")
			named[running] = true
		}
	}
	verdicts := make(map[test]verdict, len(tests))
	for _, t := range tests {
		switch {
		case unbuilt:
			verdicts[t] = verdict{broken, why[""]}
		case timedOut && named[t.name]:
			verdicts[t] = verdict{red, "the panic of the timeout names it"}
		case ended[t.name] == "fail":
			verdicts[t] = verdict{red, why[t.name]}
		case ended[t.name] == "pass":
			verdicts[t] = verdict{word: green}
		default:
			verdicts[t] = verdict{lost, why[""]}
		}
	}
	return verdicts
}

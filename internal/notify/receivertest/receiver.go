// Package receivertest runs the receivers of docs/webhooks.md as processes, so that tests send them what the service sends. They verify
// requests with the libraries that other teams use: that of package client, the npm package standardwebhooks, and Python's hmac.
//
// Only tests import it.
package receivertest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ModulesVar is the environment variable with the folder of the modules that docs/examples/node/package.json names.
const ModulesVar = "REFRACT_NODE_MODULES"

// Receiver is a process that receives webhooks.
type Receiver struct {
	// URL is its address: http on loopback.
	URL string
	// Events has a line for each event that was verified, in the order of the requests: the id, the type, the state of the task and
	// the number of its outputs. It is closed when the process ends.
	Events <-chan string
}

// Go starts docs/examples/webhook, which is built first.
func Go(t testing.TB, secret string) *Receiver {
	t.Helper()
	program := filepath.Join(t.TempDir(), "webhook")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./docs/examples/webhook") //nolint:gosec // A program of this repository.
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}
	return start(t, secret, program)
}

// Node compiles docs/examples/node/webhook.ts, with types checked, and starts it. It skips the test where Node or the modules are
// missing.
func Node(t testing.TB, secret string) *Receiver {
	t.Helper()
	modules := os.Getenv(ModulesVar)
	if modules == "" {
		t.Skip(ModulesVar + " names no folder with standardwebhooks and typescript")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node")
	}
	// Both the compiler and Node look for modules next to the program and above it.
	folder := t.TempDir()
	program, err := os.ReadFile(filepath.Join(root(t), "docs/examples/node/webhook.ts"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "webhook.ts"), program, 0o600) //nolint:gosec // The folder is the test's own.
	}
	if err == nil {
		err = os.Symlink(modules, filepath.Join(folder, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	compile := exec.CommandContext(t.Context(), "node", "node_modules/typescript/bin/tsc",
		"--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "webhook.ts")
	compile.Dir = folder
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", compile.Args, err, out)
	}
	return start(t, secret, "node", filepath.Join(folder, "webhook.js"))
}

// Python starts docs/examples/python/webhook.py. It skips the test where Python is missing.
func Python(t testing.TB, secret string) *Receiver {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	return start(t, secret, "python3", filepath.Join(root(t), "docs/examples/python/webhook.py"))
}

// start starts a program and waits until it listens. The end of the test kills it.
func start(t testing.TB, secret string, command ...string) *Receiver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // A program of this repository.
	cmd.Env = append(os.Environ(), "ADDRESS=127.0.0.1:0", "REFRACT_WEBHOOK_SECRET="+secret)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatalf("start %v: %v", command, err)
	}
	lines := make(chan string, 1024) // The program does not wait for a test that does not read.
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range lines { // Wait closes the pipe, so everything is read before.
		}
		_ = cmd.Wait() // It was killed.
		if t.Failed() {
			t.Logf("%v wrote:\n%s", command, errs.String())
		}
	})
	url, ok := <-lines
	if !ok || !strings.HasPrefix(url, "http://") {
		t.Fatalf("%v does not listen: %q", command, url)
	}
	return &Receiver{URL: url, Events: lines}
}

// root returns the folder of the repository, above that of the test.
func root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(folder, "go.mod")); missing == nil {
			return folder
		}
		above := filepath.Dir(folder)
		if above == folder {
			err = fmt.Errorf("there is no go.mod above the test")
		}
		folder = above
	}
	t.Fatal(err)
	return ""
}

//go:build languages

package client_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/server"
)

// The examples in other languages run against a service. `.ci/run` calls these tests with -tags languages, and installs what the
// examples need.

// TestLanguages_NodeWatchesOverGRPC runs docs/examples/node with the modules in the folder that REFRACT_NODE_MODULES names.
func TestLanguages_NodeWatchesOverGRPC(t *testing.T) {
	t.Parallel()
	modules := os.Getenv("REFRACT_NODE_MODULES")
	if modules == "" {
		t.Skip("REFRACT_NODE_MODULES names no folder with @grpc/grpc-js and @grpc/proto-loader")
	}
	contract, err := filepath.Abs("../gen/refract.binpb")
	if err != nil {
		t.Fatal(err)
	}
	replica, token := running(t)
	out := example(t, "NODE_PATH="+modules+" REFRACT_CONTRACT="+contract+" REFRACT_ADDRESS="+replica.GRPCAddr()+" REFRACT_TOKEN="+token,
		"node", "../docs/examples/node/submit.js")
	link := regexp.MustCompile(`(?m)^http://\S+/outputs/0 [0-9a-f]{64}$`)
	if got := link.ReplaceAllString(out, "output"); got != events+"output\n" {
		t.Errorf("printed:\n%s", out)
	}
}

// TestLanguages_PythonWatchesOverSSE runs docs/examples/python.
func TestLanguages_PythonWatchesOverSSE(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	replica, token := running(t)
	out := example(t, "REFRACT_URL=http://"+replica.HTTPAddr()+" REFRACT_TOKEN="+token, "python3", "../docs/examples/python/submit.py")
	if got := regexp.MustCompile(`(?m)^\d+ bytes$`).ReplaceAllString(out, "output"); got != events+"output\n" {
		t.Errorf("printed:\n%s", out)
	}
}

// events is what both examples print of the events of a task.
const events = "1 TASK_STATE_QUEUED\n2 TASK_STATE_SUBMITTING\n3 TASK_STATE_RUNNING\n4 TASK_STATE_SAVING\n5 TASK_STATE_SUCCEEDED\n"

// running starts a service of the test's own.
func running(t *testing.T) (*server.Server, string) {
	t.Helper()
	config, token := configure(t)
	return startReplica(t, config), token
}

// example runs a program with an environment and returns what it printed.
func example(t *testing.T, env string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // It hangs.
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), strings.Fields(env)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, out, errs.String())
	}
	return string(out)
}

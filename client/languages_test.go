//go:build languages

package client_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/refract-video/refract/client"
	"github.com/refract-video/refract/internal/notify/receivertest"
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

// The receivers of docs/webhooks.md verify requests as the Standard Webhooks library for Go signs them.

// TestLanguages_GoVerifiesWebhooks runs docs/examples/webhook.
func TestLanguages_GoVerifiesWebhooks(t *testing.T) {
	t.Parallel()
	verifies(t, receivertest.Go)
}

// TestLanguages_TypeScriptVerifiesWebhooks runs docs/examples/node/webhook.ts, which uses the npm package standardwebhooks.
func TestLanguages_TypeScriptVerifiesWebhooks(t *testing.T) {
	t.Parallel()
	verifies(t, receivertest.Node)
}

// TestLanguages_PythonVerifiesWebhooks runs docs/examples/python/webhook.py.
func TestLanguages_PythonVerifiesWebhooks(t *testing.T) {
	t.Parallel()
	verifies(t, receivertest.Python)
}

// verifies sends requests to a receiver and checks which of them it accepts.
func verifies(t *testing.T, start func(testing.TB, string) *receivertest.Receiver) {
	t.Helper()
	key := func(b byte) *standardwebhooks.Webhook {
		key, err := standardwebhooks.NewWebhookRaw(bytes.Repeat([]byte{b}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	current, previous := key(1), key(2)
	receiver := start(t, "whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	body := `{"type":"task.succeeded","timestamp":"2026-11-30T21:43:13Z","data":{"id":"7","state":"TASK_STATE_SUCCEEDED","revision":"5",` +
		`"prompt":"Ein Zebra \"im\" Regen: 雨 🌧️","outputs":[{"downloadUri":"https://refract.example.com/x"}]}}`
	large := strings.Replace(body, "Zebra", strings.Repeat("z", client.MaxWebhookBytes), 1)
	sender := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 5 * time.Minute}} // It hangs.
	defer sender.CloseIdleConnections()
	for i, tt := range []struct {
		name    string
		id      string // Empty means one of its own.
		signers []*standardwebhooks.Webhook
		age     time.Duration
		signed  string
		sent    string
		want    int
	}{
		{"an event", "", []*standardwebhooks.Webhook{current}, 0, body, body, 204},
		{"an event during a rotation", "", []*standardwebhooks.Webhook{previous, current}, 0, body, body, 204},
		{"an event that took a minute", "", []*standardwebhooks.Webhook{current}, time.Minute, body, body, 204},
		{"a changed byte", "", []*standardwebhooks.Webhook{current}, 0, body, strings.Replace(body, "Zebra", "Cebra", 1), 400},
		{"an old timestamp", "", []*standardwebhooks.Webhook{current}, 6 * time.Minute, body, body, 400},
		{"a timestamp in the future", "", []*standardwebhooks.Webhook{current}, -6 * time.Minute, body, body, 400},
		{"a secret that was rotated out", "", []*standardwebhooks.Webhook{previous}, 0, body, body, 400},
		{"no signature", "", nil, 0, body, body, 400},
		{"a body that is too large", "", []*standardwebhooks.Webhook{current}, 0, large, large, 400},
		{"a body that begins later", "evt_7." + strconv.FormatInt(time.Now().Unix(), 10) + ".{", []*standardwebhooks.Webhook{current}, 0, body, body, 400},
		{"an event after all these", "", []*standardwebhooks.Webhook{current}, 0, body, body, 204},
	} {
		id, at := cmp.Or(tt.id, fmt.Sprintf("evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_%d", i+1)), time.Now().Add(-tt.age)
		var signatures []string
		for _, signer := range tt.signers {
			signature, err := signer.Sign(id, at, []byte(tt.signed))
			if err != nil {
				t.Fatal(err)
			}
			signatures = append(signatures, signature)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // It hangs.
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver.URL, strings.NewReader(tt.sent))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		req.Header.Set("webhook-signature", strings.Join(signatures, " "))
		if len(tt.sent) > client.MaxWebhookBytes { // A receiver refuses it before the body, whose rest would meet a closed connection.
			req.Header.Set("Expect", "100-continue")
		}
		resp, err := sender.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		_ = resp.Body.Close()
		// The receivers answer 400 or 413 to what is too large.
		if got := resp.StatusCode; got != tt.want && (got != http.StatusRequestEntityTooLarge || len(tt.sent) <= client.MaxWebhookBytes) {
			t.Errorf("%s: answered %d, want %d", tt.name, got, tt.want)
		}
		if tt.want != http.StatusNoContent {
			continue
		}
		select {
		case got := <-receiver.Events:
			if want := id + " task.succeeded TASK_STATE_SUCCEEDED 1"; got != want {
				t.Errorf("%s: handled %q, want %q", tt.name, got, want)
			}
		case <-ctx.Done():
			t.Errorf("%s: not handled", tt.name)
		}
	}
}

package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// TestWebhookCommands_RunAgainstTheService makes endpoints, receives what one task sends to them, and repeats it, by the command line.
func TestWebhookCommands_RunAgainstTheService(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	type request struct {
		path   string
		header http.Header
		body   []byte
	}
	requests := make(chan request, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- request{r.URL.Path, r.Header, body}
		_, _ = io.WriteString(w, "taken")
	}))
	t.Cleanup(receiver.Close)
	receive := func(secret map[string]string, eventType string) {
		t.Helper()
		for range len(secret) {
			select {
			case r := <-requests:
				verifier, err := standardwebhooks.NewWebhook(secret[r.path])
				if err != nil {
					t.Fatal(err)
				}
				var event struct{ Type string }
				if err := verifier.Verify(r.body, r.header); err != nil || json.Unmarshal(r.body, &event) != nil || event.Type != eventType {
					t.Errorf("%s received %s, %v, want %s", r.path, r.body, err, eventType)
				}
			case <-time.After(e2etest.Hung):
				t.Fatalf("no %s was received", eventType)
			}
		}
	}
	command := func(args ...string) string {
		t.Helper()
		exit, out, errs := e2etest.Run(t, append(append([]string{"webhook"}, args...), "--address="+ts.GRPCAddr(), "--token="+ts.Token)...)
		if exit != 0 {
			t.Fatalf("webhook %v: exit %d: %s", args, exit, errs)
		}
		return out
	}
	create := func(args ...string) *refractv1.CreateWebhookEndpointResponse {
		t.Helper()
		resp := &refractv1.CreateWebhookEndpointResponse{}
		if err := protojson.Unmarshal([]byte(command(append([]string{"create", "--json"}, args...)...)), resp); err != nil {
			t.Fatal(err)
		}
		return resp
	}

	all, forTasks := create(receiver.URL+"/all", "--event=task.succeeded"), create("--for-tasks")
	id := all.GetEndpoint().GetId()
	if out := command("test", id); !strings.HasPrefix(out, "200 after ") || !strings.HasSuffix(out, " | taken\n") {
		t.Errorf("test printed %q", out)
	}
	receive(map[string]string{"/all": all.GetSecret()}, "webhook.test")

	task := ts.Submit(t, "hooked", func(r *refractv1.SubmitTaskRequest) { r.WebhookUri = receiver.URL + "/own" })
	ts.End(t, task.GetId())
	secrets := map[string]string{"/all": all.GetSecret(), "/own": forTasks.GetSecret()}
	receive(secrets, "task.succeeded")
	if out := command("redeliver", "--task="+task.GetId(), "--yes"); out != "2 deliveries match\n2 events are sent again\n" {
		t.Errorf("redeliver printed %q", out)
	}
	receive(secrets, "task.succeeded")
	if out := command("deliveries", "--task="+task.GetId()); strings.Count(out, "task.succeeded") != 2 {
		t.Errorf("deliveries printed:\n%s", out)
	}
	if out := command("redeliver", "--failed", "--endpoint="+id, "--since=1h"); out != "0 deliveries match\n" {
		t.Errorf("redeliver of none printed %q", out)
	}

	command("rotate-secret", id, "--grace=0s")
	command("disable", id)
	if out := command("get", id); !strings.Contains(out, "disabled: REQUESTED") || strings.Contains(out, "whsec_") {
		t.Errorf("get printed:\n%s", out)
	}
	command("delete", id)
	if out := command("list"); strings.Contains(out, id) || !strings.Contains(out, forTasks.GetEndpoint().GetId()) {
		t.Errorf("list printed:\n%s", out)
	}
}

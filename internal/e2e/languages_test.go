//go:build languages

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// TestLanguages_TheOfficialVerifierOfJavaScriptAcceptsWebhooks verifies what a listener received with the modules in the folder that
// REFRACT_NODE_MODULES names. `.ci/run` calls this test with -tags languages, and installs them.
func TestLanguages_TheOfficialVerifierOfJavaScriptAcceptsWebhooks(t *testing.T) {
	t.Parallel()
	modules := os.Getenv("REFRACT_NODE_MODULES")
	if modules == "" {
		t.Skip("REFRACT_NODE_MODULES names no folder with standardwebhooks")
	}
	ts := e2etest.Start(t, nil)
	h := e2etest.StartHooks(t)
	s := h.Subscribe(t, ts, "acme", "javascript")
	id := ts.Submit(t, "A neon city in the rain – über 9000 <&> \u2028").GetId()
	event := fmt.Sprintf("evt_%s_%d", id, ts.End(t, id).GetRevision())
	before := s.AwaitEvent(t, event)
	h.Delivered(t, false)
	rotated, err := s.RotateWebhookSecret(ts.Ctx(t), &refractv1.RotateWebhookSecretRequest{EndpointId: s.ID, GracePeriod: durationpb.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	s.Redeliver(t, event)
	if err := h.Await(ts.Ctx(t), func() bool { return len(h.Requests(s.Name)) > 1 && h.Requests(s.Name)[1].Accepted() }); err != nil {
		t.Fatal(err)
	}
	after := h.Requests(s.Name)[1]

	type line struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		Ahead   int               `json:"ahead"`
	}
	verify := func(secret string, header http.Header, body string, ahead int) line {
		l := line{secret, map[string]string{}, body, ahead}
		for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
			l.Headers[name] = header.Get(name)
		}
		return l
	}
	var in bytes.Buffer
	for _, l := range []line{
		verify(s.Secret, before.Header, string(before.Body), 0),
		verify(rotated.GetSecret(), after.Header, string(after.Body), 0),
		verify(s.Secret, before.Header, strings.Replace(string(before.Body), "neon", "peon", 1), 0),
		verify(s.Secret, before.Header, string(before.Body), 6*60),
		verify(s.Secret, after.Header, string(after.Body), 0),
	} {
		if err := json.NewEncoder(&in).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "testdata/webhooks/verify.js")
	node.Env, node.Stdin = append(os.Environ(), "NODE_PATH="+modules), &in
	var errs strings.Builder
	node.Stderr = &errs
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs.String())
	}
	want := "accepted\naccepted\nNo matching signature found\nMessage timestamp too old\nNo matching signature found\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("the genuine requests, a changed byte, an old timestamp and a rotated-out secret (-want +got):\n%s", diff)
	}
}

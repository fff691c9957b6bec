//go:build languages

package fal_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// TestLanguages_TheOfficialClientOfFalWorksUnchanged runs testdata/node with the modules in the folder that
// REFRACT_FAL_NODE_MODULES names. The client is the published one; a setting of its own makes it call the simulator.
// `.ci/run` calls this test with -tags languages, and installs the client.
func TestLanguages_TheOfficialClientOfFalWorksUnchanged(t *testing.T) {
	t.Parallel()
	modules := os.Getenv("REFRACT_FAL_NODE_MODULES")
	if modules == "" {
		t.Skip("REFRACT_FAL_NODE_MODULES names no folder with @fal-ai/client")
	}
	w := simtest.Setup(t, nil)
	keys := keySet(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), simtest.Hung)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "testdata/node/client.js")
	node.Env = append(os.Environ(), "NODE_PATH="+modules, "FAL_KEY="+simtest.APIKey, "SIMULATOR="+w.Sim.URL(),
		"SOURCE="+simtest.SourceURL, "WEBHOOK="+w.Hook.Server.URL)
	node.WaitDelay = time.Minute
	var errs strings.Builder
	node.Stderr = &errs
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs.String())
	}
	const want = `{"step":"submit","status":"IN_QUEUE","position":0}
{"step":"status","status":"COMPLETED","logs":1,"metrics":"number"}
{"step":"result","same":true,"type":"video/mp4","size":SIZE}
{"step":"download","status":200,"size":SIZE}
{"step":"early result","status":400,"body":{"detail":"Request is still in progress"}}
{"step":"stream","last":"COMPLETED","type":"video/mp4"}
{"step":"failed","name":"ValidationError","status":422,"type":"content_policy_violation"}
{"step":"canceled","status":"COMPLETED","type":"client_cancelled"}
{"step":"canceled again","status":400,"body":{"status":"ALREADY_COMPLETED"}}
{"step":"withdrawn","name":"ApiError","status":404,"body":{"detail":"Application not found"}}
{"step":"upload","name":"small.mp4","bytes":1000,"whole":true}
{"step":"upload","name":"large.mp4","bytes":95420416,"whole":true}
`
	entries := w.Sim.Ledger()
	id := entries[0].TaskID
	size := len(sim.ResultClip(id, 0))
	if diff := cmp.Diff(strings.ReplaceAll(want, "SIZE", strconv.Itoa(size)), string(out)); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	if got := w.Callback(); signedBy(got.Header, got.Body, keys) < 0 || got.Header.Get("X-Fal-Webhook-Request-Id") != id {
		t.Errorf("webhook %v, %s", got.Header, got.Body)
	}
	first := entries[0]
	if first.Profile != fal.Name || first.Strength != "flex_1" || first.Header.Get("X-Fal-Request-Timeout") != "60" ||
		first.Header.Get("X-Fal-Object-Lifecycle-Preference") != `{"expiration_duration_seconds":86400}` {
		t.Errorf("ledger %+v", first)
	}
}

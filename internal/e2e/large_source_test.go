//go:build soak && linux

package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestSoak_ALargeClipGoesThroughRealProcesses moves a clip of 100 MB between processes: it is uploaded, passed to the
// provider, modified and downloaded. The test reports the memory that this takes, which it can read on Linux only.
func TestSoak_ALargeClipGoesThroughRealProcesses(t *testing.T) {
	provider, err := sim.Start(sim.Config{Source: sim.SourceFetch, Transform: sim.TransformNone}, simkie.Profile{WebhookKey: e2etest.WebhookKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	serve := e2etest.StartProcess(t,
		"--database-url="+postgrestest.URL(t), "--bucket=file://"+filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0", "--probe=on",
		"--kie-url="+provider.URL(), "--kie-api-key=any", "--kie-webhook-key="+e2etest.WebhookKey)
	clip, out := paddedClip(t, 100_000_000), filepath.Join(t.TempDir(), "result.mp4")
	began := time.Now()
	said, err := e2etest.Refract(t.Context(), t, "submit", "--address="+serve.GRPC, "--video="+clip, "--prompt=A neon city", "--wait", "-o", out).CombinedOutput()
	if err != nil {
		t.Fatalf("submit: %v\n%s", err, said)
	}
	t.Logf("took %s\n%s", time.Since(began), said)
	want, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(want)
	if !strings.Contains(string(said), hex.EncodeToString(sum[:])) {
		t.Errorf("the result is another file than was sent:\n%s", said)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(serve.Cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM") {
			t.Log("memory of the service at most:", strings.TrimSpace(line))
		}
	}
}

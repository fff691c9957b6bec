//go:build s3

package buckettest

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startS3 builds and starts versitygw in front of a folder. It has a module file of its own, which keeps its many
// dependencies out of ours; the first build takes minutes.
func startS3(t testing.TB) *S3 {
	t.Helper()
	path, folder := program(t), t.TempDir()
	for range 3 { // Another process may take the port in between.
		if endpoint, ok := startGateway(t, path, folder); ok {
			return &S3{
				ChecksSignatures: true, endpoint: endpoint,
				createBucket: func(name string) error { return os.Mkdir(filepath.Join(folder, name), 0o750) },
			}
		}
	}
	t.Fatal("the S3 server does not start; its log is above")
	return nil
}

// startGateway starts the server on a free port, and reports whether it came up there.
func startGateway(t testing.TB, path, folder string) (endpoint string, ok bool) {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	health := "/" + rand.Text()                                          // No other server on the port knows it.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, //nolint:gosec // Our own build.
		"--port", address, "--health", health, "--quiet", "posix", folder)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return "http://" + address, waitUp(t, "http://"+address+health, ended)
}

// waitUp waits until the server answers, for as long as its process lives, and reports whether it does. A process that hangs
// is the business of the timeout of the whole test run: how long a start takes depends on the machine.
func waitUp(t testing.TB, healthURL string, ended <-chan struct{}) bool {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, healthURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return false
		}
	}
}

// program returns the path of the server, built from the module that pins it.
func program(t testing.TB) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=internal/tools/versitygw.mod", "-n", "versitygw")
	cmd.Dir, cmd.Stderr = filepath.Dir(strings.TrimSpace(string(root))), os.Stderr
	path, err := cmd.Output()
	if err != nil {
		t.Fatalf("build the S3 server: %v", err)
	}
	return strings.TrimSpace(string(path))
}

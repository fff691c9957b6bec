package buckettest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
)

// S3 is an S3 server: a gateway in front of a folder, which checks signatures and knows uploads in parts. It runs in a process
// of its own until the test ends, and its module keeps its many dependencies to itself.
type S3 struct {
	endpoint string
	folder   string
	buckets  atomic.Int32
}

// StartS3 builds and starts the server. Building it takes minutes the first time.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "refract")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "refract-test-secret")
	s := &S3{folder: t.TempDir()}
	for range 3 { // Another process may take the port in between.
		if s.start(t) {
			return s
		}
	}
	t.Fatal("the S3 server does not start")
	return nil
}

func (s *S3) start(t testing.TB) bool {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program(t), //nolint:gosec // Our own build.
		"--port", address, "--health", "/healthz", "--quiet", "posix", s.folder)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=refract", "ROOT_SECRET_KEY=refract-test-secret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	s.endpoint = "http://" + address
	return s.up(t, ended)
}

// up waits until the server answers, and tells whether it does.
func (s *S3) up(t testing.TB, ended <-chan struct{}) bool {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.endpoint+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				tick.Stop()
				return true
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return false
		case <-timeout:
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

// NewBucket makes a bucket that holds nothing and returns its name and its URL.
func (s *S3) NewBucket(t testing.TB) (name, bucketURL string) {
	t.Helper()
	name = fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if err := os.Mkdir(filepath.Join(s.folder, name), 0o750); err != nil {
		t.Fatal(err)
	}
	q := url.Values{"endpoint": {s.endpoint}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	return name, "s3://" + name + "?" + q.Encode()
}

// Open opens a bucket that holds nothing, and closes it when the test ends.
func (s *S3) Open(t *testing.T) *media.Bucket {
	t.Helper()
	_, bucketURL := s.NewBucket(t)
	return Open(t, bucketURL)
}

// Open opens a bucket, and closes it when the test ends.
func Open(t testing.TB, bucketURL string) *media.Bucket {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bucket.Close(); err != nil {
			t.Error(err)
		}
	})
	return bucket
}

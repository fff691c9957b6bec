package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// fileServer serves one file and notes what it was requested. Each of its first answers is cut after that many
// bytes.
type fileServer struct {
	*httptest.Server
	content  []byte
	cuts     []int
	noRanges bool

	mu     sync.Mutex
	ranges []string
	tokens []string
}

func serveFile(t *testing.T, f *fileServer) *fileServer {
	t.Helper()
	f.content = make([]byte, 300_000)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(f.content)
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.ranges)
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	f.tokens = append(f.tokens, r.Header.Get("Authorization"))
	f.mu.Unlock()
	if f.noRanges {
		r.Header.Del("Range")
	}
	if n < len(f.cuts) {
		w = &cutter{ResponseWriter: w, left: f.cuts[n]}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// cutter breaks the connection after a number of bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) >= c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler) // How net/http lets a handler break a connection.
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

func (f *fileServer) output() *refractv1.Output {
	sum := sha256.Sum256(f.content)
	return &refractv1.Output{
		ContentType: "video/mp4", SizeBytes: int64(len(f.content)), Sha256: hex.EncodeToString(sum[:]),
		DownloadUri: f.URL + "/v1/tasks/" + testID + "/outputs/0",
	}
}

// fetching returns a client that downloads, and has no service.
func fetching(t *testing.T, options ...Option) *Client {
	t.Helper()
	c := New(deadConn{}, options...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// folder lists what is in a folder.
func folder(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDownload_ResumesWhereItWasCut(t *testing.T) {
	t.Parallel()
	f := serveFile(t, &fileServer{cuts: []int{100_000, 50_000}})
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var cuts, done []int64
	c := fetching(t, WithToken(testToken), WithDownloadHost("127.0.0.1"))
	err := c.Download(t.Context(), f.output(), filepath.Join(dir, "x.mp4"),
		OnProgress(func(d, _ int64) { done = append(done, d) }), OnRetry(func(error) { cuts = append(cuts, done[len(done)-1]) }))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x.mp4")); err != nil || !bytes.Equal(got, f.content) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
	if diff := cmp.Diff([]string{"", "bytes=100000-", "bytes=150000-"}, f.ranges); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Repeat([]string{"Bearer " + testToken}, 3), f.tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if got := folder(t, dir); !slices.Equal(got, []string{"x.mp4"}) {
		t.Errorf("in the folder: %q", got)
	}
	if diff := cmp.Diff([]int64{100_000, 150_000}, cuts); diff != "" || done[len(done)-1] != 300_000 {
		t.Errorf("progress ended at %d, cuts (-want +got):\n%s", done[len(done)-1], diff)
	}
}

func TestDownload_BeginsAgainWhereRangesAreNotServed(t *testing.T) {
	t.Parallel()
	f := serveFile(t, &fileServer{cuts: []int{100_000}, noRanges: true})
	path := filepath.Join(t.TempDir(), "x.mp4")
	if err := fetching(t).Download(t.Context(), f.output(), path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, f.content) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
}

func TestDownload_KeepsNothingThatIsNotWholeAndVerified(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		server *fileServer
		change func(*refractv1.Output)
		want   string
		calls  int
	}{
		{"another hash", &fileServer{}, func(o *refractv1.Output) { o.Sha256 = strings.Repeat("0", 64) }, "the file is damaged", 1},
		{"no hash", &fileServer{}, func(o *refractv1.Output) { o.Sha256 = "" }, "the file is damaged", 1},
		{"too large", &fileServer{}, func(o *refractv1.Output) { o.SizeBytes-- }, "larger than its 299999 bytes", 1},
		{"too small", &fileServer{}, func(o *refractv1.Output) { o.SizeBytes++ }, "the server answered 416", 2},
		{"cut without progress", &fileServer{cuts: []int{10, 0, 0, 0, 0, 0, 0}}, func(*refractv1.Output) {}, "5 tries without progress", 6},
		{"expired", &fileServer{}, func(o *refractv1.Output) { o.DownloadUri = "" }, "no longer kept", 0},
		{"no address", &fileServer{}, func(o *refractv1.Output) { o.DownloadUri = "file:///etc/passwd" }, "no http address", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := serveFile(t, tt.server)
			dir := t.TempDir()
			output := f.output()
			tt.change(output)
			err := fetching(t).Download(t.Context(), output, filepath.Join(dir, "x.mp4"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			if len(f.ranges) != tt.calls {
				t.Errorf("requested %d times, want %d: %q", len(f.ranges), tt.calls, f.ranges)
			}
			if got := folder(t, dir); len(got) > 0 {
				t.Errorf("left in the folder: %q", got)
			}
		})
	}
}

func TestDownload_ReturnsWhyTheServerRefuses(t *testing.T) {
	t.Parallel()
	var calls int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // Worth another try.
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"code":5,"message":"the file of this output\nis no longer kept"}`))
	}))
	defer s.Close()
	path := filepath.Join(t.TempDir(), "x.mp4")
	err := fetching(t).Download(t.Context(), &refractv1.Output{DownloadUri: s.URL + "/x?signature=abc", SizeBytes: 1}, path)
	want := "download " + path + `: the server answered 404: "the file of this output\nis no longer kept"`
	if err == nil || err.Error() != want || calls != 2 {
		t.Errorf("got %v after %d calls, want %s", err, calls, want)
	}
}

func TestDownload_CutsATryThatStalls(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := &fileServer{}
	serveFile(t, f)
	var calls int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls > 1 {
			f.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write(f.content[:1000])
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	defer s.Close()
	defer close(release)
	output := f.output()
	output.DownloadUri = s.URL
	path := filepath.Join(t.TempDir(), "x.mp4")
	d := &download{client: s.Client(), output: output, settings: callSettingsOf(nil), stall: time.Second, hash: sha256.New()}
	if err := d.run(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bytes=1000-"}, f.ranges); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

func TestDownload_KeepsTheTokenFromRedirects(t *testing.T) {
	t.Parallel()
	f := serveFile(t, &fileServer{})
	s := httptest.NewServer(http.RedirectHandler(f.URL, http.StatusFound)) // The same address, but another port.
	defer s.Close()
	output := f.output()
	output.DownloadUri = s.URL
	if err := fetching(t, WithToken(testToken), WithDownloadHost("127.0.0.1")).Download(t.Context(), output, filepath.Join(t.TempDir(), "x.mp4")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{""}, f.tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func TestDownload_LeavesNothingWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 1000))
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	dir := t.TempDir()
	err := fetching(t).Download(ctx, &refractv1.Output{DownloadUri: s.URL, SizeBytes: 5000}, filepath.Join(dir, "x.mp4"))
	if err == nil || len(folder(t, dir)) > 0 {
		t.Errorf("got %v, and in the folder: %q", err, folder(t, dir))
	}
}

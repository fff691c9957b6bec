package clienttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// FileServer serves one file of 300,000 bytes under every path, and records the requests.
type FileServer struct {
	// Cuts are the bytes after which it breaks the connection, one for each request. Further requests are not cut.
	Cuts []int
	// NoRanges makes it answer every request with the whole file.
	NoRanges bool

	URL     string // ServeFile sets it.
	Content []byte // ServeFile fills it.

	mu             sync.Mutex
	ranges         []string
	authorizations []string
}

// ServeFile serves the file of f until the test ends, and returns f.
func ServeFile(t *testing.T, f *FileServer) *FileServer {
	t.Helper()
	f.Content = make([]byte, 300_000)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(f.Content) // It never fails.
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Output returns the file as the output of a task.
func (f *FileServer) Output() *refractv1.Output {
	sum := sha256.Sum256(f.Content)
	return &refractv1.Output{
		ContentType: "video/mp4", SizeBytes: int64(len(f.Content)), Sha256: hex.EncodeToString(sum[:]),
		DownloadUri: f.URL + "/v1/tasks/" + TaskID + "/outputs/0",
	}
}

// Ranges returns the Range header of each request, in their order. Empty means that there was none.
func (f *FileServer) Ranges() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ranges)
}

// Authorizations returns the Authorization header of each request, in their order. Empty means that there was none.
func (f *FileServer) Authorizations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.authorizations)
}

func (f *FileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.ranges)
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	f.authorizations = append(f.authorizations, r.Header.Get("Authorization"))
	f.mu.Unlock()
	if f.NoRanges {
		r.Header.Del("Range")
	}
	if n < len(f.Cuts) {
		w = &cutWriter{ResponseWriter: w, left: f.Cuts[n]}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Content))
}

// cutWriter breaks the connection after a number of bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if len(b) >= c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left]) // The connection breaks in any case.
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

// FileNames returns the names in a folder, or none where there is no folder.
func FileNames(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

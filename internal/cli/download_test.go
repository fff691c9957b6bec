package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// fileServer serves one file and notes what it was asked for. Each of its first answers is cut after that many
// bytes.
type fileServer struct {
	*httptest.Server
	content []byte
	cuts    []int

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

func TestOutputPath_NamesFilesAfterTheTaskUnlessTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name, given, taskID, contentType string
		index                            int
		want                             string // Empty: refused.
	}{
		{"default", "", testID, "video/mp4", 0, "refract-output/" + testID + ".mp4"},
		{"further output", "", testID, "video/mp4", 2, "refract-output/" + testID + "-2.mp4"},
		{"quicktime", "", testID, "video/quicktime", 0, "refract-output/" + testID + ".mov"},
		{"file", "clip.mp4", testID, "video/mp4", 0, "clip.mp4"},
		{"further file", "a.b/clip.mp4", testID, "video/mp4", 1, "a.b/clip-1.mp4"},
		{"folder that is there", dir, testID, "video/mp4", 0, filepath.Join(dir, testID+".mp4")},
		{"folder that is not there", "new/", testID, "video/mp4", 1, "new/" + testID + "-1.mp4"},
		{"an id that is a path", "", "../../etc/cron.d/x", "video/mp4", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := outputPath(tt.given, tt.taskID, &refractv1.Output{ContentType: tt.contentType}, tt.index)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// fetching returns a client that downloads, and has no service.
func fetching(t *testing.T, options ...Option) *Client {
	t.Helper()
	c := New(deadConn{}, options...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDownload_ResumesWhereItWasCut(t *testing.T) {
	t.Parallel()
	f := clienttest.ServeFile(t, &clienttest.FileServer{Cuts: []int{100_000, 50_000}})
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var cuts, done []int64
	c := fetching(t, WithToken(clienttest.Token), WithDownloadHost("127.0.0.1"))
	err := c.Download(t.Context(), f.Output(), filepath.Join(dir, "x.mp4"),
		OnProgress(func(d, _ int64) { done = append(done, d) }), OnRetry(func(error) { cuts = append(cuts, done[len(done)-1]) }))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x.mp4")); err != nil || !bytes.Equal(got, f.Content) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
	if diff := cmp.Diff([]string{"", "bytes=100000-", "bytes=150000-"}, f.Ranges()); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Repeat([]string{"Bearer " + clienttest.Token}, 3), f.Authorizations()); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if got := clienttest.FileNames(t, dir); !slices.Equal(got, []string{"x.mp4"}) {
		t.Errorf("in the folder: %q", got)
	}
	if diff := cmp.Diff([]int64{100_000, 150_000}, cuts); diff != "" || done[len(done)-1] != 300_000 {
		t.Errorf("progress ended at %d, cuts (-want +got):\n%s", done[len(done)-1], diff)
	}
}

func TestDownload_BeginsAgainWhereRangesAreNotServed(t *testing.T) {
	t.Parallel()
	f := clienttest.ServeFile(t, &clienttest.FileServer{Cuts: []int{100_000}, NoRanges: true})
	path := filepath.Join(t.TempDir(), "x.mp4")
	if err := fetching(t).Download(t.Context(), f.Output(), path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, f.Content) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
}

func TestDownload_KeepsNothingThatIsNotWholeAndVerified(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		server *clienttest.FileServer
		change func(*refractv1.Output)
		want   string
		calls  int
	}{
		{"another hash", &clienttest.FileServer{}, func(o *refractv1.Output) { o.Sha256 = strings.Repeat("0", 64) }, "the file is damaged", 1},
		{"no hash", &clienttest.FileServer{}, func(o *refractv1.Output) { o.Sha256 = "" }, "the file is damaged", 1},
		{"too large", &clienttest.FileServer{}, func(o *refractv1.Output) { o.SizeBytes-- }, "larger than its 299999 bytes", 1},
		{"too small", &clienttest.FileServer{}, func(o *refractv1.Output) { o.SizeBytes++ }, "the server answered 416", 2},
		{"cut without progress", &clienttest.FileServer{Cuts: []int{10, 0, 0, 0, 0, 0, 0}}, func(*refractv1.Output) {}, "5 tries without progress", 6},
		{"expired", &clienttest.FileServer{}, func(o *refractv1.Output) { o.DownloadUri = "" }, "no longer kept", 0},
		{"no address", &clienttest.FileServer{}, func(o *refractv1.Output) { o.DownloadUri = "file:///etc/passwd" }, "not http or https", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := clienttest.ServeFile(t, tt.server)
			dir := t.TempDir()
			output := f.Output()
			tt.change(output)
			err := fetching(t).Download(t.Context(), output, filepath.Join(dir, "x.mp4"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			if len(f.Ranges()) != tt.calls {
				t.Errorf("requested %d times, want %d: %q", len(f.Ranges()), tt.calls, f.Ranges())
			}
			if got := clienttest.FileNames(t, dir); len(got) > 0 {
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
	shortened := make(chan struct{})
	f := &clienttest.FileServer{}
	clienttest.ServeFile(t, f)
	var calls int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls > 1 {
			f.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write(f.Content[:999])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-shortened:
		case <-r.Context().Done():
		}
		_, _ = w.Write(f.Content[999:1000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	output := f.Output()
	output.DownloadUri = s.URL
	path := filepath.Join(t.TempDir(), "x.mp4")
	d := &download{client: s.Client(), output: output, settings: callSettingsOf(nil), stall: time.Hour, hash: sha256.New()}
	d.settings.progress = func(done, _ int64) {
		if done == 999 { // Only the wait after the next byte is short. The others end no try, on any machine.
			d.stall = time.Millisecond
			close(shortened)
		}
	}
	d.settings.retry = func(error) { d.stall = time.Hour }
	if err := d.run(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bytes=1000-"}, f.Ranges()); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

func TestDownload_KeepsTheTokenFromRedirects(t *testing.T) {
	t.Parallel()
	f := clienttest.ServeFile(t, &clienttest.FileServer{})
	s := httptest.NewServer(http.RedirectHandler(f.URL, http.StatusFound)) // The same address, but another port.
	defer s.Close()
	output := f.Output()
	output.DownloadUri = s.URL
	if err := fetching(t, WithToken(clienttest.Token), WithDownloadHost("127.0.0.1")).Download(t.Context(), output, filepath.Join(t.TempDir(), "x.mp4")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{""}, f.Authorizations()); diff != "" {
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
	if err == nil || len(clienttest.FileNames(t, dir)) > 0 {
		t.Errorf("got %v, and in the folder: %q", err, clienttest.FileNames(t, dir))
	}
}

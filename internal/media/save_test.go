package media_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/sim"
)

const key = "task/output.mp4"

// secret is the part of every link in these tests that no error may tell.
const secret = "/secret-path?signature=secret-value"

// video returns a video of a size, filled up with random bytes that players skip, or the beginning of one.
func video(size int) []byte {
	clip := sim.TinyClip()
	if size < len(clip)+8 {
		return clip[:size]
	}
	padding := make([]byte, size-len(clip)-8)
	_, _ = rand.Read(padding)
	return append(clip, box("free", padding)...)
}

// clipSays is what the container of each of these videos says.
var clipSays = media.Container{ContentType: "video/mp4", Codec: "h264", Duration: time.Second, Width: 160, Height: 90}

// setup returns a saver into a file bucket, the bucket's folder, and a link to a server that answers
// with handler.
func setup(t *testing.T, handler http.HandlerFunc) (saver *media.Saver, folder, link string) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	bucket, folder := openBucket(t)
	return &media.Saver{Client: newClient(t, 0), Bucket: bucket, Pause: time.Microsecond}, folder, srv.URL + secret
}

// newClient returns a client that reaches loopback addresses.
func newClient(t *testing.T, idle time.Duration) *http.Client {
	t.Helper()
	client := media.NewClient(media.Guard{AllowPrivate: true, StallTimeout: idle})
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// sendHalf announces data and sends half of it.
func sendHalf(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data[:len(data)/2])
	_ = http.NewResponseController(w).Flush()
}

func TestSave_StoresWholeFile(t *testing.T) {
	t.Parallel()
	data := video(3<<20 + 17)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"with length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data)
		}},
		{"chunked", func(w http.ResponseWriter, _ *http.Request) {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 100_000)
				_, _ = w.Write(rest[:n])
				rest = rest[n:]
			}
		}},
		{"with a wrong content type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(data)
		}},
		{"redirected", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/elsewhere" {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			}
			_, _ = w.Write(data)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			saver, folder, link := setup(t, tt.handler)
			want := media.Saved{SizeBytes: int64(len(data)), SHA256: sha256.Sum256(data), Container: clipSays}
			for range 2 { // The second save overwrites the first.
				got, err := saver.Save(t.Context(), link, key)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("saved (-want +got):\n%s", diff)
				}
			}
			if sha256.Sum256(content(t, saver.Bucket, key)) != want.SHA256 {
				t.Error("the bucket holds other bytes than the server sent")
			}
			if diff := cmp.Diff([]string{key}, filesIn(t, folder)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// failures are the answers that can't be saved. A nil want is an error that a retry may heal.
var failures = []struct {
	name    string
	want    error
	handler http.HandlerFunc
}{
	{"unauthorized", media.ErrLinkDead, status(http.StatusUnauthorized)},
	{"forbidden", media.ErrLinkDead, status(http.StatusForbidden)},
	{"not found", media.ErrLinkDead, status(http.StatusNotFound)},
	{"gone", media.ErrLinkDead, status(http.StatusGone)},
	{"expired at Google", media.ErrLinkDead, status(http.StatusBadRequest)},
	{"too many requests", nil, status(http.StatusTooManyRequests)},
	{"server error", nil, status(http.StatusBadGateway)},
	{"part that was not asked for", nil, status(http.StatusPartialContent)},
	{"web page", media.ErrNotVideo, send([]byte("<!DOCTYPE html><title>Not here</title>"))},
	{"nothing", media.ErrNotVideo, send(nil)},
	{"half of a video", media.ErrNotVideo, send(video(maxBytes)[:maxBytes/2])},
	{"beginning of a video", media.ErrNotVideo, send(video(1000))},
	{"few bytes", media.ErrNotVideo, send(video(32)[:8])},
	{"too large, announced", media.ErrTooLarge, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(maxBytes+1))
		_ = http.NewResponseController(w).Flush()
	}},
	{"too large, unannounced", media.ErrTooLarge, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(video(maxBytes + 1))
	}},
	{"cut in the middle", nil, func(w http.ResponseWriter, _ *http.Request) {
		sendHalf(w, video(maxBytes))
		panic(http.ErrAbortHandler)
	}},
	{"cut in the middle, chunked", nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(video(maxBytes))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}},
	{"cut in the first bytes", nil, func(w http.ResponseWriter, _ *http.Request) {
		sendHalf(w, video(32)[:12])
		panic(http.ErrAbortHandler)
	}},
	{"redirect without end", nil, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.String(), http.StatusFound)
	}},
	{"redirect to another scheme", media.ErrBlocked, redirect("file://" + secret)},
	{"redirect to nowhere", nil, redirect("http://%zz" + secret)},
	{"malformed answer that repeats the link", nil, sendRaw(secret + "\r\n\r\n")},
	{"malformed trailer that repeats the link", nil, sendRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"20\r\n" + string(video(32)) + "\r\n0\r\n" + secret + "\r\n\r\n")},
}

// maxBytes is the limit of the savers that meet the failures.
const maxBytes = 2 << 20

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write(video(100))
	}
}

func send(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
}

// sendRaw answers with bytes that need not be HTTP.
func sendRaw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}
}

func redirect(location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	}
}

// TestSave_KeepsWhatFollowsAWholeVideo saves results with a tail, of which not a byte is lost.
func TestSave_KeepsWhatFollowsAWholeVideo(t *testing.T) {
	t.Parallel()
	for name, tail := range tails() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := append(sim.TinyClip(), tail...)
			saver, _, link := setup(t, send(data))
			saved, err := saver.Save(t.Context(), link, key)
			if want := (media.Saved{SizeBytes: int64(len(data)), SHA256: sha256.Sum256(data), Container: clipSays}); err != nil || saved != want {
				t.Errorf("saved %+v, %v, want %+v", saved, err, want)
			}
		})
	}
}

func TestSave_FailureLeavesNothingAndSaysWhatHelps(t *testing.T) {
	t.Parallel()
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			saver, folder, link := setup(t, tt.handler)
			saver.MaxBytes = maxBytes
			saved, err := saver.Save(t.Context(), link, key)
			checkFailure(t, err, tt.want)
			if saved != (media.Saved{}) {
				t.Errorf("got %+v with an error", saved)
			}
			if files := filesIn(t, folder); len(files) > 0 {
				t.Errorf("files were left: %v", files)
			}
		})
	}
}

// checkFailure compares err with the one class that it should belong to, and looks for secrets in it.
func checkFailure(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Fatal("the save succeeded")
	}
	for _, class := range []error{media.ErrLinkDead, media.ErrNotVideo, media.ErrTooLarge, media.ErrBlocked} {
		if got := errors.Is(err, class); got != errors.Is(class, want) {
			t.Errorf("errors.Is(%v, %v) is %t", err, class, got)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error leaks the link: %v", err)
	}
}

func TestSave_RefusesLinksThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	bucket, _ := openBucket(t)
	saver := media.Saver{Client: media.NewClient(media.Guard{}), Bucket: bucket}
	for _, tt := range []struct {
		name, link string
		want       error
	}{
		{"private address", "https://127.0.0.1" + secret, media.ErrBlocked},
		{"private name", "https://localhost" + secret, media.ErrBlocked},
		{"http", "http://example.com" + secret, media.ErrBlocked},
		{"relative", secret, media.ErrBlocked},
		{"no URL", "https://exa mple.com" + secret, media.ErrLinkDead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := saver.Save(t.Context(), tt.link, key)
			checkFailure(t, err, tt.want)
		})
	}
}

func TestSave_AcceptsExactlyTheLimit(t *testing.T) {
	t.Parallel()
	saver, _, link := setup(t, send(video(maxBytes)))
	saver.MaxBytes = maxBytes
	if _, err := saver.Save(t.Context(), link, key); err != nil {
		t.Error(err)
	}
}

func TestSave_UnreachableServerMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	saver, _, _ := setup(t, nil)
	_, err := saver.Save(t.Context(), srv.URL+secret, key)
	checkFailure(t, err, nil)
	if !strings.Contains(err.Error(), srv.URL) {
		t.Errorf("the error does not name %s: %v", srv.URL, err)
	}
}

func TestSave_SilentBodyIsCutAndLeavesNothing(t *testing.T) {
	t.Parallel()
	saver, folder, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		sendHalf(w, video(maxBytes))
		<-r.Context().Done()
	})
	saver.Client = newClient(t, 50*time.Millisecond)
	_, err := saver.Save(t.Context(), link, key)
	checkFailure(t, err, nil)
	if files := filesIn(t, folder); len(files) > 0 {
		t.Errorf("files were left: %v", files)
	}
}

func TestSave_CancelLeavesNoTrace(t *testing.T) {
	t.Parallel()
	saver, folder, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		sendHalf(w, video(8<<20))
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err = saver.Save(ctx, link, key)
	}()
	waitForFile(t, folder, done)
	cancel()
	<-done
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if files := filesIn(t, folder); len(files) > 0 {
		t.Errorf("files were left: %v", files)
	}
}

// waitForFile returns when a file, temporary or not, is in the folder. It fails the test when the save ends before that.
func waitForFile(t *testing.T, folder string, saved <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(filesIn(t, folder)) == 0 {
		select {
		case <-tick.C:
		case <-saved:
			t.Fatal("the save ended before a file appeared")
		}
	}
}

func TestSave_ConcurrentSavesToOneKeyAreWhole(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"/0": video(1<<20 + 1), "/1": video(1<<20 + 2)}
	sums := map[[sha256.Size]byte]bool{sha256.Sum256(files["/0"]): true, sha256.Sum256(files["/1"]): true}
	saver, folder, link := setup(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(files[r.URL.Path]) })
	base := strings.TrimSuffix(link, secret)

	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			path := fmt.Sprintf("/%d", i%2)
			saved, err := saver.Save(t.Context(), base+path, key)
			if err == nil && saved.SHA256 != sha256.Sum256(files[path]) {
				err = fmt.Errorf("save of %s reports the hash of another file", path)
			}
			if err != nil {
				return err
			}
			// Other saves go on: what a reader sees meanwhile must be whole as well.
			r, err := saver.Bucket.Open(t.Context(), key)
			if err != nil {
				return err
			}
			data, err := io.ReadAll(r)
			if err == nil && !sums[sha256.Sum256(data)] {
				err = fmt.Errorf("the bucket holds a mixture of %d bytes", len(data))
			}
			return errors.Join(err, r.Close())
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{key}, filesIn(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

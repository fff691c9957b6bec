// Package buckettest is the suite that every kind of bucket passes. Only tests import it.
package buckettest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/media"
)

// Kind is a kind of bucket.
type Kind struct {
	// Open returns an empty bucket, and closes it when the test ends.
	Open func(*testing.T) *media.Bucket
	// Signs reports whether the bucket signs URLs of its own files.
	Signs bool
	// ChecksSignatures reports whether the bucket refuses signed URLs that were changed or have
	// expired.
	ChecksSignatures bool
}

// Run runs the suite.
func Run(t *testing.T, kind Kind) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *media.Bucket){
		"keeps one file per key":                  keepsOneFilePerKey,
		"keeps large files whole":                 keepsLargeFiles,
		"serves ranges":                           servesRanges,
		"a failed put changes nothing":            failedPutChangesNothing,
		"a canceled put changes nothing":          canceledPutChangesNothing,
		"shows nothing of a put before its end":   showsNothingEarly,
		"deletes as often as asked":               deletes,
		"lists keys by prefix":                    listsKeys,
		"refuses keys that are not paths":         refusesKeys,
		"a file that is not there does not exist": missing,
		"is probed without a trace":               probed,
		"creates a record once":                   createsRecordsOnce,
		"replaces a record":                       replacesRecords,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.Open(t))
		})
	}
	t.Run("signs URLs, or reports that it can't", func(t *testing.T) {
		t.Parallel()
		signs(t, kind.Open(t), kind.Signs)
	})
	if kind.ChecksSignatures {
		t.Run("refuses signed URLs that were changed or have expired", func(t *testing.T) {
			t.Parallel()
			refusesURLs(t, kind.Open(t))
		})
	}
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

func put(t *testing.T, b *media.Bucket, key, text string) {
	t.Helper()
	if err := b.Put(t.Context(), key, "video/mp4", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, b *media.Bucket, key, want string) {
	t.Helper()
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // It was only read.
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want || r.Size() != int64(len(want)) {
		t.Errorf("%s holds %d bytes, said to be %d, want %d", key, len(got), r.Size(), len(want))
	}
}

func checkKeys(t *testing.T, b *media.Bucket, prefix string, want ...string) {
	t.Helper()
	got, err := b.Keys(t.Context(), prefix, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys that begin with %q (-want +got):\n%s", prefix, diff)
	}
}

func keepsOneFilePerKey(t *testing.T, b *media.Bucket) {
	t.Helper()
	for _, text := range []string{"first", "second one"} {
		put(t, b, "outputs/t/1-0", text)
		check(t, b, "outputs/t/1-0", text)
	}
	checkKeys(t, b, "", "outputs/t/1-0")
}

func keepsLargeFiles(t *testing.T, b *media.Bucket) {
	t.Helper()
	data := make([]byte, 20<<20+3) // Three parts of S3.
	_, _ = rand.Read(data)
	if err := b.Put(t.Context(), "outputs/t/1-0", "video/mp4", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	r, err := b.Open(t.Context(), "outputs/t/1-0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // It was only read.
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(data) {
		t.Errorf("the bucket holds other bytes: %v", err)
	}
}

func servesRanges(t *testing.T, b *media.Bucket) {
	t.Helper()
	put(t, b, "outputs/t/1-0", "0123456789")
	for span, want := range map[string]string{"bytes=3-5": "345", "bytes=8-": "89", "bytes=-1": "9"} {
		object, err := b.Open(t.Context(), "outputs/t/1-0")
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Header.Set("Range", span)
		rec := httptest.NewRecorder()
		http.ServeContent(rec, req, "k.mp4", object.ModTime(), object)
		if rec.Code != http.StatusPartialContent || rec.Body.String() != want {
			t.Errorf("%s: got status %d, body %q, want 206 and %s", span, rec.Code, rec.Body, want)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	}
}

func failedPutChangesNothing(t *testing.T, b *media.Bucket) {
	t.Helper()
	put(t, b, "outputs/t/1-0", "former")
	broken := errors.New("the source broke")
	for _, key := range []string{"outputs/t/1-0", "outputs/t/1-1"} {
		half := io.MultiReader(bytes.NewReader(make([]byte, 17<<20)), iotest.ErrReader(broken))
		if err := b.Put(t.Context(), key, "video/mp4", half); !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want %v", key, err, broken)
		}
	}
	check(t, b, "outputs/t/1-0", "former")
	checkKeys(t, b, "", "outputs/t/1-0")
}

func canceledPutChangesNothing(t *testing.T, b *media.Bucket) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(make([]byte, 9<<20)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.EOF // The end of the file comes at the same time.
	}))
	if err := b.Put(ctx, "outputs/t/1-0", "video/mp4", r); err == nil {
		t.Error("a put that was canceled succeeded")
	}
	checkKeys(t, b, "")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func showsNothingEarly(t *testing.T, b *media.Bucket) {
	t.Helper()
	r := io.MultiReader(bytes.NewReader(make([]byte, 9<<20)), readerFunc(func([]byte) (int, error) {
		if keys, err := b.Keys(t.Context(), "", 10); err != nil || len(keys) > 0 {
			t.Errorf("before its last byte the bucket shows %v, %v", keys, err)
		}
		if _, err := b.Open(t.Context(), "outputs/t/1-0"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("before its last byte the file opens with %v", err)
		}
		return 0, io.EOF
	}))
	if err := b.Put(t.Context(), "outputs/t/1-0", "video/mp4", r); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, b, "", "outputs/t/1-0")
}

func deletes(t *testing.T, b *media.Bucket) {
	t.Helper()
	put(t, b, "outputs/t/1-0", "x")
	for range 2 {
		if err := b.Delete(t.Context(), "outputs/t/1-0"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	checkKeys(t, b, "")
}

func listsKeys(t *testing.T, b *media.Bucket) {
	t.Helper()
	for _, key := range []string{"outputs/a/1-0", "outputs/a/1-1", "outputs/a/12-0", "outputs/ab/1-0"} {
		put(t, b, key, "x")
	}
	checkKeys(t, b, "outputs/a/1-", "outputs/a/1-0", "outputs/a/1-1")
	checkKeys(t, b, "outputs/", "outputs/a/1-0", "outputs/a/1-1", "outputs/a/12-0", "outputs/ab/1-0")
	var paged []string
	for from := []byte(nil); ; {
		files, next, err := b.Page(t.Context(), "outputs/a", from, 3)
		if err != nil || len(files) > 3 {
			t.Fatalf("a page of 3 has %d files, %v", len(files), err)
		}
		for _, f := range files {
			paged = append(paged, f.Key)
			if f.SizeBytes != 1 || f.ModTime.IsZero() || time.Since(f.ModTime) > time.Hour {
				t.Errorf("listed as %+v, want 1 byte of now", f)
			}
		}
		if from = next; from == nil {
			break
		}
	}
	if want := []string{"outputs/a/1-0", "outputs/a/1-1", "outputs/a/12-0", "outputs/ab/1-0"}; !slices.Equal(paged, want) {
		t.Errorf("pages have %q, want %q", paged, want)
	}
	if got, err := b.Keys(t.Context(), "", 1); err != nil || len(got) != 1 {
		t.Errorf("one key is %v, %v", got, err)
	}
}

func refusesKeys(t *testing.T, b *media.Bucket) {
	t.Helper()
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/x", "x/", "a//b", "\xff"} {
		if err := b.Put(t.Context(), key, "video/mp4", strings.NewReader("x")); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
}

func missing(t *testing.T, b *media.Bucket) {
	t.Helper()
	if _, err := b.Open(t.Context(), "outputs/t/1-0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func probed(t *testing.T, b *media.Bucket) {
	t.Helper()
	put(t, b, "outputs/t/1-0", "x")
	for _, size := range []int64{64 << 10, 6 << 20} { // S3 gets the larger one in parts.
		if err := b.Probe(t.Context(), size); err != nil {
			t.Errorf("probe with %d bytes: %v", size, err)
		}
	}
	checkKeys(t, b, "", "outputs/t/1-0")
}

func signs(t *testing.T, b *media.Bucket, can bool) {
	t.Helper()
	put(t, b, "outputs/t/1-0", "0123456789")
	url, err := b.SignedURL(t.Context(), "outputs/t/1-0", time.Hour)
	if !can {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want errors.ErrUnsupported", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	status, body := get(t, url, "bytes=2-4")
	if status != http.StatusPartialContent || body != "234" {
		t.Errorf("a range gave %d, %q, want 206 and 234", status, body)
	}
}

func refusesURLs(t *testing.T, b *media.Bucket) {
	t.Helper()
	for _, key := range []string{"outputs/t/1-0", "outputs/t/1-1"} {
		put(t, b, key, "0123456789")
	}
	url, err := b.SignedURL(t.Context(), "outputs/t/1-0", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, strings.Replace(url, "1-0?", "1-1?", 1), ""); status != http.StatusForbidden {
		t.Errorf("a URL that was changed gave %d, %q, want 403", status, body)
	}
	brief, err := b.SignedURL(t.Context(), "outputs/t/1-0", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	signed := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for asked := signed; ; asked = <-tick.C {
		status, _ := get(t, brief, "")
		if status == http.StatusForbidden {
			return
		}
		if asked.Sub(signed) > 10*time.Second {
			t.Fatalf("a URL for a second gives %d after ten", status)
		}
	}
}

func get(t *testing.T, url, span string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(fmt.Errorf("read the answer: %w", err))
	}
	return resp.StatusCode, string(body)
}

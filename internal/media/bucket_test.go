package media_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/media"
)

// openBucket opens a file bucket in a folder that does not exist yet, and returns that folder.
func openBucket(t *testing.T) (bucket *media.Bucket, folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "not", "yet")
	return openBucketAt(t, "file://"+folder), folder
}

func openBucketAt(t *testing.T, bucketURL string) *media.Bucket {
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

// filesIn lists every file below folder.
func filesIn(t *testing.T, folder string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(folder, path)
			files = append(files, name)
		}
		if errors.Is(err, fs.ErrNotExist) { // A temporary file went away during the walk.
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// content reads the file under key.
func content(t *testing.T, bucket *media.Bucket, key string) []byte {
	t.Helper()
	r, err := bucket.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBucket_KeepsOneFilePerKey(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	for _, text := range []string{"first", "second"} {
		if err := bucket.Put(t.Context(), "a/b/c.mp4", "video/mp4", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if got := string(content(t, bucket, "a/b/c.mp4")); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if diff := cmp.Diff([]string{"a/b/c.mp4"}, filesIn(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestBucket_ServesRanges(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"file", "mem"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			bucketURL := "mem://"
			if kind == "file" {
				bucketURL = "file://" + t.TempDir()
			}
			bucket := openBucketAt(t, bucketURL)
			if err := bucket.Put(t.Context(), "k", "video/mp4", strings.NewReader("0123456789")); err != nil {
				t.Fatal(err)
			}
			object, err := bucket.Open(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = object.Close() }()
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			req.Header.Set("Range", "bytes=3-5")
			rec := httptest.NewRecorder()
			http.ServeContent(rec, req, "k.mp4", object.ModTime(), object)
			if rec.Code != http.StatusPartialContent || rec.Body.String() != "345" {
				t.Errorf("got status %d, body %q, want 206 and 345", rec.Code, rec.Body)
			}
		})
	}
}

func TestBucket_FailedPutChangesNothing(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	if err := bucket.Put(t.Context(), "k", "video/mp4", strings.NewReader("former")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke")
	half := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(broken))
	if err := bucket.Put(t.Context(), "k", "video/mp4", half); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if got := string(content(t, bucket, "k")); got != "former" {
		t.Errorf("got %q, want the former file", got)
	}
	if diff := cmp.Diff([]string{"k"}, filesIn(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestBucket_RefusesKeysThatAreNotPaths(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/x", "x/", "a//b", "\xff"} {
		if err := bucket.Put(t.Context(), key, "video/mp4", strings.NewReader("x")); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
	if files := filesIn(t, filepath.Dir(folder)); len(files) > 0 {
		t.Errorf("files were written: %v", files)
	}
}

func TestBucket_DeletesAsOftenAsAsked(t *testing.T) {
	t.Parallel()
	bucket, _ := openBucket(t)
	if err := bucket.Put(t.Context(), "k", "video/mp4", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bucket.Delete(t.Context(), "k"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := bucket.Open(t.Context(), "k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open after delete: got %v, want fs.ErrNotExist", err)
	}
}

func TestOpenBucket_RefusesURLsThatMeanAnotherFolder(t *testing.T) {
	t.Parallel()
	for _, bucketURL := range []string{"", "file://", "file://.", "file:///", "file://media/outputs", "nosuch://x", "file:///x?y=z"} {
		if bucket, err := media.OpenBucket(t.Context(), bucketURL); err == nil {
			_ = bucket.Close()
			t.Errorf("OpenBucket(%q) was accepted", bucketURL)
		}
	}
}

func TestOpenBucket_FindsRelativeFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	bucket := openBucketAt(t, "file://./data/media")
	if err := bucket.Put(t.Context(), "k", "video/mp4", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("data/media/k"); err != nil {
		t.Error(err)
	}
}

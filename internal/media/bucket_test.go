package media_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

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

// TestBucket_SweepsOldLeftovers leaves a temporary file behind, as a process does that is killed.
func TestBucket_SweepsOldLeftovers(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	for _, key := range []string{"outputs/t/1-0", "outputs/t/1-1.tmp"} {
		if err := bucket.Put(t.Context(), key, "video/mp4", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	var temporary string
	half := io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) {
		files, err := filepath.Glob(filepath.Join(folder, "outputs/t/1-2.*.tmp"))
		if err != nil || len(files) != 1 {
			t.Errorf("while a file is put there are %v, %v", files, err)
			return 0, io.EOF
		}
		temporary = files[0]
		return 0, io.ErrUnexpectedEOF
	}))
	if err := bucket.Put(t.Context(), "outputs/t/1-2", "video/mp4", half); err == nil {
		t.Error("half a file was put")
	}
	now := time.Now()
	for _, name := range []string{temporary, strings.Replace(temporary, "1-2.", "1-3.", 1)} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(temporary, now, now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := bucket.Sweep(t.Context(), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	files := filesIn(t, folder)
	if len(files) != 3 || files[0] != "outputs/t/1-0" || files[1] != "outputs/t/1-1.tmp" || !strings.HasPrefix(files[2], "outputs/t/1-3.") {
		t.Errorf("files are %v, want two that were put and the young leftover", files)
	}
	if keys, err := bucket.Keys(t.Context(), "", 10); err != nil || len(keys) != 2 {
		t.Errorf("keys are %v, %v, want two", keys, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestBucket_PagesFoldersInOrder puts names around the slash, which a walk and the order of keys sort differently.
func TestBucket_PagesFoldersInOrder(t *testing.T) {
	t.Parallel()
	b := openFolder(t, t.TempDir())
	want := []string{"a/b/1", "a/b/2", "a/b-c", "a/b.d/1", "a/c", "a/d/e/f/1", "a/d/e/f/2", "a/d/g"}
	for _, key := range append([]string{"0", "ab/1", "b/1"}, want...) {
		if err := b.Put(t.Context(), key, "video/mp4", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		for from := []byte(nil); ; {
			files, next, err := b.Page(t.Context(), "a/", from, limit)
			if err != nil || len(files) > limit {
				t.Fatalf("a page of %d has %d files, %v", limit, len(files), err)
			}
			for _, f := range files {
				got = append(got, f.Key)
			}
			if from = next; from == nil {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d have %q, want %q", limit, got, want)
		}
	}
	if files, next, err := b.Page(t.Context(), "none/", nil, 1); err != nil || files != nil || next != nil {
		t.Errorf("a page of nothing is %v, %q, %v", files, next, err)
	}
}

// TestBucket_LeavesNoEmptyFolders deletes and puts in one folder at a time; every put succeeds.
func TestBucket_LeavesNoEmptyFolders(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := openFolder(t, folder)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			key := fmt.Sprintf("outputs/t/%d", i)
			for range 50 {
				if err := errors.Join(b.Put(t.Context(), key, "video/mp4", strings.NewReader("x")), b.Delete(t.Context(), key)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(folder, "outputs")); err != nil || len(left) != 0 {
		t.Errorf("the last delete leaves %v, %v, want the top folder alone", left, err)
	}
}

func openFolder(t *testing.T, folder string) *media.Bucket {
	t.Helper()
	b, err := media.OpenBucket(t.Context(), "file://"+folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

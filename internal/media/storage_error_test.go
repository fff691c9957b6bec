package media_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/media"
)

// storageFailures collects what a bucket reports.
type storageFailures struct {
	mu  sync.Mutex
	ops []string
}

func (f *storageFailures) add(_ context.Context, e *media.StorageError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops = append(f.ops, e.Op)
}

// brokenFolder returns a bucket whose folder became a file, so that every call gets an errno of the system.
func brokenFolder(t *testing.T, f *storageFailures) *media.Bucket {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "bucket")
	b, err := media.OpenObservedBucket(t.Context(), "file://"+folder, f.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket_FailuresAreOfTheStorage(t *testing.T) {
	t.Parallel()
	var f storageFailures
	b := brokenFolder(t, &f)
	_, openErr := b.Open(t.Context(), "outputs/a.mp4")
	_, _, pageErr := b.Page(t.Context(), "outputs/", nil, 10)
	for op, err := range map[string]error{
		"put": b.Put(t.Context(), "outputs/a.mp4", "video/mp4", strings.NewReader("x")), "open": openErr, "list": pageErr,
		"delete": b.Delete(t.Context(), "outputs/a.mp4"), "sweep": b.Sweep(t.Context(), time.Now()),
	} {
		failure, ok := errors.AsType[*media.StorageError](err)
		if !ok || failure.Op != op || !errors.Is(err, media.ErrStorage) {
			t.Errorf("%s returned %v, want a StorageError of it", op, err)
		}
	}
	if len(f.ops) != 5 {
		t.Errorf("the failures of %v were reported, want five", f.ops)
	}
}

func TestBucket_AReaderThatFailsIsNotTheStorage(t *testing.T) {
	t.Parallel()
	var f storageFailures
	b, err := media.OpenObservedBucket(t.Context(), "mem://", f.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	errBody := errors.New("the caller fell silent")
	err = b.Put(t.Context(), "uploads/a", "video/mp4", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errBody)))
	if !errors.Is(err, errBody) || errors.Is(err, media.ErrStorage) {
		t.Errorf("got %v, want the reader's error alone", err)
	}
	if _, err := b.Open(t.Context(), "uploads/a"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, media.ErrStorage) {
		t.Errorf("a file that is not there gave %v, want fs.ErrNotExist alone", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Put(canceled, "uploads/a", "video/mp4", strings.NewReader("x")); !errors.Is(err, context.Canceled) || errors.Is(err, media.ErrStorage) {
		t.Errorf("a caller who has gone gave %v, want its own error", err)
	}
	if diff := cmp.Diff([]string(nil), f.ops); diff != "" {
		t.Errorf("failures reported (-want +got):\n%s", diff)
	}
}

func TestObject_RemembersWhyAReadFailed(t *testing.T) {
	t.Parallel()
	var f storageFailures
	b, err := media.OpenObservedBucket(t.Context(), "file://"+t.TempDir(), f.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Put(t.Context(), "outputs/a", "video/mp4", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	file, err := b.Open(t.Context(), "outputs/a")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(file); string(data) != "x" || err != nil || file.Err() != nil {
		t.Fatalf("read %q, %v and %v, want the file", data, err, file.Err())
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := file.Read(make([]byte, 1)); !errors.Is(err, media.ErrStorage) || !errors.Is(file.Err(), media.ErrStorage) {
			t.Errorf("a broken file gave %v and remembers %v, want a StorageError", err, file.Err())
		}
	}
	if diff := cmp.Diff([]string{"read"}, f.ops); diff != "" {
		t.Errorf("failures reported (-want +got):\n%s", diff)
	}
}

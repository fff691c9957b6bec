package media_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
)

func TestProbe_LeavesNothing(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	for _, size := range []int64{0, 1, 64 << 10, 3<<20 + 1} {
		if err := bucket.Probe(t.Context(), size); err != nil {
			t.Errorf("probe with %d bytes: %v", size, err)
		}
	}
	if files := filesIn(t, folder); len(files) > 0 {
		t.Errorf("probes left %v", files)
	}
}

// TestProbe_ThatDiesIsSwept has probes whose process died after they had stored their file.
func TestProbe_ThatDiesIsSwept(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	if err := bucket.Put(t.Context(), "outputs/t/1-0", "video/mp4", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "outputs", "probe-OLD"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := bucket.Keys(t.Context(), "", 10); err != nil || len(keys) != 1 {
		t.Errorf("keys are %v, %v, want the result's alone", keys, err)
	}
	if files, _, err := bucket.Page(t.Context(), "outputs/", nil, 10); err != nil || len(files) != 1 {
		t.Errorf("a page has %v, %v, want the result alone", files, err)
	}
	if err := bucket.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if files := filesIn(t, folder); len(files) != 1 {
		t.Errorf("after the sweep there are %v, want the result alone", files)
	}
}

// TestBucket_WithoutItsFolderFails takes the folder of a bucket away, as an unmount does, and gives it back.
func TestBucket_WithoutItsFolderFails(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	if err := bucket.Put(t.Context(), "outputs/t/1-0", "video/mp4", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	for what, err := range callsOf(t, bucket) {
		if failure, ok := errors.AsType[*media.StorageError](err); !ok || errors.Is(err, fs.ErrNotExist) || media.StorageCause(failure) != "is missing" {
			t.Errorf("%s gave %v, want a StorageError that the storage is missing", what, err)
		}
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a call made the folder anew: %v", err)
	}
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	if err := bucket.Probe(t.Context(), 1); err != nil {
		t.Errorf("the probe of the folder that is back: %v", err)
	}
}

// callsOf makes every kind of call to a bucket, and returns their errors.
func callsOf(t *testing.T, bucket *media.Bucket) map[string]error {
	t.Helper()
	_, openErr := bucket.Open(t.Context(), "outputs/t/1-0")
	_, keysErr := bucket.Keys(t.Context(), "", 10)
	_, _, pageErr := bucket.Page(t.Context(), "outputs/", nil, 10)
	return map[string]error{
		"open": openErr, "keys": keysErr, "page": pageErr, "delete": bucket.Delete(t.Context(), "outputs/t/1-0"),
		"put": bucket.Put(t.Context(), "outputs/t/1-1", "video/mp4", strings.NewReader("x")), "probe": bucket.Probe(t.Context(), 1),
		"sweep": bucket.Sweep(t.Context(), time.Now()),
	}
}

// TestOpenBucket_WhoseFolderFailsIsOpenedLater opens a bucket where a file is in the place of its folder, and moves that out
// of the way.
func TestOpenBucket_WhoseFolderFailsIsOpenedLater(t *testing.T) {
	t.Parallel()
	blocker := filepath.Join(t.TempDir(), "bucket")
	for _, folder := range []string{blocker, filepath.Join(blocker, "below")} {
		if err := os.WriteFile(blocker, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		bucket := openBucketAt(t, "file://"+folder)
		for what, err := range callsOf(t, bucket) {
			if !errors.Is(err, media.ErrStorage) || media.StorageCause(err) != "is missing" {
				t.Errorf("%s gave %v, want a StorageError that the storage is missing", what, err)
			}
		}
		if err := os.Remove(blocker); err != nil {
			t.Fatal(err)
		}
		if err := bucket.Probe(t.Context(), 1); err != nil {
			t.Errorf("the probe afterwards: %v", err)
		}
		if err := os.RemoveAll(blocker); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProbe_OfACanceledContextIsNoFailure(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bucket.Probe(ctx, 1); !errors.Is(err, context.Canceled) || errors.Is(err, media.ErrStorage) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if files := filesIn(t, folder); len(files) > 0 {
		t.Errorf("it left %v", files)
	}
}

func TestStorageError_SaysHowMuchWasTaken(t *testing.T) {
	t.Parallel()
	bucket, folder := openBucket(t)
	if err := os.MkdirAll(filepath.Join(folder, "outputs", "t", "1-0"), 0o700); err != nil { // A folder where the file is to be.
		t.Fatal(err)
	}
	err := bucket.Put(t.Context(), "outputs/t/1-0", "video/mp4", strings.NewReader("12345"))
	if failure, ok := errors.AsType[*media.StorageError](err); !ok || failure.Bytes != 5 {
		t.Errorf("got %#v, want a StorageError after 5 bytes", err)
	}
}

func TestStorageCause_NamesNothingOfOurs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.ENOSPC}, "is full"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.EDQUOT}, "is full"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.EROFS}, "is read-only"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.EACCES}, "denies access"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.ESTALE}, "has a broken disk or mount"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.EIO}, "has a broken disk or mount"},
		{&fs.PathError{Op: "open", Path: "/srv/x", Err: syscall.ENOTDIR}, "is missing"},
		{context.DeadlineExceeded, "does not answer"},
		{media.ErrUnanswered, "does not answer"},
		{answerError("NoSuchBucket"), "is missing"},
		{answerError("SlowDown"), "is overloaded"},
		{answerError("RequestTimeTooSkewed"), "refuses our clock"},
		{answerError("AccessDenied"), "denies access"},
		{answerError("SomethingNew"), "fails"},
		{errors.New("secret"), "fails"},
	} {
		if got := media.StorageCause(&media.StorageError{Op: "put", Key: "outputs/x", Err: tc.err}); got != tc.want {
			t.Errorf("StorageCause(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

// answerError is an answer of S3.
type answerError string

func (e answerError) Error() string     { return "api error " + string(e) }
func (e answerError) ErrorCode() string { return string(e) }

// A probe's key must be found by people and never be another replica's.
func TestProbe_HasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "bucket")
	keys := map[string]bool{}
	for range 2 {
		var seen string
		bucket, err := media.OpenObservedBucket(t.Context(), "file://"+folder, func(_ context.Context, e *media.StorageError) { seen = e.Key })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bucket.Close() })
		if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := bucket.Probe(t.Context(), 1); err == nil || !regexp.MustCompile(`^outputs/probe-[A-Z2-7]{26}$`).MatchString(seen) {
			t.Errorf("the probe of a broken folder gave %v, of %q", err, seen)
		}
		keys[seen] = true
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 2 {
		t.Errorf("two processes have the keys %v", keys)
	}
}

package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// TestStorage_ADiskThatTakesNoFiles makes the disk of a bucket read-only, and then full, while a task runs. It needs
// permission to mount a file system.
func TestStorage_ADiskThatTakesNoFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		breakDisk, mend func(t *testing.T, disk string)
		cause           string
	}{
		"read-only": {
			func(t *testing.T, disk string) { t.Helper(); mount(t, disk, syscall.MS_REMOUNT|syscall.MS_RDONLY) },
			func(t *testing.T, disk string) { t.Helper(); mount(t, disk, syscall.MS_REMOUNT) },
			"storage is read-only",
		},
		"full": {fillDisk, emptyDisk, "storage is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := t.TempDir()
			mount(t, disk, 0)
			t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
			ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.Bucket = "file://" + filepath.Join(disk, "bucket") })
			e2etest.AwaitReady(t, ts, http.StatusOK)

			tc.breakDisk(t, disk)
			id := ts.Submit(t, "").GetId()
			e2etest.AwaitReady(t, ts, http.StatusServiceUnavailable)
			e2etest.Eventually(t, "the task to wait for the storage", func() bool {
				waiting := ts.Get(t, id).GetWaiting()
				return waiting.GetCause() == e2etest.StorageUnavailable && strings.Contains(waiting.GetMessage(), tc.cause)
			})
			clip := e2etest.DistinctClip(t.Name())
			_, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
			if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "STORAGE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
				t.Errorf("an upload ended with %v, want UNAVAILABLE, STORAGE_UNAVAILABLE and RetryInfo", err)
			}
			if pause := accountPause(t, ts); pause.GetCause() != e2etest.StorageUnavailable {
				t.Errorf("operators see the pause %v, want that of the storage", pause)
			}
			e2etest.CheckStorageUp(t, ts, "0")
			if log := ts.Log.String(); !strings.Contains(log, `cause="the `+tc.cause+`"`) {
				t.Errorf("the log does not name the cause %q:\n%s", tc.cause, log)
			}

			tc.mend(t, disk)
			if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
				t.Errorf("ended %v, want SUCCEEDED", last)
			}
			e2etest.AwaitReady(t, ts, http.StatusOK)
		})
	}
}

// mount mounts a small in-memory file system, or remounts it with other flags.
func mount(t *testing.T, folder string, flags uintptr) {
	t.Helper()
	var err error
	e2etest.Eventually(t, "no file in the folder to be open for writing", func() bool { // Until then, the folder can't become read-only.
		err = syscall.Mount("tmpfs", folder, "tmpfs", flags, "size=8m")
		return !errors.Is(err, syscall.EBUSY)
	})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("the test may not mount a file system")
	}
	if err != nil {
		t.Fatalf("mount %s: %v", folder, err)
	}
}

// filling is the file that fills a disk.
const filling = "filling"

func fillDisk(t *testing.T, disk string) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, filling))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}

func emptyDisk(t *testing.T, disk string) {
	t.Helper()
	if err := os.Remove(filepath.Join(disk, filling)); err != nil {
		t.Fatal(err)
	}
}

// accountPause returns the pause of the first account, as operators see it.
func accountPause(t *testing.T, ts *e2etest.Service) *refractv1.ProviderPause {
	t.Helper()
	op := ts.Operator(t)
	accounts, err := op.ListProviderAccounts(op.Ctx(t), &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return accounts.GetAccounts()[0].GetPause()
}

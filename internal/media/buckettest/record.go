package buckettest

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/media"
)

// createsRecordsOnce lets several callers create the same records at once: for each, one succeeds, and its record stays.
func createsRecordsOnce(t *testing.T, b *media.Bucket) {
	t.Helper()
	const callers = 8
	for n := range 4 {
		key := fmt.Sprintf("records/%d/one", n)
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { errs[i] = b.CreateRecord(t.Context(), key, fmt.Appendf(nil, "by %d", i)) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Errorf("callers %d and %d both created %s", winner, i, key)
			case err == nil:
				winner = i
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("create %s: %v, want fs.ErrExist", key, err)
			}
		}
		if err := b.CreateRecord(t.Context(), key, []byte("late")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a later create: %v, want fs.ErrExist", err)
		}
		got, err := b.ReadRecord(t.Context(), key)
		if want := fmt.Sprintf("by %d", winner); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", key, got, err, want)
		}
	}
}

func replacesRecords(t *testing.T, b *media.Bucket) {
	t.Helper()
	const key = "records/two"
	if _, err := b.ReadRecord(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read a record that is not there: %v, want fs.ErrNotExist", err)
	}
	for _, want := range []string{"first", "second"} {
		if err := b.ReplaceRecord(t.Context(), key, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := b.ReadRecord(t.Context(), key); err != nil || string(got) != want {
			t.Errorf("it holds %q (%v), want %q", got, err, want)
		}
	}
	checkKeys(t, b, "records/", key)
	for _, key := range []string{"/records", "records/../up", "records//x"} {
		if b.CreateRecord(t.Context(), key, nil) == nil || b.ReplaceRecord(t.Context(), key, nil) == nil {
			t.Errorf("the key %q was taken", key)
		}
	}
}

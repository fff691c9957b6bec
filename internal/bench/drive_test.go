package bench

import (
	"context"
	"sync/atomic"
	"testing"
)

func TestDrive_EachCallerCallsAtLeastOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	open := func() (func(context.Context) error, func(), error) {
		return func(context.Context) error { calls.Add(1); return nil }, func() {}, nil
	}
	rate, err := drive(t.Context(), 3, 0, 500, open) // The time is over before the first call, as on a machine that is busy.
	if err != nil || calls.Load() != 3 || rate.Done != 1500 {
		t.Errorf("3 callers made %d calls and did %d, %v, want one call each", calls.Load(), rate.Done, err)
	}
}

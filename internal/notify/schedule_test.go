package notify

import (
	"testing"
	"time"
)

func TestRetryAfter_FollowsTheScheduleWithJitter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		attempts int
		random   float64
		want     time.Duration
		more     bool
	}{
		{0, 0.5, 0, false},
		{1, 0.5, 5 * time.Second, true},
		{2, 0.5, 5 * time.Minute, true},
		{3, 0.5, 30 * time.Minute, true},
		{4, 0.5, 2 * time.Hour, true},
		{5, 0.5, 5 * time.Hour, true},
		{6, 0.5, 10 * time.Hour, true},
		{7, 0.5, 10 * time.Hour, true},
		{8, 0.5, 0, false},
		{9, 0.5, 0, false},
		{1, 0, 4500 * time.Millisecond, true},
		{1, 1, 5500 * time.Millisecond, true},
		{7, 0, 9 * time.Hour, true},
		{7, 1, 11 * time.Hour, true},
	} {
		got, more := RetryAfter(tt.attempts, tt.random)
		if (got-tt.want).Abs() > time.Millisecond || more != tt.more { // Floating point rounds.
			t.Errorf("RetryAfter(%d, %v) = %v, %v; want %v, %v", tt.attempts, tt.random, got, more, tt.want, tt.more)
		}
	}
	if n := len(schedule) + 1; n != MaxAttempts {
		t.Errorf("the schedule has %d attempts, MaxAttempts is %d", n, MaxAttempts)
	}
}

func TestBreakerPause_DoublesFromFiveSecondsToFiveMinutes(t *testing.T) {
	t.Parallel()
	if got := breakerPause(breakerFailures-1, time.Hour); got != 0 {
		t.Errorf("pause of %v after %d failures, want none", got, breakerFailures-1)
	}
	failing := time.Duration(0)
	for i, want := range []time.Duration{
		5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second,
		160 * time.Second, 5 * time.Minute, 5 * time.Minute,
	} {
		got := breakerPause(breakerFailures+i, failing)
		if got != want {
			t.Errorf("pause %d is %v after failing for %v, want %v", i, got, failing, want)
		}
		failing += got
	}
}

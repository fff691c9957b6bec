package sim

import (
	"testing"
	"time"
)

func TestCallbackTerms_PauseGrows(t *testing.T) {
	t.Parallel()
	steady, growing := CallbackTerms{Spacing: time.Second}, CallbackTerms{Spacing: time.Second, Growth: 1.5}
	for attempt, want := range []time.Duration{time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond} {
		if got := growing.pause(attempt + 1); got != want {
			t.Errorf("after try %d: %v, want %v", attempt+1, got, want)
		}
		if got := steady.pause(attempt + 1); got != time.Second {
			t.Errorf("without growth after try %d: %v, want 1s", attempt+1, got)
		}
	}
}

func TestCallbackTerms_RetriesHaveATimeoutOfTheirOwn(t *testing.T) {
	t.Parallel()
	terms := CallbackTerms{Timeout: time.Second, RetryTimeout: time.Minute}
	if a, b := terms.timeout(1), terms.timeout(2); a != time.Second || b != time.Minute {
		t.Errorf("got %v and %v", a, b)
	}
	if got := (CallbackTerms{Timeout: time.Second}).timeout(2); got != time.Second {
		t.Errorf("by default: %v, want that of the first try", got)
	}
}

func TestCallbackTerms_AcceptsAllSuccessesOnRequest(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]bool{200: {true, true}, 204: {false, true}, 302: {false, false}, 500: {false, false}} {
		if got := [2]bool{(CallbackTerms{}).accepts(status), (CallbackTerms{Any2xx: true}).accepts(status)}; got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

package queue

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
)

func TestQueue_RunsEachKindWithItsWorkersAndTime(t *testing.T) {
	t.Parallel()
	registered := 0
	kind := func(name string, workers int) Kind {
		return Kind{Name: name, Workers: workers, Timeout: time.Minute, Register: func(*river.Workers) { registered++ }}
	}
	q := &Queue{cfg: Config{
		Kinds: []Kind{kind("submit", 3), kind("save", 5)}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}}
	want := map[string]river.QueueConfig{"submit": {MaxWorkers: 3}, "save": {MaxWorkers: 5}}
	if diff := cmp.Diff(want, q.config().Queues); diff != "" || registered != 2 {
		t.Errorf("%d kinds registered, queues (-want +got):\n%s", registered, diff)
	}
	for name, timeout := range q.Timeouts() {
		if timeout <= time.Minute {
			t.Errorf("%s counts as lost after %s, want more than the minute that it may take", name, timeout)
		}
	}
	if q.Working(1) {
		t.Error("a replica that runs nothing reports that it works on a job")
	}
}

func TestRetryAfter_DoublesUpToTwoMinutes(t *testing.T) {
	t.Parallel()
	for try, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 8: 2 * time.Minute, 1000: 2 * time.Minute} {
		if got := RetryAfter(try); got != want {
			t.Errorf("after try %d: %s, want %s", try, got, want)
		}
	}
}

package audit

import (
	"slices"
	"strings"
	"time"
)

// historyChecks check promises 4 and 5: every change once and in order, and terminal is terminal.
var historyChecks = []check{
	{4, "revisions have no gap in the table", func(f *Facts, fail func(string, ...any)) {
		for _, t := range f.Tasks {
			events := f.history[t.ID]
			for i, e := range events {
				if e.Revision != int64(i+1) {
					fail("task %s has revision %d where %d belongs", t.ID, e.Revision, i+1)
					break
				}
			}
			if n := len(events); int64(n) != t.Revision || n > 0 && events[n-1].State != t.State {
				fail("task %s is %s at revision %d, and its %d events end otherwise", t.ID, t.State, t.Revision, n)
			}
		}
	}},
	{4, "watchers see every revision once and in order", func(f *Facts, fail func(string, ...any)) {
		for i, w := range f.Watches {
			for n, seen := range w.Seen {
				if seen.Revision != int64(n+1) {
					fail("watcher %d of task %s saw revision %d where %d belongs", i, w.TaskID, seen.Revision, n+1)
					break
				}
			}
		}
	}},
	{4, "watchers see what the table holds", func(f *Facts, fail func(string, ...any)) {
		for i, w := range f.Watches {
			states := map[int64]string{}
			for _, e := range f.history[w.TaskID] {
				states[e.Revision] = e.State
			}
			for _, seen := range w.Seen {
				if states[seen.Revision] != seen.State {
					fail("watcher %d of task %s saw %s as revision %d, which is %q", i, w.TaskID, seen.State, seen.Revision, states[seen.Revision])
				}
			}
		}
	}},
	{4, "watchers see the end", func(f *Facts, fail func(string, ...any)) {
		for i, w := range f.Watches {
			t := f.tasks[w.TaskID]
			last := int64(0)
			if len(w.Seen) > 0 {
				last = w.Seen[len(w.Seen)-1].Revision
			}
			retried := func(e Event) bool { return e.Revision == last+1 && isRetry(e) }
			switch {
			case t == nil:
				fail("watcher %d watched task %s, which is not there", i, w.TaskID)
			case w.Ended && slices.ContainsFunc(f.history[w.TaskID], retried):
				// It saw an end that the task has left since.
			case w.Left: // It saw only a part.
			case terminal(t.State) && (!w.Ended || last != t.Revision):
				fail("watcher %d of task %s reached revision %d (ended: %t); the task ended with %d", i, w.TaskID, last, w.Ended, t.Revision)
			case !terminal(t.State) && w.Ended:
				fail("the stream of watcher %d of task %s ended, and the task is %s", i, w.TaskID, t.State)
			}
		}
	}},
	{4, "no bookmark hides an older change", func(f *Facts, fail func(string, ...any)) {
		for _, w := range f.Witnesses {
			w.missedChanges(f, fail)
		}
	}},
	{4, "no stream is silent and open", func(f *Facts, fail func(string, ...any)) {
		for _, w := range f.Witnesses {
			for _, s := range w.Streams {
				last := s.Opened
				for _, at := range s.times() {
					if gap := at.Sub(last); gap > silenceBound {
						fail("a stream of %s was open and silent for %v", w.Replica, gap)
					}
					last = at
				}
			}
		}
	}},
	{5, "no change follows an end", func(f *Facts, fail func(string, ...any)) {
		for id, events := range f.history {
			for i, e := range events[1:] {
				if before := events[i]; terminal(before.State) && !isRetry(e) {
					fail("task %s became %s by %q after it was %s", id, e.State, e.Message, before.State)
				}
			}
		}
	}},
}

// isRetry reports whether a caller requested a change. Only a caller may continue a task after its end.
func isRetry(e Event) bool { return strings.HasPrefix(e.Message, "retry requested") }

const (
	// missBound is the maximum age of a change that a bookmark may miss. Bookmarks come every 15 seconds, and each
	// needs a confirmation of the log since the one before. The rest is for a process that was stopped meanwhile.
	missBound = 30 * time.Second
	// silenceBound is the 45 seconds after which a client takes a stream for dead, plus the same margin.
	silenceBound = 60 * time.Second
)

// missedChanges fails for each bookmark that arrived before an older change.
func (w Witness) missedChanges(f *Facts, fail func(string, ...any)) {
	type change struct {
		task     string
		revision int64
	}
	var begin time.Time
	seen := map[change]time.Time{}
	for _, s := range w.Streams {
		for _, h := range s.Heard {
			if begin.IsZero() {
				begin = h.At
			}
			seen[change{h.TaskID, h.Revision}] = h.At
		}
	}
	for _, s := range w.Streams {
		for i, h := range s.Heard {
			if i == 0 || h.TaskID != "" {
				continue
			}
			for _, e := range f.Events {
				at, came := seen[change{e.TaskID, e.Revision}]
				if e.Created.After(begin) && h.At.Sub(e.Created) > missBound && (!came || at.After(h.At)) {
					fail("a bookmark of %s came %v after revision %d of task %s, which had not come", w.Replica, h.At.Sub(e.Created), e.Revision, e.TaskID)
				}
			}
		}
	}
}

// times returns the times of the messages of a stream, and of its end.
func (s Stream) times() []time.Time {
	times := make([]time.Time, 0, len(s.Heard)+1)
	for _, h := range s.Heard {
		times = append(times, h.At)
	}
	return append(times, s.Ended)
}

package watch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// logState records whether the log can be read. The sweeper reports every read to it. Streams ask it whether they may
// send a bookmark.
//
// A bookmark says that the log has nothing more for its stream. Only a read can confirm that. So a stream carries a
// bookmark only if a read has succeeded that began after the stream's newest message. When no read has succeeded for
// outageLimit, the log is lost: all streams end, and new ones are refused, until a read succeeds.
type logState struct {
	began   time.Time
	logger  *slog.Logger
	changed func(readable bool)

	confirmed atomic.Int64 // When the newest successful read started, in nanoseconds after began.

	mu      sync.Mutex
	failure error         // The error of the newest sweep; nil while sweeps succeed.
	answers chan struct{} // Closed while sweeps succeed.
	loss    error         // The error with which streams end; nil unless the log is lost.
}

func newLogState(logger *slog.Logger, changed func(bool)) *logState {
	s := &logState{began: time.Now(), logger: logger, changed: changed, answers: make(chan struct{})}
	close(s.answers)
	return s
}

// now returns the time since the hub was made.
func (s *logState) now() time.Duration { return time.Since(s.began) }

// confirm records that a read has succeeded, and when it began. Only the sweeper calls it.
func (s *logState) confirm(began time.Duration) {
	s.confirmed.Store(max(s.confirmed.Load(), int64(began)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		s.failure = nil
		close(s.answers)
	}
	if s.loss != nil {
		s.loss = nil
		s.changed(true)
	}
}

// fail records that a sweep has failed.
func (s *logState) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.answers = make(chan struct{})
	}
	s.failure = err
}

// confirmedAfter reports whether a read that began after a time has succeeded.
func (s *logState) confirmedAfter(t time.Duration) bool { return s.confirmed.Load() > int64(t) }

// answering returns a channel that is closed once sweeps succeed.
func (s *logState) answering() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// lost returns the error with which all streams end, or nil unless the log is lost.
func (s *logState) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loss
}

// expire reports whether the log is lost, and records the loss when outageLimit has passed.
//
// NOTE: time alone does not lose the log; a sweep must have failed. A process that was suspended for a minute reads the
// log first.
func (s *logState) expire(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loss == nil && s.failure != nil && s.now() >= time.Duration(s.confirmed.Load())+outageLimit {
		s.loss = fmt.Errorf("%w: %w", ErrNotReading, s.failure)
		s.changed(false) // Before the first stream ends, so that its caller resumes at another replica.
		s.logger.ErrorContext(ctx, "the log of events could not be read in time; all watches end until it can", "after", outageLimit, "error", s.failure)
	}
	return s.loss != nil
}

package main

import (
	"context"
	"log/slog"
	"sync"
)

// outageLog is a log handler that, while the database takes no writes, passes each message about that once and counts the
// rest. Otherwise every call and every loop would repeat the one cause as long as it lasts.
type outageLog struct {
	slog.Handler
	*outageLines
}

// outageLines are the lines of an outage, which handlers of one log share.
type outageLines struct {
	about func(error) bool // Reports whether an error is about the outage.

	mu     sync.Mutex
	passed map[string]bool // The messages that were passed; nil without an outage.
	held   int
}

func newOutageLog(h slog.Handler, about func(error) bool) outageLog {
	return outageLog{h, &outageLines{about: about}}
}

// begin begins an outage.
func (l *outageLines) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed, l.held = map[string]bool{}, 0
}

// end ends it and returns how many lines were held back.
func (l *outageLines) end() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed = nil
	return l.held
}

// Handle passes a line on, unless it repeats one of the outage.
func (h outageLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && h.repeats(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (l *outageLines) repeats(r slog.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.passed == nil || !l.concerns(r) {
		return false
	}
	if l.passed[r.Message] {
		l.held++
		return true
	}
	l.passed[r.Message] = true
	return false
}

// concerns reports whether a line is about the outage. The job queue logs its errors as text, and meets no others.
func (l *outageLines) concerns(r slog.Record) (is bool) {
	r.Attrs(func(a slog.Attr) bool {
		switch value := a.Value.Any().(type) {
		case error:
			is = l.about(value)
		case string:
			is = a.Key == "err" || a.Key == "error"
		}
		return !is
	})
	return is
}

// WithAttrs keeps the lines.
func (h outageLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return outageLog{h.Handler.WithAttrs(attrs), h.outageLines}
}

// WithGroup keeps the lines.
func (h outageLog) WithGroup(name string) slog.Handler {
	return outageLog{h.Handler.WithGroup(name), h.outageLines}
}

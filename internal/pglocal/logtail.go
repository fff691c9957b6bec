package pglocal

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

const (
	tailLines = 12
	lineLimit = 4 << 10 // longer lines come in pieces
)

// logTail passes a child's output on to a logger, line by line, and remembers the last lines for error messages. The zero
// value only remembers.
type logTail struct {
	logger *slog.Logger

	mu      sync.Mutex
	partial []byte
	lines   []string
}

// Write never fails: a child must not block or die because of its log.
func (t *logTail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial = append(t.partial, p...)
	for {
		end := bytes.IndexByte(t.partial, '\n')
		switch {
		case end >= 0:
			t.line(string(t.partial[:end]))
			t.partial = t.partial[end+1:]
		case len(t.partial) > lineLimit:
			t.line(string(t.partial))
			t.partial = nil
		default:
			return len(p), nil
		}
	}
}

func (t *logTail) line(line string) {
	if t.logger != nil {
		t.logger.DebugContext(context.Background(), "postgres", "line", line)
	}
	if len(t.lines) == tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, line)
}

// String returns the last lines in a form that can follow an error's cause, empty when there are none.
func (t *logTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.Join(t.lines, "\n") + "\n" + string(t.partial))
	if text == "" {
		return ""
	}
	return "; its last words:\n" + text
}

// attrs returns the last line for a log message, nothing when there is none.
func (t *logTail) attrs() []slog.Attr {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := strings.TrimSpace(string(t.partial))
	if last == "" && len(t.lines) > 0 {
		last = t.lines[len(t.lines)-1]
	}
	if last == "" {
		return nil
	}
	return []slog.Attr{slog.String("last_line", last)}
}

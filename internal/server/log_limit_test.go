package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestOutageLog_RepeatsNothingAboutTheDatabase logs the same again and again, before, during and after an outage.
func TestOutageLog_RepeatsNothingAboutTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errLost, errOther := error(&pgconn.PgError{Severity: "FATAL", Message: "lost", Code: "57P03"}), errors.New("other")
		var text bytes.Buffer
		lines := newOutageLog(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}), aboutDatabase)
		log := slog.New(lines)
		twice := func(message string, err any) {
			log.Warn(message, "error", err)                    //nolint:sloglint // The test has several.
			log.With("replica", 1).Warn(message, "error", err) //nolint:sloglint // As above.
		}
		var got []string
		expect := func(want ...string) {
			t.Helper()
			got = strings.FieldsFunc(text.String(), func(r rune) bool { return r == '\n' })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the log (-want +got):\n%s", diff)
			}
			text.Reset()
		}
		const a, b, other, words = `level=WARN msg=a error="try: FATAL: lost (SQLSTATE 57P03)"`, `level=WARN msg=b error="FATAL: lost (SQLSTATE 57P03)"`, "level=WARN msg=c error=other", "level=WARN msg=d error=words"
		const deadline = `level=WARN msg=e error="context deadline exceeded"`
		twice("a", fmt.Errorf("try: %w", errLost))
		twice("c", errOther)
		twice("d", "words")
		expect(a, other, strings.Replace(other, "msg=c", "msg=c replica=1", 1), words, strings.Replace(words, "msg=d", "msg=d replica=1", 1))
		time.Sleep(repeatAfter) //nolint:forbidigo // In a bubble.
		twice("a", errLost)
		expect(`level=WARN msg=a error="FATAL: lost (SQLSTATE 57P03)" lines_held_back=1`)

		lines.begin(func() {})
		lines.begin(func() {})      // Another fault.
		time.Sleep(2 * repeatAfter) //nolint:forbidigo // In a bubble.
		twice("a", errLost)
		twice("b", errLost)
		twice("d", "words")
		twice("e", context.DeadlineExceeded)
		log.Error("f")
		log.Error("f")
		twice("c", errOther)
		expect(b, words, deadline, "level=ERROR msg=f", other, strings.Replace(other, "msg=c", "msg=c replica=1", 1))
		lines.end(func(held int) {
			if held != 7 {
				t.Errorf("%d lines were held back, want 7", held)
			}
		})
		twice("a", errLost)
		expect(`level=WARN msg=a error="FATAL: lost (SQLSTATE 57P03)"`)
	})
}

// TestOutageLog_NoOutageBeginsWhileALineIsWritten checks the lock, because a line that is judged before an outage begins and
// written after its beginning would repeat there.
func TestOutageLog_NoOutageBeginsWhileALineIsWritten(t *testing.T) {
	t.Parallel()
	var lines outageLog
	written := 0
	lines = newOutageLog(handlerFunc(func() {
		written++
		if lines.mu.TryLock() {
			lines.mu.Unlock()
			t.Error("an outage can begin while the line is written")
		}
	}), aboutDatabase)
	slog.New(lines).Error("fetch jobs", "err", "no connection")
	lines.begin(func() {
		if lines.mu.TryLock() {
			lines.mu.Unlock()
			t.Error("a line can be written before the one that begins the outage")
		}
	})
	lines.end(func(int) {
		if lines.mu.TryLock() {
			lines.mu.Unlock()
			t.Error("a line can be written before the one that ends the outage")
		}
	})
	if written != 1 {
		t.Errorf("%d lines were written, want one", written)
	}
}

// handlerFunc is called for each line.
type handlerFunc func()

func (handlerFunc) Enabled(context.Context, slog.Level) bool { return true }

func (f handlerFunc) Handle(context.Context, slog.Record) error {
	f()
	return nil
}

func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f handlerFunc) WithGroup(string) slog.Handler { return f }

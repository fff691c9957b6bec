package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/dbpool"
)

// repeatAfter is when a message about the database or the storage may repeat while no fault is known.
const repeatAfter = time.Minute

// outageLog is a log handler that counts repeated messages about the database, or about the storage, instead of passing them
// on. During a fault each message passes once, and otherwise once a minute. Without it, every call and every loop would repeat the
// one cause for as long as it lasts.
type outageLog struct {
	slog.Handler
	*outageLines
}

// outageLines are the lines about the database, or about the storage, which handlers of one log share.
type outageLines struct {
	about func(a slog.Attr, outage bool) bool // Reports whether a field is about what fails.

	mu     sync.Mutex
	outage bool
	passed map[string]time.Time // When each message was passed.
	held   int                  // How many lines were held back since the last one that says so.
}

func newOutageLog(h slog.Handler, about func(a slog.Attr, outage bool) bool) outageLog {
	return outageLog{h, &outageLines{about: about, passed: map[string]time.Time{}}}
}

// begin begins an outage, unless one goes on. What was passed just before counts. It calls log to write that the outage
// begins, and no other warning or error is written meanwhile.
func (l *outageLines) begin(log func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.outage {
		l.outage = true
		maps.DeleteFunc(l.passed, func(_ string, at time.Time) bool { return time.Since(at) >= repeatAfter })
	}
	log()
}

// end ends the outage. It calls log to write so and how many lines were held back, and no other warning or error is written meanwhile.
func (l *outageLines) end(log func(held int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	log(l.held)
	l.outage, l.held = false, 0
	clear(l.passed)
}

// Handle passes a line on, unless it repeats another one. The lock is held until the line is written. A line that is judged
// before an outage begins would otherwise be written after its beginning, and repeat there.
func (h outageLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	repeats, held := h.repeats(r)
	if repeats {
		return nil
	}
	if held > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("lines_held_back", held))
	}
	return h.Handler.Handle(ctx, r)
}

// repeats reports whether a line repeats another one. A line that does not, outside an outage, also says how many did. The caller
// holds the lock.
func (l *outageLines) repeats(r slog.Record) (repeats bool, held int) {
	if !l.concerns(r) {
		return false, 0
	}
	at, seen := l.passed[r.Message]
	if seen && (l.outage || r.Time.Sub(at) < repeatAfter) {
		l.held++
		return true, 0
	}
	l.passed[r.Message] = r.Time
	if !l.outage {
		held, l.held = l.held, 0
	}
	return false, held
}

// concerns reports whether a line is about what fails.
func (l *outageLines) concerns(r slog.Record) (is bool) {
	if l.outage && r.NumAttrs() == 0 { // As the job queue gives up without saying on what.
		return true
	}
	r.Attrs(func(a slog.Attr) bool {
		is = l.about(a, l.outage)
		return !is
	})
	return is
}

// aboutDatabase reports whether a field is an error of the database. During an outage a wait for a connection ends with a bare
// deadline, and the job queue, which logs some errors as text, meets no others.
func aboutDatabase(a slog.Attr, outage bool) bool {
	switch value := a.Value.Any().(type) {
	case error:
		return dbpool.Unavailable(value) || errors.Is(value, errNotServing) || outage && errors.Is(value, context.DeadlineExceeded)
	case string:
		return outage && (a.Key == "err" || a.Key == "error")
	default:
		return false
	}
}

// aboutStorage reports whether a field is an error of the storage.
func aboutStorage(a slog.Attr, _ bool) bool {
	err, ok := a.Value.Any().(error)
	return ok && errors.Is(err, media.ErrStorage)
}

// WithAttrs keeps the lines.
func (h outageLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return outageLog{h.Handler.WithAttrs(attrs), h.outageLines}
}

// WithGroup keeps the lines.
func (h outageLog) WithGroup(name string) slog.Handler {
	return outageLog{h.Handler.WithGroup(name), h.outageLines}
}

// logs are the logs of the service.
type logs struct {
	*slog.Logger // Holds back lines that repeat the cause of an outage.

	all           *slog.Logger // Holds nothing back.
	aboutDatabase *outageLines
	aboutStorage  *outageLines
}

func newLogs(log *slog.Logger) logs {
	database := newOutageLog(log.Handler(), aboutDatabase)
	both := newOutageLog(database, aboutStorage)
	return logs{Logger: slog.New(both), all: log, aboutDatabase: database.outageLines, aboutStorage: both.outageLines}
}

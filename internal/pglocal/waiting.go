package pglocal

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// firstReport is how long a start may take before the log says what it waits for.
	firstReport = 5 * time.Second
	// reportPeriod is the time between two of these messages.
	reportPeriod = 10 * time.Second
)

// Waiting logs at info level what a start waits for: after 5 seconds, then every 10 seconds. A start may take
// minutes, so this is how an operator distinguishes a slow one from a hung one. Its methods may be called concurrently.
type Waiting struct {
	logger *slog.Logger
	after  func(time.Duration) <-chan time.Time
	began  time.Time

	mu     sync.Mutex
	step   string
	detail func() []slog.Attr

	stop    context.CancelFunc
	stopped chan struct{}
}

// NewWaiting begins to log. The caller must call Stop. A nil logger means slog.Default().
func NewWaiting(ctx context.Context, logger *slog.Logger) *Waiting {
	return newWaiting(ctx, logger, time.After)
}

// newWaiting takes a replacement for time.After, whose times are what the log counts by.
func newWaiting(ctx context.Context, logger *slog.Logger, after func(time.Duration) <-chan time.Time) *Waiting {
	if logger == nil {
		logger = slog.Default()
	}
	ctx, stop := context.WithCancel(ctx)
	w := &Waiting{logger: logger, after: after, began: time.Now(), stop: stop, stopped: make(chan struct{})}
	go w.run(ctx)
	return w
}

// Step names what the start waits for from now on, such as "creating the cluster".
func (w *Waiting) Step(step string) { w.detailedStep(step, nil) }

// detailedStep is Step with a function that returns what the log message says in addition.
func (w *Waiting) detailedStep(step string, detail func() []slog.Attr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step, w.detail = step, detail
}

// Stop ends the messages. It may be called again.
func (w *Waiting) Stop() {
	w.stop()
	<-w.stopped
}

func (w *Waiting) run(ctx context.Context) {
	defer close(w.stopped)
	for pause := firstReport; ; pause = reportPeriod {
		select {
		case <-ctx.Done():
			return
		case now := <-w.after(pause):
			w.report(ctx, now)
		}
	}
}

func (w *Waiting) report(ctx context.Context, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	attrs := []slog.Attr{slog.String("step", w.step), slog.Duration("elapsed", now.Sub(w.began).Round(time.Second))}
	if w.detail != nil {
		attrs = append(attrs, w.detail()...)
	}
	w.logger.LogAttrs(ctx, slog.LevelInfo, "still waiting for PostgreSQL", attrs...)
}

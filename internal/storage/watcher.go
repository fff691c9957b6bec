// Package storage watches whether results can be stored, so that the service does not pay for results that it can't save.
//
// Each replica probes the storage by itself: it stores, reads and deletes a file where results go. While its probe fails, a
// replica is not ready and admits nothing. Other replicas continue while their own probes succeed: a folder may be read-only
// on one machine only. Each replica records its result in the database, so that every replica can report why tasks wait. A
// record that its replica does not renew expires.
//
// A file that could not be stored makes the storage count as failing at once, until a probe succeeds. When the database
// fails, the replica records nothing, and its own state stays in force.
package storage

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
)

const (
	// period is the interval of probes while the storage works, and failingPeriod while it does not.
	period        = 30 * time.Second
	failingPeriod = 5 * time.Second
	// spacing is the minimum time between two probes, however many failures are reported.
	spacing = time.Second
	// timeout bounds a probe of usual size. A larger one gets more time, at the rate slowest.
	timeout = 20 * time.Second
	slowest = 4 << 20 // Bytes a second.
	// usualSize is the normal size of a probe. After a larger file could not be stored, a probe has the size of that file, up
	// to largestSize: a nearly full disk still accepts a small file.
	usualSize   = 64 << 10
	largestSize = 256 << 20
	// recordTimeout bounds the record of a result. stopTimeout bounds the end of a probe that a stop interrupts: the probe
	// removes its file.
	recordTimeout = 10 * time.Second
	stopTimeout   = 6 * time.Second
)

// Change is a change of the state of the storage.
type Change struct {
	Working  bool
	Cause    string        // Why results can't be stored, as media.StorageCause describes it; empty if they can.
	Err      error         // The error of the probe; nil if it succeeded.
	After    time.Duration // How long the storage failed before it worked again; otherwise 0.
	Failures int           // How many probes failed in that time.
}

// Records stores the results of replicas.
type Records interface {
	// RecordStorage records the probe of a replica. cause is the cause of its failure, or empty if it succeeded.
	RecordStorage(ctx context.Context, replica, cause string) error
	// ForgetStorage removes the record of a replica that stops.
	ForgetStorage(ctx context.Context, replica string) error
}

// Config is the configuration of a Watcher.
type Config struct {
	Records Records
	Replica string // The name of this replica.
	// Changed is called at each change, and after the first probe. It must not block.
	Changed func(Change)
}

// Watcher probes the storage. Its methods may be called concurrently.
type Watcher struct {
	cfg      Config
	reported loop.Signal // Sent when a failure was reported.

	mu          sync.Mutex
	probed      bool // Whether a probe has ended.
	cause       string
	since       time.Time // When probes began to fail.
	failed      int
	reports     int   // How many failures were reported.
	suspectSize int64 // The size of the next probe, from the largest file that could not be stored since the start of the last successful probe; -1 for none.

	current *probe // Of Run alone; nil between probes.
}

// probe is a probe under way.
type probe struct {
	reports int // How many failures had been reported when it began.
	ended   chan error
}

// NewWatcher returns a watcher. Until the first probe of Run, the state of the storage is unknown.
func NewWatcher(cfg Config) *Watcher {
	return &Watcher{cfg: cfg, reported: loop.NewSignal(), suspectSize: -1}
}

// Working reports whether the last probe succeeded and no failure was reported since.
func (w *Watcher) Working() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed && w.cause == "" && w.suspectSize < 0
}

// Probed reports whether the last probe succeeded, and whether there was one.
func (w *Watcher) Probed() (working, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed && w.cause == "", w.probed
}

// Failed reports that a file could not be stored after a number of bytes, and requests a probe at once.
func (w *Watcher) Failed(bytes int64) {
	w.mu.Lock()
	w.suspectSize = max(w.suspectSize, bytes)
	w.reports++
	w.mu.Unlock()
	w.ProbeNow()
}

// ProbeNow requests a probe at once.
func (w *Watcher) ProbeNow() {
	w.reported.Send()
}

// Run probes until ctx ends. probe stores, reads and deletes a file of a size, as media.Bucket.Probe does.
func (w *Watcher) Run(ctx context.Context, probe func(ctx context.Context, size int64) error) error {
	defer w.forget(ctx)
	for {
		began := time.Now()
		reports, err := w.probe(ctx, probe)
		if ctx.Err() != nil {
			return nil
		}
		w.apply(reports, err)
		w.record(ctx)
		if !w.wait(ctx, began, !w.Working()) {
			return nil
		}
	}
}

// wait waits for the next probe, and reports whether ctx goes on.
func (w *Watcher) wait(ctx context.Context, began time.Time, failing bool) bool {
	next := period
	if failing {
		next = failingPeriod
	}
	next = next*4/5 + rand.N(next*2/5) //nolint:gosec // Jitter, so that replicas that start together do not probe together.
	due := time.NewTimer(next)
	defer due.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-due.C:
		return true
	case <-w.reported:
	}
	soon := time.NewTimer(time.Until(began.Add(spacing)))
	defer soon.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-soon.C:
		return true
	}
}

// probe probes within a bound, and returns how many failures had been reported when the probe began.
//
// NOTE: a probe that hangs in a system call can't be canceled. No other probe starts before it ends, so at most one hangs.
func (w *Watcher) probe(ctx context.Context, do func(context.Context, int64) error) (reports int, err error) {
	w.mu.Lock()
	size := min(max(w.suspectSize, usualSize), largestSize)
	reports = w.reports
	w.mu.Unlock()
	limit := timeout + time.Duration(size/slowest)*time.Second
	if w.current == nil {
		p := &probe{reports, make(chan error, 1)}
		w.current = p
		go func() {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			p.ended <- do(ctx, size)
		}()
	}
	reports = w.current.reports
	bound := time.NewTimer(limit)
	defer bound.Stop()
	select {
	case err := <-w.current.ended:
		w.current = nil
		return reports, err
	case <-bound.C:
		return reports, media.ErrUnanswered
	case <-ctx.Done():
	}
	grace := time.NewTimer(stopTimeout)
	defer grace.Stop()
	select {
	case <-w.current.ended: //nolint:errcheck // The replica stops.
	case <-grace.C:
	}
	return reports, ctx.Err()
}

// apply updates the state with the result of a probe.
func (w *Watcher) apply(reports int, err error) {
	cause := ""
	if err != nil {
		cause = media.StorageCause(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	first, before := !w.probed, w.cause
	change := Change{Working: err == nil, Cause: cause, Err: err}
	w.probed, w.cause = true, cause
	if err != nil {
		if before == "" {
			w.since, w.failed = time.Now(), 0
		}
		w.failed++
		if size := min(w.suspectSize, largestSize); size > usualSize && timedOut(err) {
			w.suspectSize = max(size/2, usualSize) // NOTE: a slow storage would otherwise fail every probe of this size.
		}
	} else {
		if before != "" {
			change.After, change.Failures = time.Since(w.since), w.failed
		}
		if w.reports == reports {
			w.suspectSize = -1
		}
	}
	if first || cause != before {
		w.cfg.Changed(change)
	}
}

// timedOut reports whether a probe failed because of its time limit.
func timedOut(err error) bool {
	return errors.Is(err, media.ErrUnanswered) || errors.Is(err, context.DeadlineExceeded)
}

// record records the state. If that fails, the next probe records it.
func (w *Watcher) record(ctx context.Context) {
	w.mu.Lock()
	cause := w.cause
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	_ = w.cfg.Records.RecordStorage(ctx, w.cfg.Replica, cause) // Others that use the database report its failures.
}

// forget removes the record. If that fails, the record expires.
func (w *Watcher) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	_ = w.cfg.Records.ForgetStorage(ctx, w.cfg.Replica)
}

// Package storage watches whether results can be stored, so that nothing is spent that can't be saved.
//
// Each replica probes the storage by itself: it stores, reads and deletes a file where results go. While its probe fails, a
// replica is not ready and admits nothing. Another replica whose probe succeeds goes on, since it can save what it
// admits: a folder may be read-only on one machine alone. What each replica found is recorded in the database, so that every
// replica can say what tasks wait for. A row that is not renewed for a while no longer counts: its replica died.
//
// A file that could not be stored counts at once, until a probe has shown otherwise. When the database fails, nothing
// is recorded, and the state of this replica holds all the same.
package storage

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/media"
)

const (
	// period is how often a storage that works is probed, and failingPeriod how often one that does not.
	period        = 30 * time.Second
	failingPeriod = 5 * time.Second
	// spacing is the least time between two probes, however many failures are reported.
	spacing = time.Second
	// timeout bounds a probe of usual size, with slowest as the rate at which larger ones must go.
	timeout = 20 * time.Second
	slowest = 4 << 20 // Bytes a second.
	// usualSize is the size of a probe, and largestSize the bound of one after a larger file could not be stored: a disk that
	// is nearly full still takes a small one.
	usualSize   = 64 << 10
	largestSize = 256 << 20
	// recordTimeout bounds the record of what was found, and stopTimeout the end of a probe that a stop cuts, which removes
	// its file.
	recordTimeout = 10 * time.Second
	stopTimeout   = 6 * time.Second
)

// Change is a change of whether results can be stored, or why not.
type Change struct {
	Working  bool
	Cause    string        // Why not, in the words of media.StorageCause; empty where they can.
	Err      error         // The error of the probe; nil where they can.
	After    time.Duration // How long they could not be stored, when they can again; 0 for the first probe.
	Failures int           // How many probes failed meanwhile.
}

// Records keeps what replicas found.
type Records interface {
	// RecordStorage records that a replica has probed, and the cause of its failure; empty for none.
	RecordStorage(ctx context.Context, replica, cause string) error
	// ForgetStorage removes the record of a replica that stops.
	ForgetStorage(ctx context.Context, replica string) error
}

// Config is what a Watcher works with.
type Config struct {
	Records Records
	Replica string // The name of this replica.
	// Changed is called at each change, and with what the first probe found. It must not block.
	Changed func(Change)
}

// Watcher probes the storage. Its methods may be called concurrently.
type Watcher struct {
	cfg      Config
	reported chan struct{} // Has an element when a failure was reported.

	mu       sync.Mutex
	probed   bool // Whether a probe has ended.
	cause    string
	since    time.Time // When it began to fail.
	failed   int
	reports  int   // How many failures were reported.
	suspects int64 // The size of the largest file that could not be stored since a probe began that succeeded, or less; -1 for none.

	current *probe // Of Run alone; nil between probes.
}

// probe is a probe under way.
type probe struct {
	reports int // How many failures had been reported when it began.
	ended   chan error
}

// NewWatcher returns a watcher of a storage of which nothing is known until Run has probed it.
func NewWatcher(cfg Config) *Watcher {
	return &Watcher{cfg: cfg, reported: make(chan struct{}, 1), suspects: -1}
}

// Working reports whether results can be stored, as far as is known: the last probe succeeded, and no failure was reported
// since.
func (w *Watcher) Working() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed && w.cause == "" && w.suspects < 0
}

// Probed reports whether the last probe succeeded, and whether there was one.
func (w *Watcher) Probed() (working, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed && w.cause == "", w.probed
}

// Failed takes in that a file could not be stored, of which so many bytes were taken, and has the storage probed at once.
func (w *Watcher) Failed(bytes int64) {
	w.mu.Lock()
	w.suspects = max(w.suspects, bytes)
	w.reports++
	w.mu.Unlock()
	w.Look()
}

// Look has the storage probed at once.
func (w *Watcher) Look() {
	select {
	case w.reported <- struct{}{}:
	default:
	}
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
		w.take(reports, err)
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
	next = next*4/5 + rand.N(next*2/5) //nolint:gosec // So that replicas that start together do not probe together.
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
// NOTE: a probe that hangs in a call to the system can't be ended. No other one begins before it has, so that no more than
// one hangs.
func (w *Watcher) probe(ctx context.Context, do func(context.Context, int64) error) (reports int, err error) {
	w.mu.Lock()
	size := min(max(w.suspects, usualSize), largestSize)
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

// take takes in how a probe ended.
func (w *Watcher) take(reports int, err error) {
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
		if size := min(w.suspects, largestSize); size > usualSize && unanswered(err) {
			w.suspects = max(size/2, usualSize) // NOTE: a storage that is slow would otherwise fail every probe of this size.
		}
	} else {
		if before != "" {
			change.After, change.Failures = time.Since(w.since), w.failed
		}
		if w.reports == reports {
			w.suspects = -1
		}
	}
	if first || cause != before {
		w.cfg.Changed(change)
	}
}

// unanswered reports whether a probe failed since its time was over.
func unanswered(err error) bool {
	return errors.Is(err, media.ErrUnanswered) || errors.Is(err, context.DeadlineExceeded)
}

// record records the state. Where that fails, the next probe does it.
func (w *Watcher) record(ctx context.Context) {
	w.mu.Lock()
	cause := w.cause
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	_ = w.cfg.Records.RecordStorage(ctx, w.cfg.Replica, cause) // Others that use the database report its failures.
}

// forget removes the record. Where that fails, it expires.
func (w *Watcher) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	_ = w.cfg.Records.ForgetStorage(ctx, w.cfg.Replica)
}

package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
)

const (
	// retainEvery is how often what has expired is removed. Nothing hands it out meanwhile.
	retainEvery = 10 * time.Minute
	// retainBatches bounds the batches of one kind in a round; the next round goes on behind them.
	retainBatches = 500
	// retainPause is what lies between two batches, so that callers hardly feel a round.
	retainPause = 50 * time.Millisecond
	// unkeptAtOnce is how many files are taken from the list at a time.
	unkeptAtOnce = 200
)

// Retention keeps the rows of what expires. Removing is safe to repeat, and for two replicas at a time.
type Retention interface {
	// HoldRetention makes this replica the one that removes, unless another one is.
	HoldRetention(ctx context.Context) (release func(), held bool, err error)
	// Aged returns the next things of a kind that grow old after one, in a batch of bounded size.
	Aged(ctx context.Context, kind lifecycle.Retained, after lifecycle.Aged) ([]lifecycle.Aged, error)
	// RemoveAged removes those that are not in use, and lists their files as unkept in the same transaction.
	RemoveAged(ctx context.Context, kind lifecycle.Retained, things []lifecycle.Aged) (lifecycle.Removed, error)
	// UnkeptFiles returns keys of files to delete, in order, after one.
	UnkeptFiles(ctx context.Context, after string, limit int) ([]string, error)
	// ForgetFiles takes keys off that list.
	ForgetFiles(ctx context.Context, keys []string) error
	// ForgetDays removes the counts of past days.
	ForgetDays(ctx context.Context) error
	Files
}

// Retainer removes what has been kept for long enough: rows first, in small batches, and then the files that nothing
// names any more. A crash in between leaves the files on a list that the next round goes on with. It is used by one
// goroutine at a time.
type Retainer struct {
	Store  Retention
	Bucket *media.Bucket
	Log    *slog.Logger
	// Batches bounds the batches of one kind in a round; 0 means that a round goes to the end.
	Batches int
	Pause   time.Duration // Between batches.
	// SweepOrphans deletes old files that no row names. The bucket must be this database's alone.
	SweepOrphans bool
	// Removed is told how much was removed; nil means nobody.
	Removed func(ctx context.Context, kind lifecycle.Retained, r lifecycle.Removed)

	places  map[lifecycle.Retained]lifecycle.Aged // Where the rounds before ended short of the end.
	orphans orphanPlace                           // The same among the files of the bucket.
}

// Expired is how much of a kind and a tenant has expired.
type Expired struct {
	Kind   lifecycle.Retained
	Tenant string
	lifecycle.Removed
}

// Survey counts what a round to the end would remove, by kind and tenant, and removes nothing. What goes with a task
// is counted with its own kind where that has expired too. Files that belong to nobody are counted where there is a Bucket,
// whether a round would delete them or not.
func (r *Retainer) Survey(ctx context.Context) ([]Expired, error) {
	var all []Expired
	for _, kind := range lifecycle.RetainedKinds {
		byTenant := map[string]lifecycle.Removed{}
		_, err := r.walk(ctx, kind, lifecycle.Aged{}, 0, func(due []lifecycle.Aged) error {
			for _, a := range due {
				sum := byTenant[a.Tenant]
				sum.Add(lifecycle.Removed{Rows: 1, Bytes: a.Bytes})
				byTenant[a.Tenant] = sum
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for tenant, sum := range byTenant {
			all = append(all, Expired{kind, tenant, sum})
		}
	}
	if r.Bucket != nil {
		sum, err := r.countOrphans(ctx)
		if err != nil {
			return nil, err
		}
		if sum.Rows > 0 {
			all = append(all, Expired{lifecycle.RetainedOrphan, "-", sum})
		}
	}
	slices.SortStableFunc(all, func(a, b Expired) int {
		return cmp.Or(cmp.Compare(slices.Index(lifecycle.RetainedKinds, a.Kind), slices.Index(lifecycle.RetainedKinds, b.Kind)),
			cmp.Compare(a.Tenant, b.Tenant))
	})
	return all, nil
}

// Round removes what has expired, unless another replica does just that, which held tells. Kinds do not wait for each
// other: an error of one comes back after the others had their turn.
func (r *Retainer) Round(ctx context.Context) (removed map[lifecycle.Retained]lifecycle.Removed, files int, held bool, err error) {
	release, held, err := r.Store.HoldRetention(ctx)
	if err != nil || !held {
		return nil, 0, held, err
	}
	defer release()
	removed = map[lifecycle.Retained]lifecycle.Removed{}
	var errs []error
	for _, kind := range lifecycle.RetainedKinds {
		sum, err := r.remove(ctx, kind)
		errs = append(errs, err)
		if sum.Rows > 0 {
			removed[kind] = sum
		}
	}
	files, err = r.deleteFiles(ctx)
	errs = append(errs, err, r.Store.ForgetDays(ctx))
	orphans, err := r.sweepOrphans(ctx)
	errs = append(errs, err)
	if orphans.Rows > 0 {
		removed[lifecycle.RetainedOrphan] = orphans
	}
	return removed, files, true, errors.Join(errs...)
}

// remove removes what has expired of one kind, from where the round before ended.
func (r *Retainer) remove(ctx context.Context, kind lifecycle.Retained) (sum lifecycle.Removed, err error) {
	place, err := r.walk(ctx, kind, r.places[kind], r.Batches, func(due []lifecycle.Aged) error {
		batch, err := r.Store.RemoveAged(ctx, kind, due)
		sum.Add(batch)
		if r.Removed != nil && batch.Rows > 0 {
			r.Removed(ctx, kind, batch)
		}
		return err
	})
	if r.places == nil {
		r.places = map[lifecycle.Retained]lifecycle.Aged{}
	}
	r.places[kind] = place
	return sum, err
}

// walk visits what has expired of a kind, batch by batch, and returns where it ended: the zero value at the end.
func (r *Retainer) walk(ctx context.Context, kind lifecycle.Retained, place lifecycle.Aged, batches int,
	visit func(due []lifecycle.Aged) error,
) (lifecycle.Aged, error) {
	for n := 0; batches == 0 || n < batches; n++ {
		if n > 0 && !rest(ctx, r.Pause) {
			return place, ctx.Err()
		}
		found, err := r.Store.Aged(ctx, kind, place)
		if err != nil {
			return place, err
		}
		if due := slices.DeleteFunc(slices.Clone(found), func(a lifecycle.Aged) bool { return !a.Due }); len(due) > 0 {
			if err := visit(due); err != nil {
				return place, err
			}
		}
		// Things grow old in about the order in which they are found, so one that is too young does not end the walk.
		if !slices.ContainsFunc(found, func(a lifecycle.Aged) bool { return a.Old }) {
			return lifecycle.Aged{}, nil
		}
		place = found[len(found)-1]
	}
	return place, nil
}

// deleteFiles deletes the files that nothing names any more. One that can't be deleted keeps no other from that.
func (r *Retainer) deleteFiles(ctx context.Context) (int, error) {
	var errs []error
	deleted := 0
	for after := ""; len(errs) < unkeptAtOnce; {
		keys, err := r.Store.UnkeptFiles(ctx, after, unkeptAtOnce)
		if err != nil || len(keys) == 0 {
			return deleted, errors.Join(append(errs, err)...)
		}
		after = keys[len(keys)-1]
		gone := keys[:0]
		for _, key := range keys {
			if err := r.Bucket.Delete(ctx, key); err != nil {
				errs = append(errs, err)
				continue
			}
			gone = append(gone, key)
		}
		if err := r.Store.ForgetFiles(ctx, gone); err != nil {
			return deleted, errors.Join(append(errs, err)...)
		}
		deleted += len(gone)
	}
	return deleted, errors.Join(errs...)
}

// rest waits, and tells whether ctx goes on.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// retainer makes the retainer of this replica, which counts what it removes.
func retainer(cfg Config) (*Retainer, error) {
	removed, err := cfg.Meter.Int64Counter("refract_retention_removed", metric.WithDescription(
		"What retention removed, by kind: outputs, sources, uploads, callbacks and tasks, and orphans, files that no row named."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of retention: %w", err)
	}
	return &Retainer{
		Store: cfg.Retention, Bucket: cfg.Media.Bucket, Log: cfg.Log, Batches: retainBatches, Pause: retainPause,
		SweepOrphans: cfg.SweepOrphans,
		Removed: func(ctx context.Context, kind lifecycle.Retained, r lifecycle.Removed) {
			removed.Add(ctx, r.Rows, metric.WithAttributes(attribute.String("kind", string(kind))))
		},
	}, nil
}

// RunRetention removes what has expired now and then until ctx ends. All replicas run it, one at a time.
func (w *Workers) RunRetention(ctx context.Context) error {
	ticker := time.NewTicker(retainEvery)
	defer ticker.Stop()
	for {
		w.retain(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *Workers) retain(ctx context.Context) {
	removed, files, held, err := w.retainer.Round(ctx)
	if !held && err == nil || ctx.Err() != nil {
		return
	}
	var args []any
	if files > 0 {
		args = append(args, "files", files)
	}
	for _, kind := range lifecycle.RetainedKinds {
		if rows := removed[kind].Rows; rows > 0 {
			args = append(args, string(kind)+"s", rows)
		}
	}
	switch {
	case err != nil:
		w.log.WarnContext(ctx, "retention round failed; will retry", append(args, "error", err)...)
	case len(args) > 0:
		w.log.InfoContext(ctx, "retention removed what has expired", args...)
	}
}

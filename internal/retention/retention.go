// Package retention removes rows and files whose retention time is over.
//
// It removes rows first, in small batches, and then the files that no row names any more. If a replica dies in between, the
// files stay on a list, and the next round continues with the list. If the database or the bucket fails, a later round removes
// the rest.
package retention

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

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
)

const (
	// interval is the time between two rounds. The service does not show anything expired in the meantime.
	interval = 10 * time.Minute
	// Batches bounds the batches of one kind in a round of a service. The next round continues after them.
	Batches = 500
	// Pause is the time between two batches in a service. It keeps the load of a round low.
	Pause = 50 * time.Millisecond
	// deletionsAtOnce is how many files are taken from the list at a time.
	deletionsAtOnce = 200
)

// Store removes expired rows. Its removals are idempotent, and safe on two replicas at the same time.
type Store interface {
	// HoldRetention takes the lock of retention, unless another replica holds it.
	HoldRetention(ctx context.Context) (release func(), held bool, err error)
	// ExpiryCandidates returns the next candidates of a kind after the given one, in a batch of bounded size.
	ExpiryCandidates(ctx context.Context, kind Kind, after Candidate) ([]Candidate, error)
	// RemoveExpired removes the candidates that are not in use. The same transaction puts their files on the deletion list.
	RemoveExpired(ctx context.Context, kind Kind, things []Candidate) (Removed, error)
	// PendingDeletions returns keys on the deletion list, in order, after the given one.
	PendingDeletions(ctx context.Context, after string, limit int) ([]string, error)
	// ForgetFiles removes keys from the deletion list, after their files are deleted.
	ForgetFiles(ctx context.Context, keys []string) error
	// RemoveDeliveries removes a batch of webhook deliveries that are no longer kept. It has removed all of them when it returns 0.
	RemoveDeliveries(ctx context.Context) (rows int64, err error)
	// RemoveAuditEvents removes a batch of events of the audit log in the same way.
	RemoveAuditEvents(ctx context.Context) (rows int64, err error)
	// ForgetDays removes the counts of past days.
	ForgetDays(ctx context.Context) error
	Files
}

// Retainer removes expired rows and their files, as the package comment describes. It must not be used concurrently.
type Retainer struct {
	Store  Store
	Bucket *media.Bucket
	Log    *slog.Logger
	// Batches bounds the batches of one kind in a round; 0 means no bound.
	Batches int
	Pause   time.Duration // Between batches.
	// SweepOrphans deletes old files that no row names. The bucket must be this database's alone.
	SweepOrphans bool
	// Removed, if not nil, is called with the result of each removal.
	Removed func(ctx context.Context, kind Kind, r Removed)

	places  map[Kind]Candidate // Where the next round continues, by kind.
	orphans orphanPlace        // The same among the files of the bucket.
}

// Expired is the amount of expired data of one kind and tenant.
type Expired struct {
	Kind   Kind
	Tenant string
	Removed
}

// Survey counts what a round without a bound would remove, by kind and tenant. It removes nothing. It counts things that belong
// to a task under their own kind if they have expired too. With a Bucket, it also counts files that no row names, even if a
// round would not delete them.
func (r *Retainer) Survey(ctx context.Context) ([]Expired, error) {
	var all []Expired
	for _, kind := range Kinds {
		byTenant := map[string]Removed{}
		_, err := r.walk(ctx, kind, Candidate{}, 0, func(due []Candidate) error {
			for _, a := range due {
				sum := byTenant[a.Tenant]
				sum.Add(Removed{Rows: 1, Bytes: a.Bytes})
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
			all = append(all, Expired{UnreferencedKind, "-", sum})
		}
	}
	slices.SortStableFunc(all, func(a, b Expired) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)),
			cmp.Compare(a.Tenant, b.Tenant))
	})
	return all, nil
}

// Round removes what has expired. If another replica does so at the moment, Round does nothing and held is false. An error of
// one kind does not stop the others, and Round returns it at the end.
func (r *Retainer) Round(ctx context.Context) (removed map[Kind]Removed, files int, held bool, err error) {
	release, held, err := r.Store.HoldRetention(ctx)
	if err != nil || !held {
		return nil, 0, held, err
	}
	defer release()
	removed = map[Kind]Removed{}
	var errs []error
	for _, kind := range Kinds {
		sum, err := r.remove(ctx, kind)
		errs = append(errs, err)
		if sum.Rows > 0 {
			removed[kind] = sum
		}
	}
	for kind, remove := range map[Kind]func(context.Context) (int64, error){
		DeliveryKind: r.Store.RemoveDeliveries, AuditKind: r.Store.RemoveAuditEvents,
	} {
		sum, err := r.removeBatches(ctx, kind, remove)
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
		removed[UnreferencedKind] = orphans
	}
	return removed, files, true, errors.Join(errs...)
}

// remove removes expired things of one kind. It continues where the last round stopped.
func (r *Retainer) remove(ctx context.Context, kind Kind) (sum Removed, err error) {
	place, err := r.walk(ctx, kind, r.places[kind], r.Batches, func(due []Candidate) error {
		batch, err := r.Store.RemoveExpired(ctx, kind, due)
		sum.Add(batch)
		if r.Removed != nil && batch.Rows > 0 {
			r.Removed(ctx, kind, batch)
		}
		return err
	})
	if r.places == nil {
		r.places = map[Kind]Candidate{}
	}
	r.places[kind] = place
	return sum, err
}

// removeBatches removes things of a kind that no tenant has a period for, batch by batch.
func (r *Retainer) removeBatches(ctx context.Context, kind Kind, remove func(context.Context) (int64, error)) (sum Removed, err error) {
	for n := 0; r.Batches == 0 || n < r.Batches; n++ {
		if n > 0 && loop.Sleep(ctx, r.Pause) != nil {
			return sum, ctx.Err()
		}
		rows, err := remove(ctx)
		if err != nil || rows == 0 {
			return sum, err
		}
		batch := Removed{Rows: rows}
		sum.Add(batch)
		if r.Removed != nil {
			r.Removed(ctx, kind, batch)
		}
	}
	return sum, nil
}

// walk visits the expired things of a kind, batch by batch. It returns the place where it stopped, or the zero value if it
// reached the end.
func (r *Retainer) walk(ctx context.Context, kind Kind, place Candidate, batches int,
	visit func(due []Candidate) error,
) (Candidate, error) {
	for n := 0; batches == 0 || n < batches; n++ {
		if n > 0 && loop.Sleep(ctx, r.Pause) != nil {
			return place, ctx.Err()
		}
		found, err := r.Store.ExpiryCandidates(ctx, kind, place)
		if err != nil {
			return place, err
		}
		if due := slices.DeleteFunc(slices.Clone(found), func(a Candidate) bool { return !a.Due }); len(due) > 0 {
			if err := visit(due); err != nil {
				return place, err
			}
		}
		// The candidates come only roughly in the order of their age, so a single one that is too young does not end the walk.
		if !slices.ContainsFunc(found, func(a Candidate) bool { return a.Old }) {
			return Candidate{}, nil
		}
		place = found[len(found)-1]
	}
	return place, nil
}

// deleteFiles deletes the files on the deletion list. If one can't be deleted, the others still are.
func (r *Retainer) deleteFiles(ctx context.Context) (int, error) {
	var errs []error
	deleted := 0
	for after := ""; len(errs) < deletionsAtOnce; {
		keys, err := r.Store.PendingDeletions(ctx, after, deletionsAtOnce)
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

// Count makes the retainer count what it removes as a metric.
func (r *Retainer) Count(meter metric.Meter) error {
	removed, err := meter.Int64Counter("refract_retention_removed", metric.WithDescription(
		"What retention removed, by kind: outputs, sources, uploads, callbacks, tasks, deliveries of webhooks and events of the audit log, and orphans, files that no row named."))
	if err != nil {
		return fmt.Errorf("make the counter of retention: %w", err)
	}
	r.Removed = func(ctx context.Context, kind Kind, n Removed) {
		removed.Add(ctx, n.Rows, metric.WithAttributes(attribute.String("kind", string(kind))))
	}
	return nil
}

// Run removes what has expired every ten minutes until ctx ends. All replicas run it, one at a time.
func (r *Retainer) Run(ctx context.Context) error { return loop.Every(ctx, interval, r.round) }

func (r *Retainer) round(ctx context.Context) {
	removed, files, held, err := r.Round(ctx)
	if !held && err == nil || ctx.Err() != nil {
		return
	}
	var args []any
	if files > 0 {
		args = append(args, "files", files)
	}
	for _, kind := range Kinds {
		if rows := removed[kind].Rows; rows > 0 {
			args = append(args, string(kind)+"s", rows)
		}
	}
	if rows := removed[DeliveryKind].Rows; rows > 0 {
		args = append(args, "deliveries", rows)
	}
	if rows := removed[AuditKind].Rows; rows > 0 {
		args = append(args, "audit_events", rows)
	}
	switch {
	case err != nil:
		r.Log.WarnContext(ctx, "retention round failed; will retry", append(args, "error", err)...)
	case len(args) > 0:
		r.Log.InfoContext(ctx, "retention removed what has expired", args...)
	}
}

package retention

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
)

const (
	// orphanPage is how many files of the bucket are compared with rows at a time.
	orphanPage = 500
	// orphanPages bounds the pages of a round. The next round continues after them. After the last page, it starts
	// again.
	orphanPages = 20
)

// Files reports which files of the bucket belong to a row.
type Files interface {
	// UnreferencedFiles returns the files that no row names. It omits files that changed recently, which may still get
	// a row.
	UnreferencedFiles(ctx context.Context, keys []string, changed []time.Time) ([]string, error)
}

// ours matches the keys that we make. Other files are left alone.
var ours = regexp.MustCompile(`^(outputs/[0-9a-f-]{36}/[0-9]+-[0-9]+-[0-9a-f]{16}|sources/[0-9a-f]{32}/[0-9a-f-]{36}(\.[a-z0-9]+)?|uploads/[0-9a-f]{32}/[0-9a-f-]{36}/[0-9]+-[A-Z2-7]{8})$`)

// orphanPlace is where a round of the search for orphans ended.
type orphanPlace struct {
	prefix int
	page   []byte
}

// orphanPrefixes are where orphans can be.
var orphanPrefixes = []string{media.OutputPrefix, media.SourcePrefix, media.UploadPrefix}

// sweepOrphans deletes files that no row names. They exist because a process died after it had stored them, or could
// not remove them.
//
// NOTE: this code can't distinguish orphans from the files of another database, or from files with rows that are newer
// than a restored backup. So only the operator may enable the sweep.
func (r *Retainer) sweepOrphans(ctx context.Context) (Removed, error) {
	if !r.SweepOrphans {
		return Removed{}, nil
	}
	pages := orphanPages
	if r.Batches == 0 {
		pages = 0
	}
	var errs []error
	var sum Removed
	var err error
	r.orphans, err = r.walkFiles(ctx, r.orphans, pages, func(f media.File) {
		if err := r.Bucket.Delete(ctx, f.Key); err != nil {
			errs = append(errs, err)
			return
		}
		sum.Add(Removed{Rows: 1, Bytes: f.SizeBytes})
	})
	if sum.Rows > 0 {
		r.Log.InfoContext(ctx, "removed files that no row names", "files", sum.Rows, "bytes", sum.Bytes)
		if r.Removed != nil {
			r.Removed(ctx, UnreferencedKind, sum)
		}
	}
	return sum, errors.Join(append(errs, err)...)
}

// countOrphans counts what sweepOrphans would delete.
func (r *Retainer) countOrphans(ctx context.Context) (sum Removed, err error) {
	_, err = r.walkFiles(ctx, orphanPlace{}, 0, func(f media.File) {
		sum.Add(Removed{Rows: 1, Bytes: f.SizeBytes})
	})
	return sum, err
}

// walkFiles visits the orphans in a number of pages of the bucket, or in all pages if the number is 0. It returns the
// place where it stopped.
func (r *Retainer) walkFiles(ctx context.Context, place orphanPlace, pages int, visit func(media.File)) (orphanPlace, error) {
	for n := 0; pages == 0 || n < pages; n++ {
		if n > 0 && loop.Sleep(ctx, r.Pause) != nil {
			return place, ctx.Err()
		}
		files, next, err := r.Bucket.Page(ctx, orphanPrefixes[place.prefix], place.page, orphanPage)
		if err != nil {
			return orphanPlace{}, err // Start again, because the place may no longer exist.
		}
		made := files[:0]
		for _, f := range files {
			if ours.MatchString(f.Key) {
				made = append(made, f)
			}
		}
		orphans, err := r.unreferenced(ctx, made)
		if err != nil {
			return place, err
		}
		for _, f := range orphans {
			visit(f)
		}
		if place.page = next; next == nil {
			if place.prefix++; place.prefix == len(orphanPrefixes) {
				return orphanPlace{}, nil
			}
		}
	}
	return place, nil
}

// unreferenced returns the old files that no row names.
func (r *Retainer) unreferenced(ctx context.Context, files []media.File) ([]media.File, error) {
	if len(files) == 0 {
		return nil, nil
	}
	keys, changed, byKey := make([]string, len(files)), make([]time.Time, len(files)), make(map[string]media.File, len(files))
	for i, f := range files {
		keys[i], changed[i], byKey[f.Key] = f.Key, f.ModTime, f
	}
	found, err := r.Store.UnreferencedFiles(ctx, keys, changed)
	unreferenced := make([]media.File, len(found))
	for i, key := range found {
		unreferenced[i] = byKey[key]
	}
	return unreferenced, err
}

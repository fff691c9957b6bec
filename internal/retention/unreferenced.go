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
	// orphanPages bounds the pages of a round; the next round goes on behind them, and begins anew at the end.
	orphanPages = 20
)

// Files tells which files of the bucket are somebody's.
type Files interface {
	// UnreferencedFiles returns those files that no row names and that changed too long ago to get one.
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

// sweepOrphans deletes files that no row names: a process died after it had stored them, or could not take them back.
//
// NOTE: the files of another database, or of rows newer than a restored one, look just the same. Nothing here can tell,
// so that only the operator, who can, turns it on.
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

// countOrphans counts what sweepOrphans deletes where it is turned on.
func (r *Retainer) countOrphans(ctx context.Context) (sum Removed, err error) {
	_, err = r.walkFiles(ctx, orphanPlace{}, 0, func(f media.File) {
		sum.Add(Removed{Rows: 1, Bytes: f.SizeBytes})
	})
	return sum, err
}

// walkFiles visits the orphans in up to so many pages of the bucket, or in all for 0, and returns where it ended.
func (r *Retainer) walkFiles(ctx context.Context, place orphanPlace, pages int, visit func(media.File)) (orphanPlace, error) {
	for n := 0; pages == 0 || n < pages; n++ {
		if n > 0 && loop.Sleep(ctx, r.Pause) != nil {
			return place, ctx.Err()
		}
		files, next, err := r.Bucket.Page(ctx, orphanPrefixes[place.prefix], place.page, orphanPage)
		if err != nil {
			return orphanPlace{}, err // Perhaps the place is no longer there.
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

// unreferenced returns the files that no row names, and that are old.
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

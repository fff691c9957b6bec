package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
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
	// UnownedFiles returns those files that no row names and that changed too long ago to get one.
	UnownedFiles(ctx context.Context, keys []string, changed []time.Time) ([]string, error)
	// FilesOwner returns the name under which the files of the database stand in a bucket; the first proposal makes it.
	FilesOwner(ctx context.Context, proposal []byte) (string, error)
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

// errShared means that orphans can't be told from the files of another database.
var errShared = errors.New("the bucket holds files of several databases, so that those of none are removed")

// sweepOrphans deletes files that no row names: a process died after it had stored them, or could not take them back.
//
// NOTE: the files of another database look just the same. Each database therefore leaves its name in the bucket, and
// nothing is deleted before its own name is old, by when every other had the time to leave its own, nor while there are
// two.
func (r *Retainer) sweepOrphans(ctx context.Context) (lifecycle.Removed, error) {
	alone, err := r.alone(ctx, true)
	if err != nil || !alone {
		return lifecycle.Removed{}, err
	}
	pages := orphanPages
	if r.Batches == 0 {
		pages = 0
	}
	var errs []error
	var sum lifecycle.Removed
	r.orphans, err = r.walkFiles(ctx, r.orphans, pages, func(f media.File) {
		if err := r.Bucket.Delete(ctx, f.Key); err != nil {
			errs = append(errs, err)
			return
		}
		sum.Add(lifecycle.Removed{Rows: 1, Bytes: f.SizeBytes})
	})
	if sum.Rows > 0 {
		r.Log.InfoContext(ctx, "files that belonged to nobody were removed", "files", sum.Rows, "bytes", sum.Bytes)
		if r.Removed != nil {
			r.Removed(ctx, lifecycle.RetainedOrphan, sum)
		}
	}
	return sum, errors.Join(append(errs, err)...)
}

// countOrphans counts what sweepOrphans would delete.
func (r *Retainer) countOrphans(ctx context.Context) (sum lifecycle.Removed, err error) {
	alone, err := r.alone(ctx, false)
	if err != nil || !alone {
		return sum, err
	}
	_, err = r.walkFiles(ctx, orphanPlace{}, 0, func(f media.File) {
		sum.Add(lifecycle.Removed{Rows: 1, Bytes: f.SizeBytes})
	})
	return sum, err
}

// alone tells whether the bucket has been this database's alone for long enough. Where it is told to, it leaves the name
// of the database there.
func (r *Retainer) alone(ctx context.Context, leaveName bool) (bool, error) {
	proposal := make([]byte, 8)
	_, _ = rand.Read(proposal) // It never fails: a system without randomness ends the process.
	owner, err := r.Store.FilesOwner(ctx, proposal)
	if err != nil {
		return false, err
	}
	name := media.OwnerPrefix + owner
	owners, _, err := r.Bucket.Page(ctx, media.OwnerPrefix, nil, 10)
	if err != nil {
		return false, err
	}
	var mine []media.File
	for _, f := range owners {
		if f.Key == name {
			mine = append(mine, f)
		}
	}
	if len(mine) == 0 && leaveName {
		if err := r.Bucket.Put(ctx, name, "text/plain", strings.NewReader("")); err != nil {
			return false, err
		}
	}
	if len(owners) > len(mine) {
		return false, fmt.Errorf("%w: delete the files in %s of those that do not use it any more, which is all but %s",
			errShared, media.OwnerPrefix, name)
	}
	old, err := r.unowned(ctx, mine)
	return len(old) > 0, err
}

// walkFiles visits the orphans in up to so many pages of the bucket, or in all for 0, and returns where it ended.
func (r *Retainer) walkFiles(ctx context.Context, place orphanPlace, pages int, visit func(media.File)) (orphanPlace, error) {
	for n := 0; pages == 0 || n < pages; n++ {
		if n > 0 && !rest(ctx, r.Pause) {
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
		orphans, err := r.unowned(ctx, made)
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

// unowned returns the files that no row names, and that are old.
func (r *Retainer) unowned(ctx context.Context, files []media.File) ([]media.File, error) {
	if len(files) == 0 {
		return nil, nil
	}
	keys, changed, byKey := make([]string, len(files)), make([]time.Time, len(files)), make(map[string]media.File, len(files))
	for i, f := range files {
		keys[i], changed[i], byKey[f.Key] = f.Key, f.ModTime, f
	}
	found, err := r.Store.UnownedFiles(ctx, keys, changed)
	unowned := make([]media.File, len(found))
	for i, key := range found {
		unowned[i] = byKey[key]
	}
	return unowned, err
}

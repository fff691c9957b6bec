package media

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// What the keys in a bucket begin with.
const (
	OutputPrefix = "outputs/" // Results of tasks.
	UploadPrefix = "uploads/" // Parts of uploads.
	SourcePrefix = "sources/" // Sources that were uploaded.
)

// OwnPrefixes returns what the keys of all files begin with that may be written in parts.
func OwnPrefixes() []string { return []string{OutputPrefix, UploadPrefix, SourcePrefix} }

// A Sweeper removes unfinished writes from a bucket in a cloud. It removes those that began before a time. It leaves buckets of other
// kinds alone.
type Sweeper func(ctx context.Context, bucket *blob.Bucket, name string, before time.Time) error

// sweepers has one for each cloud that this process knows and that keeps unfinished writes.
var sweepers []Sweeper

// AddSweeper adds what Sweep does for the buckets of a cloud. Only an init function may call it.
func AddSweeper(s Sweeper) { sweepers = append(sweepers, s) }

// leftover matches the names of the files into which file buckets write before they rename them.
var leftover = regexp.MustCompile(`\.[0-9a-f]{12,16}\.tmp$`)

// Sweep removes what writes left behind that began before a time and never ended, because their process died: temporary
// files of file buckets, uploads in parts of S3, and files of probes. Other processes may write meanwhile, so the time must
// lie further back than any write takes.
func (b *Bucket) Sweep(ctx context.Context, before time.Time) error {
	if b.folder != "" {
		return b.sweepFolder(ctx, before)
	}
	blobs, err := b.use(ctx)
	if err == nil {
		err = sweepProbes(ctx, blobs, before)
		for _, sweep := range sweepers {
			err = errors.Join(err, sweep(ctx, blobs, b.name, before))
		}
	}
	if err != nil {
		return b.failed(ctx, "sweep", "", err)
	}
	return nil
}

// sweepProbes deletes the files of probes whose process died.
func sweepProbes(ctx context.Context, blobs *blob.Bucket, before time.Time) error {
	for it := blobs.List(&blob.ListOptions{Prefix: probePrefix}); ; {
		o, err := it.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case o.ModTime.After(before):
			continue
		}
		if err := blobs.Delete(ctx, o.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return err
		}
	}
}

func (b *Bucket) sweepFolder(ctx context.Context, before time.Time) error {
	root, err := b.root(ctx)
	if err != nil {
		return b.failed(ctx, "sweep", "", err)
	}
	defer func() { _ = root.Close() }()
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // Another process was faster.
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !entry.Type().IsRegular() || !leftover.MatchString(entry.Name()) && !strings.HasPrefix(path, probePrefix):
			return nil
		}
		info, err := entry.Info()
		if err != nil || info.ModTime().After(before) {
			return nil //nolint:nilerr // It has been renamed or removed.
		}
		if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return b.failed(ctx, "sweep", "", err)
	}
	return nil
}

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // Opens file:// buckets.
	_ "gocloud.dev/blob/memblob"  // Opens mem:// buckets.
	"gocloud.dev/gcerrors"
)

// Object is an open file of a bucket: an io.ReadSeekCloser that knows its Size and ModTime, as
// http.ServeContent asks for. It is used by one goroutine at a time.
type Object = blob.Reader

// Bucket keeps files under keys. A key is a slash-separated path as fs.ValidPath describes it. It may
// be used concurrently.
type Bucket struct {
	blobs *blob.Bucket
}

// OpenBucket opens the bucket at a URL: file:///var/lib/refract/media, file://./media for a path
// relative to the working directory, or mem:// for one that lives as long as the process. The folder of a file
// bucket is made when it is missing. Other schemes work when their gocloud.dev driver is linked in.
func OpenBucket(ctx context.Context, bucketURL string) (*Bucket, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if u.Scheme == "file" {
		if err := completeFileURL(u); err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", bucketURL, err)
		}
	}
	blobs, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", u.Redacted(), err)
	}
	return &Bucket{blobs: blobs}, nil
}

// completeFileURL sets what a file bucket needs for whole files only, and refuses URLs that fileblob would
// read as another folder than was meant: it ignores hosts and takes an empty path for the working directory.
func completeFileURL(u *url.URL) error {
	if u.Host != "" && u.Host != "." && u.Host != "localhost" {
		return fmt.Errorf("write file:///%s%s for an absolute path or file://./%[1]s%s for a relative one", u.Host, u.Path)
	}
	if strings.Trim(u.Path, "/") == "" {
		return errors.New("the path is missing")
	}
	q := u.Query()
	q.Set("create_dir", "true")
	q.Set("no_tmp_dir", "true") // Temporary files stand beside their targets: a rename across file systems is impossible.
	q.Set("metadata", "skip")   // No second file per object that could disagree with the first.
	if !q.Has("dir_file_mode") {
		q.Set("dir_file_mode", "0o750")
	}
	u.RawQuery = q.Encode()
	return nil
}

// Put stores what r yields under key, in one step at the end: readers see the former file or the new
// one, whole. When r or the bucket fails, or ctx ends, the key is left as it was. In a file bucket the
// file has reached the disk when Put returns. An error of the last step itself leaves open
// whether the new file is there; putting it again settles that.
func (b *Bucket) Put(ctx context.Context, key, contentType string, r io.Reader) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // Stays nil unless this is a file bucket.
	w, err := b.blobs.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: contentType,
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil },
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	_, err = io.Copy(w, r)
	if err == nil && file != nil {
		err = file.Sync() // Before the rename: a name must not outlive a power cut that its bytes do not.
	}
	if err != nil {
		cancel() // Closing a writer after its context discards what was written.
		_ = w.Close()
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if file != nil {
		if err := syncFolders(filepath.Dir(file.Name()), key); err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
	}
	return nil
}

// Open opens the file under key for reading, as ctx allows; the caller closes it. The error is
// fs.ErrNotExist when there is none.
func (b *Bucket) Open(ctx context.Context, key string) (*Object, error) {
	r, err := b.blobs.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("open %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return r, nil
}

// Delete removes the file under key. A key without a file is no error, so that a deletion can be
// repeated.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.blobs.Delete(ctx, key)
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Close releases the bucket; nothing may be in use any more.
func (b *Bucket) Close() error { return b.blobs.Close() }

// checkKey keeps keys to those that every kind of bucket spells alike.
func checkKey(key string) error {
	if key == "." || !fs.ValidPath(key) {
		return errors.New("the key is not a plain slash-separated path")
	}
	return nil
}

// syncFolders makes a new name last: in the folder that holds it and, since folders may be new as
// well, in those above it up to the bucket's own.
func syncFolders(folder, key string) error {
	for range strings.Count(key, "/") + 1 {
		if err := syncFolder(folder); err != nil {
			return err
		}
		folder = filepath.Dir(folder)
	}
	return nil
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

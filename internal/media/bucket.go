package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // Opens file:// buckets.
	_ "gocloud.dev/blob/memblob"  // Opens mem:// buckets.
	"gocloud.dev/gcerrors"

	"github.com/refract-video/refract/internal/redact"
)

// Bucket stores files under keys. A key is a slash-separated path as fs.ValidPath describes it. It may
// be used concurrently.
type Bucket struct {
	url      string
	folder   string // Of a file bucket; empty for others.
	name     string // Of a bucket in a cloud.
	probeKey string // Of Probe.

	mu   sync.Mutex
	blob *blob.Bucket // Nil until the folder of a file bucket was there once.

	observe func(context.Context, *StorageError) // Gets every failure; nil does nothing.
}

// How a file goes to a bucket over the network: in parts of which a few are in memory at a time. S3 takes 10,000 of them.
const (
	partBytes   = 5 << 20
	partsAtOnce = 2
)

// openTimeout bounds the wait for a folder when a bucket is opened.
const openTimeout = 5 * time.Second

// maxFolderTries is how often a folder is made that a concurrent Delete may remove while it is empty.
const maxFolderTries = 10

// OpenBucket opens the bucket at a URL:
//
//	file:///var/lib/refract/media    a folder; file://./media is relative to the working directory
//	mem://                           one that lives as long as the process
//	s3://name?region=eu-west-1       S3; endpoint=http://host:9000 and use_path_style=true for others that speak its protocol
//
// Buckets in clouds need package cloud, with which a release also opens gs:// and azblob://. Credentials come from where the cloud's
// own tools look for them.
//
// A URL that names no bucket is an error. A bucket that does not work is no error here: its use fails until it works. Use
// makes a missing folder once, and never again: a folder that vanishes later, for example with its disk, had files, and an
// empty folder in its place would hide that and fill another disk.
func OpenBucket(ctx context.Context, bucketURL string) (*Bucket, error) {
	return OpenObservedBucket(ctx, bucketURL, nil)
}

// OpenObservedBucket is OpenBucket for a bucket whose failures are reported to a function as well, which may be called
// concurrently.
func OpenObservedBucket(ctx context.Context, bucketURL string, observe func(context.Context, *StorageError)) (*Bucket, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, errors.New("open bucket: it is not a URL") // The cause would quote it, credentials and all.
	}
	b := &Bucket{name: u.Host, observe: observe, probeKey: newProbeKey()}
	if u.Scheme == "file" {
		if b.folder, err = completeFileURL(u); err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", redact.URL(bucketURL), err)
		}
	}
	b.url = u.String()
	opened := make(chan error, 1)
	go func() {
		_, err := b.use(ctx)
		if err != nil && b.folderFails(err) {
			err = nil
		}
		opened <- err
	}()
	select {
	case err = <-opened:
	case <-time.After(openTimeout): // A dead mount never answers, and can't be left.
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %s", redact.URL(bucketURL), withoutURL(err, u, bucketURL))
	}
	return b, nil
}

// withoutURL returns the text of an error that may quote the URL of the bucket, credentials and all.
func withoutURL(err error, u *url.URL, bucketURL string) string {
	text := err.Error()
	for _, quoted := range []string{u.String(), u.Redacted(), bucketURL} {
		text = strings.ReplaceAll(text, quoted, redact.URL(bucketURL))
	}
	for _, values := range u.Query() {
		for _, value := range values {
			text = strings.ReplaceAll(text, value, redact.URL(value))
		}
	}
	return redact.Users(text)
}

// use returns the bucket of gocloud.dev, and an error where it can't be used.
func (b *Bucket) use(ctx context.Context) (*blob.Bucket, error) {
	blobs, err := b.opened(ctx)
	if err == nil {
		err = b.checkFolder()
	}
	return blobs, err
}

// opened returns the bucket of gocloud.dev, which it opens once.
func (b *Bucket) opened(ctx context.Context) (*blob.Bucket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blob == nil {
		blobs, err := blob.OpenBucket(ctx, b.url)
		if err != nil {
			if _, statErr := os.Stat(b.folder); b.folder != "" && statErr == nil {
				return nil, cmp.Or(b.checkFolder(), err) // The library has no error of its own for a file in the place of the folder.
			}
			return nil, err
		}
		b.blob = blobs
	}
	return b.blob, nil
}

// checkFolder returns an error where the folder of a file bucket is not there.
func (b *Bucket) checkFolder() error {
	if b.folder == "" {
		return nil
	}
	info, err := os.Stat(b.folder)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "stat", Path: b.folder, Err: syscall.ENOTDIR}
	}
	return err
}

// folderFails reports whether a bucket could not be opened because of its folder, and not of its URL.
func (b *Bucket) folderFails(err error) bool {
	if b.folder == "" || b.checkFolder() == nil {
		return false
	}
	_, ofFile := errors.AsType[*fs.PathError](err)
	_, statErr := os.Stat(b.folder)
	return ofFile || statErr == nil // It is there, and is no folder.
}

// vanished returns an error where the bucket itself is gone, so that a file that was not found may exist.
func (b *Bucket) vanished(ctx context.Context, blobs *blob.Bucket) error {
	if b.folder != "" {
		return b.checkFolder()
	}
	there, err := blobs.IsAccessible(ctx)
	if err == nil && !there {
		err = errNoBucket
	}
	return err
}

// completeFileURL sets what a file bucket needs for whole files only, and refuses URLs that fileblob would
// read as another folder: it ignores hosts and takes an empty path for the working directory.
func completeFileURL(u *url.URL) (folder string, err error) {
	if u.Host != "" && u.Host != "." && u.Host != "localhost" {
		return "", fmt.Errorf("write file:///%s%s for an absolute path or file://./%[1]s%s for a relative one", u.Host, u.Path)
	}
	if strings.Trim(u.Path, "/") == "" {
		return "", errors.New("the path is missing")
	}
	q := u.Query()
	q.Set("create_dir", "true")
	q.Set("no_tmp_dir", "true") // Temporary files stand in the folders of their targets: a rename across file systems is impossible.
	q.Set("metadata", "skip")   // No second file per object that could disagree with the first.
	if !q.Has("dir_file_mode") {
		q.Set("dir_file_mode", "0o750")
	}
	u.RawQuery = q.Encode()
	folder = u.Path
	if u.Host == "." {
		folder = strings.TrimPrefix(folder, "/")
	}
	return filepath.Abs(filepath.FromSlash(folder))
}

// Put stores what r yields under key, in one step at the end: readers see the former file or the new
// one, whole. When r or the bucket fails, or ctx ends, the key is left as it was. In a file bucket the
// file has reached the disk when Put returns. An error of the last step itself leaves open
// whether the new file is there; putting it again settles that. An error of r is returned as such, any other failure is a
// *StorageError. It holds some 50 MB of memory where the bucket is behind a
// network, and a few kilobytes elsewhere.
func (b *Bucket) Put(ctx context.Context, key, contentType string, r io.Reader) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	blobs, err := b.use(ctx)
	if err != nil {
		return b.failed(ctx, "put", key, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // Stays nil unless this is a file bucket.
	options := &blob.WriterOptions{
		ContentType: contentType, BufferSize: partBytes, MaxConcurrency: partsAtOnce,
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil },
	}
	w, err := blobs.NewWriter(ctx, key, options)
	for try := 1; errors.Is(err, fs.ErrNotExist) && try < maxFolderTries; try++ { // A Delete removed the folder that was made for it.
		w, err = blobs.NewWriter(ctx, key, options)
	}
	if err != nil {
		return b.failed(ctx, "put", key, err)
	}
	from := &sourceReader{r: r}
	if file == nil {
		_, err = io.Copy(w, from)
	} else {
		err = copySynced(w, from, file)
	}
	if err != nil {
		if from.err != nil {
			err = fmt.Errorf("put %s: %w", key, from.err)
		} else {
			err = b.failedPut(ctx, key, from, err)
		}
		cancel() // Closing a writer after its context discards what was written.
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return b.failedPut(ctx, key, from, err)
	}
	if file != nil {
		if err := syncFolders(filepath.Dir(file.Name()), key); err != nil {
			return b.failedPut(ctx, key, from, err)
		}
	}
	return nil
}

// copySynced copies what a writer puts into a file, and returns when the disk has it. It comes before the rename: a name
// must not outlive a power cut that its bytes do not.
func copySynced(w io.Writer, r io.Reader, file *os.File) error {
	back := &writeBack{r: r, file: file}
	_, err := io.Copy(w, back)
	if err := errors.Join(err, back.end()); err != nil {
		return err
	}
	return file.Sync()
}

// Open opens the file under key for reading, as ctx allows; the caller closes it. The error is
// fs.ErrNotExist when there is none, and otherwise a *StorageError.
func (b *Bucket) Open(ctx context.Context, key string) (*Object, error) {
	blobs, err := b.use(ctx)
	if err != nil {
		return nil, b.failed(ctx, "open", key, err)
	}
	r, err := blobs.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		if err = b.vanished(ctx, blobs); err == nil {
			return nil, fmt.Errorf("open %s: %w", key, fs.ErrNotExist)
		}
	}
	if err != nil {
		return nil, b.failed(ctx, "open", key, err)
	}
	return &Object{ctx: ctx, bucket: b, key: key, blob: r}, nil
}

// Delete removes the file under key. A key without a file is no error, so that a deletion can be
// repeated.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	blobs, err := b.use(ctx)
	if err == nil {
		err = blobs.Delete(ctx, key)
	}
	if err != nil && gcerrors.Code(err) == gcerrors.NotFound {
		err = b.vanished(ctx, blobs)
	}
	if err != nil {
		return b.failed(ctx, "delete", key, err)
	}
	if b.folder != "" && checkKey(key) == nil {
		b.removeEmptyFolders(key)
	}
	return nil
}

// Keys returns the keys that begin with a prefix, at most limit of them, in order, without those of probes.
func (b *Bucket) Keys(ctx context.Context, prefix string, limit int) ([]string, error) {
	blobs, err := b.use(ctx)
	if err != nil {
		return nil, b.failed(ctx, "list", prefix, err)
	}
	var keys []string
	for it := blobs.List(&blob.ListOptions{Prefix: prefix}); len(keys) < limit; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, b.failed(ctx, "list", prefix, err)
		}
		if (b.folder == "" || !leftover.MatchString(o.Key)) && !strings.HasPrefix(o.Key, probePrefix) {
			keys = append(keys, o.Key)
		}
	}
	return keys, nil
}

// File is a file of a bucket.
type File struct {
	Key       string
	SizeBytes int64
	ModTime   time.Time // By the bucket's clock.
}

// Page returns up to limit files whose keys begin with a prefix, in order, without those of probes, and where the next page
// begins: nil at the end, as for the first.
func (b *Bucket) Page(ctx context.Context, prefix string, from []byte, limit int) (files []File, next []byte, err error) {
	if b.folder != "" {
		return b.pageFolder(ctx, prefix, string(from), limit)
	}
	if from == nil {
		from = blob.FirstPageToken
	}
	blobs, err := b.use(ctx)
	if err != nil {
		return nil, nil, b.failed(ctx, "list", prefix, err)
	}
	found, next, err := blobs.ListPage(ctx, from, limit, &blob.ListOptions{Prefix: prefix})
	if err != nil {
		return nil, nil, b.failed(ctx, "list", prefix, err)
	}
	for _, o := range found {
		if strings.HasPrefix(o.Key, probePrefix) {
			continue
		}
		files = append(files, File{o.Key, o.Size, o.ModTime})
	}
	if len(next) == 0 {
		next = nil
	}
	return files, next, nil
}

// SignedURL returns a URL under which anyone can read the file of a key for a while, from the bucket itself. It is a secret.
// The error is errors.ErrUnsupported where the bucket can't do that.
func (b *Bucket) SignedURL(ctx context.Context, key string, validFor time.Duration) (string, error) {
	blobs, err := b.use(ctx)
	if err != nil {
		return "", b.failed(ctx, "sign", key, err)
	}
	signed, err := blobs.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: validFor})
	if gcerrors.Code(err) == gcerrors.Unimplemented {
		return "", errors.ErrUnsupported
	}
	if err != nil {
		return "", b.failed(ctx, "sign", key, err)
	}
	return signed, nil
}

// Close releases the bucket; nothing may be in use any more.
func (b *Bucket) Close() error {
	if !b.mu.TryLock() {
		return nil // A folder that does not answer is still being opened. There is nothing to release.
	}
	defer b.mu.Unlock()
	if b.blob == nil {
		return nil
	}
	return b.blob.Close()
}

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

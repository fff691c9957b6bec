package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"gocloud.dev/blob"
)

// ErrStorage means that the bucket failed, whatever the cause: a full disk, a folder that may not be written, a connection
// that was refused. The same call may succeed later. Every such error is a *StorageError.
var ErrStorage = errors.New("the storage does not work")

// StorageError is a failure of the bucket itself. An answer of the bucket, such as that a file does not exist, is no
// StorageError, and neither is a failure of the reader of a Put.
type StorageError struct {
	Op    string // What failed: put, open, read, delete, list, sign or sweep.
	Key   string // Of which file, or with which prefix; empty where that says nothing.
	Bytes int64  // How much of the file a put had taken.
	Probe bool   // Whether it is a probe that failed.
	Err   error
}

// Error names operation, key and cause. It is for logs: the cause names paths and addresses.
func (e *StorageError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Key, e.Err)
}

// Unwrap returns ErrStorage and the cause.
func (e *StorageError) Unwrap() []error { return []error{ErrStorage, e.Err} }

// failed returns a failure of the bucket as a StorageError and reports it, or as it is where the caller ended the call.
func (b *Bucket) failed(ctx context.Context, op, key string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return b.report(ctx, &StorageError{Op: op, Key: key, Err: err})
}

func (b *Bucket) failedPut(ctx context.Context, key string, from *sourceReader, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return b.report(ctx, &StorageError{Op: "put", Key: key, Bytes: from.n, Err: err})
}

func (b *Bucket) report(ctx context.Context, failure *StorageError) error {
	if errors.Is(failure.Err, fs.ErrNotExist) {
		// NOTE: the folder is missing, not the file. A caller would otherwise treat its file as deleted.
		failure.Err = &missingError{failure.Err}
	}
	failure.Probe = failure.Key == b.probeKey
	if b.observe != nil {
		b.observe(ctx, failure)
	}
	return failure
}

// missingError hides that an error is fs.ErrNotExist.
type missingError struct{ err error }

func (e *missingError) Error() string { return e.err.Error() }

// Object is an open file of a bucket: an io.ReadSeekCloser that knows its Size and ModTime, as http.ServeContent asks for.
// It must not be used concurrently.
type Object struct {
	ctx    context.Context //nolint:containedctx // The one of Open, which reads end with.
	bucket *Bucket
	key    string
	blob   *blob.Reader

	mu  sync.Mutex
	err error
}

// Read implements io.Reader. An error other than io.EOF is a *StorageError, unless the context of Open was canceled.
func (o *Object) Read(p []byte) (int, error) {
	n, err := o.blob.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.fail(err)
	}
	return n, err
}

func (o *Object) fail(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = o.bucket.failed(o.ctx, "read", o.key, err)
	}
	return o.err
}

// Err returns the first error of Read other than io.EOF. A client that sends the file may report it as one of its own. It
// may be called while another goroutine reads.
func (o *Object) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Seek implements io.Seeker.
func (o *Object) Seek(offset int64, whence int) (int64, error) { return o.blob.Seek(offset, whence) }

// Close implements io.Closer.
func (o *Object) Close() error { return o.blob.Close() }

// Size returns the number of bytes of the file.
func (o *Object) Size() int64 { return o.blob.Size() }

// ModTime returns when the file was put.
func (o *Object) ModTime() time.Time { return o.blob.ModTime() }

// sourceReader records an error of the reader of a Put, so that it does not count as a failure of the bucket.
type sourceReader struct {
	r   io.Reader
	n   int64
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

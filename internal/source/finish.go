package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/task"
)

// finish makes a source of an upload whose bytes have all arrived. One call of a process finishes an upload at a time, but two
// replicas may: each makes its own file, and the second file is removed. It continues when the caller gives up. The caller finds the
// source by asking again.
func (u *Uploads) finish(ctx context.Context, tenant string, id task.UploadID, up Upload) (Progress, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	leave, err := write(ctx, tenant)
	if errors.Is(err, context.DeadlineExceeded) { // All places were taken for as long as a source may take: nothing gets written.
		err = &media.StorageError{Op: "put", Err: err}
	}
	if err != nil {
		return Progress{}, err
	}
	defer leave()
	parts, err := u.Store.Parts(ctx, tenant, id)
	if err != nil {
		return Progress{}, err
	}
	s := task.Source{ID: task.SourceID(uuid.Must(uuid.NewV7()).String()), Tenant: tenant}
	if err = u.assemble(ctx, &s, up, parts); err != nil {
		if again, _, readErr := u.begin(ctx, tenant, Header{Upload: id}); readErr == nil && again.Source != "" {
			return u.known(ctx, tenant, again) // Another replica was faster, and has removed the parts.
		}
		return Progress{}, err
	}
	if len(up.SHA256) > 0 && !bytes.Equal(up.SHA256, s.SHA256) {
		return Progress{}, errors.Join(ErrDamaged, u.Bucket.Delete(ctx, s.Key), u.drop(ctx, tenant, id))
	}
	if s.Clip, err = u.inspect(ctx, s.Key); err != nil {
		return Progress{}, err
	}
	stored, duplicate, err := u.Store.FinishUpload(ctx, id, s)
	if err != nil {
		return Progress{}, fmt.Errorf("store the source: %w", err) // It may be stored all the same, so its file stays.
	}
	if stored.Key != s.Key {
		if err := u.Bucket.Delete(ctx, s.Key); err != nil {
			return Progress{}, err
		}
	}
	return Progress{Received: up.Received, Source: &stored, Duplicate: duplicate}, u.clean(ctx, tenant, id, parts)
}

// assemble joins the parts to one file and sets the source's key and SHA-256. A file that looks like a video gets its content type
// in the bucket, for those who fetch it from there.
func (u *Uploads) assemble(ctx context.Context, s *task.Source, up Upload, parts []Part) error {
	j := &joined{ctx: ctx, bucket: u.Bucket, parts: parts, hash: sha256.New()}
	defer j.close()
	r := bufio.NewReaderSize(j, media.HeadBytes)
	head, err := r.Peek(media.HeadBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	contentType := "application/octet-stream"
	s.Key = media.SourcePrefix + path.Join(folder(s.Tenant), string(s.ID))
	if found := media.ContentTypeOf(head); strings.HasPrefix(found, "video/") {
		contentType = found
		s.Key += extension(found)
	}
	if err := u.Bucket.Put(ctx, s.Key, contentType, r); err != nil {
		return err
	}
	if j.size != up.SizeBytes {
		return errors.Join(fmt.Errorf("the parts have %d bytes instead of %d", j.size, up.SizeBytes), u.Bucket.Delete(ctx, s.Key))
	}
	s.SHA256 = j.hash.Sum(nil)
	return nil
}

// inspect reads from the stored file what kind of video it is.
func (u *Uploads) inspect(ctx context.Context, key string) (task.Clip, error) {
	file, err := u.Bucket.Open(ctx, key)
	if err != nil {
		return task.Clip{}, err
	}
	defer func() { _ = file.Close() }() // It was only read.
	return media.InspectClip(file, file.Size())
}

// drop removes an upload, files first: a file without a row is never found again.
func (u *Uploads) drop(ctx context.Context, tenant string, id task.UploadID) error {
	parts, err := u.Store.Parts(ctx, tenant, id)
	if err != nil {
		return err
	}
	if err := u.remove(ctx, parts); err != nil {
		return err
	}
	return u.Store.DropUpload(ctx, tenant, id)
}

// clean removes the parts of an upload that became a source.
func (u *Uploads) clean(ctx context.Context, tenant string, id task.UploadID, parts []Part) error {
	if err := u.remove(ctx, parts); err != nil {
		return err
	}
	return u.Store.DropParts(ctx, tenant, id)
}

func (u *Uploads) remove(ctx context.Context, parts []Part) error {
	for _, p := range parts {
		if err := u.Bucket.Delete(ctx, p.Key); err != nil {
			return err
		}
	}
	return nil
}

// joined reads parts one after the other.
type joined struct {
	ctx    context.Context //nolint:containedctx // A reader takes no context.
	bucket *media.Bucket
	parts  []Part // Those that were not opened yet.
	open   io.ReadCloser
	hash   hash.Hash
	size   int64
}

func (j *joined) Read(b []byte) (int, error) {
	for {
		if j.open == nil {
			if len(j.parts) == 0 {
				return 0, io.EOF
			}
			if j.parts[0].Start != j.size {
				return 0, fmt.Errorf("the parts have a gap at byte %d", j.size)
			}
			file, err := j.bucket.Open(j.ctx, j.parts[0].Key)
			if err != nil {
				return 0, err
			}
			j.open, j.parts = file, j.parts[1:]
		}
		n, err := j.open.Read(b)
		j.hash.Write(b[:n])
		j.size += int64(n)
		if errors.Is(err, io.EOF) {
			j.close()
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) close() {
	if j.open != nil {
		_ = j.open.Close() // It was only read.
		j.open = nil
	}
}

package media

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// maxRecord bounds a record.
const maxRecord = 64 << 10

// CreateRecord stores a small file under a key that has none. If the key has a file, the error is fs.ErrExist, and the file stays as it
// is. Of concurrent calls with one key, one succeeds. Any other error leaves open whether the file is there, and is a *StorageError.
//
// NOTE: a file bucket does not sync a record to the disk, unlike a result. A record is a second witness of what the database has
// committed. A power cut can take the newest ones, and then the database, which did sync, still knows.
func (b *Bucket) CreateRecord(ctx context.Context, key string, record []byte) error {
	if err := checkRecord(key, record); err != nil {
		return fmt.Errorf("create %q: %w", key, err)
	}
	err := b.createRecord(ctx, key, record)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create %s: %w", key, fs.ErrExist)
	}
	if err != nil {
		return b.failed(ctx, "put", key, err)
	}
	return nil
}

func (b *Bucket) createRecord(ctx context.Context, key string, record []byte) error {
	if b.folder != "" {
		return b.inFolder(ctx, key, func(root *os.Root) error { return writeRecord(root, key, record) })
	}
	blobs, err := b.use(ctx)
	if err != nil {
		return err
	}
	err = blobs.WriteAll(ctx, key, record, &blob.WriterOptions{ContentType: "application/json", IfNotExist: true})
	switch gcerrors.Code(err) {
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return fs.ErrExist
	default:
		return err
	}
}

// ReplaceRecord stores a small file under a key, in the place of the one that may be there. Readers see the one or the other, whole. It
// does not sync, as CreateRecord.
func (b *Bucket) ReplaceRecord(ctx context.Context, key string, record []byte) error {
	err := checkRecord(key, record)
	if err != nil {
		return fmt.Errorf("replace %q: %w", key, err)
	}
	if b.folder != "" {
		err = b.inFolder(ctx, key, func(root *os.Root) error { return replaceRecord(root, key, record) })
	} else {
		var blobs *blob.Bucket
		if blobs, err = b.use(ctx); err == nil {
			err = blobs.WriteAll(ctx, key, record, &blob.WriterOptions{ContentType: "application/json"})
		}
	}
	if err != nil {
		return b.failed(ctx, "put", key, err)
	}
	return nil
}

// ReadRecord returns the record under a key. The errors are those of Open.
func (b *Bucket) ReadRecord(ctx context.Context, key string) ([]byte, error) {
	o, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Close() }() // It was only read.
	record, err := io.ReadAll(io.LimitReader(o, maxRecord))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return record, nil
}

func checkRecord(key string, record []byte) error {
	if len(record) > maxRecord {
		return fmt.Errorf("a record has %d bytes at most, not %d", maxRecord, len(record))
	}
	return checkKey(key)
}

// inFolder writes a file of a file bucket whose folder may be missing, or be removed by a concurrent Delete.
func (b *Bucket) inFolder(ctx context.Context, key string, write func(*os.Root) error) error {
	root, err := b.root(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	err = write(root)
	for try := 1; errors.Is(err, fs.ErrNotExist) && try < maxFolderTries; try++ {
		if err = root.MkdirAll(path.Dir(key), 0o750); err == nil {
			err = write(root)
		}
	}
	return err
}

// writeRecord creates a file. One that could not be written as a whole is removed.
func writeRecord(root *os.Root, key string, record []byte) error {
	f, err := root.OpenFile(key, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(record))
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, root.Remove(key))
	}
	return nil
}

func replaceRecord(root *os.Root, key string, record []byte) error {
	random := make([]byte, 8)
	_, _ = rand.Read(random)                                     // It never fails: a system without randomness ends the process.
	temporary := key + "." + hex.EncodeToString(random) + ".tmp" // As leftover matches it.
	if err := writeRecord(root, temporary, record); err != nil {
		return err
	}
	if err := root.Rename(temporary, key); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}

package fence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
)

// sentPrefix is what the keys of records begin with. The id of the database follows, so that several may share a bucket.
const sentPrefix = "sent/"

// recordKey returns the key of a record, which the identity of the work determines: tenant, request id and number. The statement that
// removes a task computes the same keys.
func recordKey(database string, r lifecycle.SendRecord) string {
	sum := sha256.Sum256([]byte(r.Tenant + "\x00" + r.RequestID))
	name := hex.EncodeToString(sum[:])
	return fmt.Sprintf("%s%s/%s/%s-%d", sentPrefix, database, name[:2], name, r.Number)
}

// CreateRecord implements lifecycle.SendRecords.
func (f *Fence) CreateRecord(ctx context.Context, r lifecycle.SendRecord) (*lifecycle.SendRecord, error) {
	key, text, err := f.encode(ctx, r)
	if err != nil {
		return nil, err
	}
	f.sent.Send()
	err = f.cfg.Bucket.CreateRecord(ctx, key, text)
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	found, err := f.read(ctx, key)
	if err != nil {
		return nil, err
	}
	if found == nil { // It was removed meanwhile, with its task.
		return nil, f.cfg.Bucket.ReplaceRecord(ctx, key, text)
	}
	if found.Task == r.Task {
		return found, nil
	}
	// It is of a task that retention removed, or that a restore forgot.
	discarded, err := f.cfg.Store.Discarded(ctx, key, found.SendTime)
	if err != nil || !discarded {
		return found, err
	}
	if err := f.cfg.Bucket.ReplaceRecord(ctx, key, text); err != nil {
		return nil, err
	}
	return nil, f.cfg.Store.Keep(ctx, key) // Otherwise retention would delete the new one.
}

// ReplaceRecord implements lifecycle.SendRecords.
func (f *Fence) ReplaceRecord(ctx context.Context, r lifecycle.SendRecord) error {
	key, text, err := f.encode(ctx, r)
	if err != nil {
		return err
	}
	return f.cfg.Bucket.ReplaceRecord(ctx, key, text)
}

// Record implements lifecycle.SendRecords.
func (f *Fence) Record(ctx context.Context, like lifecycle.SendRecord) (*lifecycle.SendRecord, error) {
	database, err := f.database(ctx)
	if err != nil {
		return nil, err
	}
	return f.read(ctx, recordKey(database, like))
}

// Cause implements lifecycle.SendRecords.
func (*Fence) Cause(err error) string { return media.StorageCause(err) }

func (f *Fence) encode(ctx context.Context, r lifecycle.SendRecord) (key string, text []byte, err error) {
	database, err := f.database(ctx)
	if err != nil {
		return "", nil, err
	}
	text, err = json.Marshal(r)
	if err != nil {
		return "", nil, fmt.Errorf("encode the record of a send: %w", err)
	}
	return recordKey(database, r), text, nil
}

// read returns a record, or nil if there is none. One that can't be decoded, because its process died while it wrote, is a record
// nevertheless: of a send of which nothing more is known.
func (f *Fence) read(ctx context.Context, key string) (*lifecycle.SendRecord, error) {
	text, err := f.cfg.Bucket.ReadRecord(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // There is none.
	}
	if err != nil {
		return nil, err
	}
	var r lifecycle.SendRecord
	if err := json.Unmarshal(text, &r); err != nil {
		r = lifecycle.SendRecord{}
	}
	return &r, nil
}

// database returns the id of the database, once the fence knows it.
func (f *Fence) database(ctx context.Context) (string, error) {
	if err := f.await(ctx); err != nil {
		return "", err
	}
	return f.id, nil
}

// skew is by how much the clocks of the bucket and of the database may differ.
const skew = 15 * time.Minute

// Package source keeps the videos that tenants upload because they have no public URI, and prepares the sources of tasks for
// provider accounts.
//
// It promises of uploads:
//
//   - Bytes that arrived are kept. They go into the bucket in parts of a few megabytes, each with its own row, so an interrupted
//     upload continues at any replica. A process that dies loses only the part that it was writing.
//   - Equal bytes of a tenant are one source, and tenants never learn of each other's sources.
//   - A source is whole: its size and SHA-256 come from the stored bytes, and agree with what the caller announced.
//
// A part is written once, under its own key, before its row. When two calls continue one upload at the same time, the row of one
// of them wins. When the bucket or the database fails, the call fails, the parts that have a row are kept, and the caller continues
// from there. A call holds about a megabyte of a file, whatever its size.
//
// It promises of preparation:
//
//   - A source is judged before anything is paid for, as far as it can be: by the stored file of an upload, or by a probe of a URI.
//   - A slow host delays the tenants that use it, and no others. A submission waits shortly (SubmitWaits). What takes longer is
//     a row in the database that any replica claims (Preparer), while the task holds no permit.
//   - One source is prepared once for an account, however many tasks wait for it.
//
// When a host fails, it is tried again with backoff for some minutes, and then the tasks that wait fail. When a provider refuses an
// upload, package lifecycle decides whether the account or the upload is held responsible. When the storage or the database fails,
// tasks wait.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// What the verbs answer.
var (
	// ErrNotFound means that the tenant has no such source, or that it is no longer kept.
	ErrNotFound = errors.New("no such source")
	// ErrDamaged means that the bytes are not those that were announced. They were dropped.
	ErrDamaged = errors.New("the bytes differ from what was announced: upload the file again")
	// ErrDraining means that the process stops. Another replica takes the upload.
	ErrDraining = errors.New("the service is shutting down: go on with the upload elsewhere")
)

// NotFoundError says which source was not found.
type NotFoundError struct{ ID task.SourceID }

// Error names the source.
func (e *NotFoundError) Error() string { return fmt.Sprintf("source %s: %v", e.ID, ErrNotFound) }

// Unwrap returns ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// ConflictError says why an upload can't go on as the caller means it.
type ConflictError struct {
	Received int64 // The bytes that the upload has.
	Message  string
}

// Error says what does not fit.
func (e *ConflictError) Error() string { return e.Message }

// TooLargeError says that a file is larger than sources may be.
type TooLargeError struct{ Limit int64 }

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the file is too large: sources may have up to %d bytes", e.Limit)
}

// StalledError says that a call ended because its caller sent nothing for too long.
type StalledError struct {
	Received int64 // The bytes that the upload has.
	After    time.Duration
}

// Error says how to go on.
func (e *StalledError) Error() string {
	return fmt.Sprintf("no bytes came for %s: the upload is kept; ask how many bytes it has, and go on from there", e.After)
}

// BusyError says that a tenant has as many uploads under way as it may, or that too many of all tenants wait.
type BusyError struct{ Limit int }

// Error names the limit.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%d uploads are under way here, which is as many as may be: go on when one has ended", e.Limit)
}

// Upload is an upload as it stands. The zero value is one that has not begun.
type Upload struct {
	SizeBytes int64  // The announced size; 0 while it is not known.
	SHA256    []byte // The announced SHA-256; empty while it is not known.
	Received  int64  // The bytes that arrived.
	Parts     int    // In how many parts.
	Source    task.SourceID
	Duplicate bool // Whether Source was there before.
	Begun     bool // Whether the tenant's quotas have room for SizeBytes.
}

// Part is a stretch of the bytes of an upload, in the bucket.
type Part struct {
	Start     int64
	SizeBytes int64
	Key       string
}

// Store keeps the rows of uploads and sources. Every method sees one tenant alone.
type Store interface {
	// Upload returns an upload, which is the zero value where the tenant has none of this id.
	Upload(ctx context.Context, tenant string, id task.UploadID) (Upload, error)
	// BeginUpload begins an upload, or notes its size where that was not known. u has what was announced, for which the
	// tenant's quotas must have room: else it returns a QuotaError and changes nothing.
	BeginUpload(ctx context.Context, tenant string, id task.UploadID, u Upload) error
	// AddPart appends a part to an upload that was begun. u has what was announced. When the upload does not end where
	// the part begins, it returns false and changes nothing. While the size is not known, it may return a QuotaError.
	AddPart(ctx context.Context, tenant string, id task.UploadID, u Upload, p Part) (bool, error)
	// Parts returns the parts of an upload in order.
	Parts(ctx context.Context, tenant string, id task.UploadID) ([]Part, error)
	// FinishUpload makes an upload a source, and returns the source as it is stored and whether it was there
	// before. An upload that became a source already stays that.
	FinishUpload(ctx context.Context, id task.UploadID, s task.Source) (stored task.Source, duplicate bool, err error)
	// DropParts removes the rows of parts, whose files are gone.
	DropParts(ctx context.Context, tenant string, id task.UploadID) error
	// DropUpload removes an upload with its parts.
	DropUpload(ctx context.Context, tenant string, id task.UploadID) error
	// SourceByHash returns the source with these bytes and notes that it is in use, or returns ErrNotFound.
	SourceByHash(ctx context.Context, tenant string, sha256 []byte) (task.Source, error)
	// TenantSource returns a tenant's source, or ErrNotFound.
	TenantSource(ctx context.Context, tenant string, id task.SourceID) (task.Source, error)
}

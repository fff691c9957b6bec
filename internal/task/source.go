package task

import "time"

// SourceID names an uploaded source: a UUID of version 7.
type SourceID string

// UploadID names an upload within its tenant: a UUID that the caller chose.
type UploadID string

// Clip is what is known about a video file. A zero field is not known.
type Clip struct {
	SizeBytes   int64
	ContentType string // From the file's own bytes; "application/octet-stream" for an unknown kind.
	Duration    time.Duration
	Width       int // In pixels.
	Height      int
	Flaw        string // Why the file cannot be played, if that is certain.
}

// Source is a video that a tenant uploaded. A tenant has one source for equal bytes.
type Source struct {
	ID     SourceID
	Tenant string
	SHA256 []byte
	Clip
	Key        string // The key of the file in the bucket.
	CreateTime time.Time
}

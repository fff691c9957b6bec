package source

import (
	"cmp"
	"fmt"
)

// Limits bound what a tenant may upload. Zero fields mean the defaults.
type Limits struct {
	Bytes   int64 // Maximum bytes of sources and unfinished uploads; default 100 GiB.
	Sources int   // Maximum number of sources and unfinished uploads; default 10,000.
	Uploads int   // Maximum number of unfinished uploads; default 1,000.
}

// WithDefaults returns the limits with the defaults in zero fields.
func (l Limits) WithDefaults() Limits {
	return Limits{Bytes: cmp.Or(l.Bytes, 100<<30), Sources: cmp.Or(l.Sources, 10_000), Uploads: cmp.Or(l.Uploads, 1_000)}
}

// Usage is what a tenant has uploaded. An unfinished upload counts with its announced size, or with the received bytes if
// it has announced none.
type Usage struct {
	Bytes   int64 // Of sources and unfinished uploads.
	Sources int   // Without unfinished uploads.
	Uploads int   // Unfinished ones.
}

// Quota is a limit of what a tenant may upload.
type Quota string

// The quotas.
const (
	QuotaBytes   Quota = "max_source_bytes"
	QuotaSources Quota = "max_sources"
	QuotaUploads Quota = "max_unfinished_uploads"
)

// QuotaError means that a tenant has used up a quota. The bytes that were received before stay stored.
type QuotaError struct {
	Tenant string
	Quota  Quota
	Limit  int64
}

// Error says which quota is used up, and what to do.
func (e *QuotaError) Error() string {
	const then = "wait until sources expire, some days after their last use, or ask an operator to raise the quota"
	switch e.Quota {
	case QuotaBytes:
		return fmt.Sprintf("the sources and unfinished uploads of tenant %s may have %d bytes, and this upload needs more than is left: %s", e.Tenant, e.Limit, then)
	case QuotaSources:
		return fmt.Sprintf("tenant %s has %d sources and unfinished uploads, which is its quota: %s", e.Tenant, e.Limit, then)
	default:
		return fmt.Sprintf("tenant %s has %d unfinished uploads, which is its quota: finish some of them first", e.Tenant, e.Limit)
	}
}

// Admit returns a QuotaError if one more upload with a number of bytes exceeds a quota. used is the present usage of the
// tenant.
func (l Limits) Admit(tenant string, used Usage, bytes int64) error {
	l = l.WithDefaults()
	switch {
	case used.Uploads >= l.Uploads:
		return &QuotaError{tenant, QuotaUploads, int64(l.Uploads)}
	case used.Sources+used.Uploads >= l.Sources:
		return &QuotaError{tenant, QuotaSources, int64(l.Sources)}
	case bytes > l.Bytes-used.Bytes:
		return &QuotaError{tenant, QuotaBytes, l.Bytes}
	default:
		return nil
	}
}

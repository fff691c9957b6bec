package server

import (
	"context"
	"net/url"
	"path/filepath"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/storage"
)

// bucketURL returns where files are stored.
func (f Config) bucketURL() (string, error) {
	if f.Bucket != "" {
		return f.Bucket, nil
	}
	dir, err := f.dataDir()
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(dir, "bucket"))}).String(), nil
}

// openBucket opens the bucket. Each failure of it is counted, and has the watcher probe it at once.
func openBucket(ctx context.Context, bucketURL string, watcher *storage.Watcher, meter metric.Meter) (*media.Bucket, error) {
	failures, err := newStorageFailures(meter)
	if err != nil {
		return nil, err
	}
	return media.OpenObservedBucket(ctx, bucketURL, func(ctx context.Context, e *media.StorageError) {
		failures.Add(ctx, 1, metric.WithAttributes(attribute.String("operation", e.Op)))
		if e.Probe {
			return
		}
		// NOTE: a write that ended with its caller's deadline proves nothing: with short deadlines any caller could keep admission
		// paused. The same holds for every read.
		if e.Op == "put" && ctx.Err() == nil {
			watcher.Failed(e.Bytes)
		} else {
			watcher.ProbeNow()
		}
	})
}

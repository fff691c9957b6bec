package server

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/storage"
)

// newStorageFailures returns the counter of failures of the bucket.
func newStorageFailures(meter metric.Meter) (metric.Int64Counter, error) {
	failures, err := meter.Int64Counter("refract_storage_failures",
		metric.WithDescription("Failures of the storage of files, by operation: put, open, read, delete, list, sign and sweep."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of storage failures: %w", err)
	}
	return failures, nil
}

// observeStorage makes what the last probe of the storage found a metric.
func observeStorage(meter metric.Meter, watcher *storage.Watcher) error {
	_, err := meter.Int64ObservableGauge("refract_storage_up",
		metric.WithDescription("Whether this replica can store results, as its last probe found: 1, or 0."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if working, known := watcher.Probed(); known {
				o.Observe(map[bool]int64{true: 1}[working])
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the storage: %w", err)
	}
	return nil
}

// newDatabaseFailures returns a function that counts a failure of the database by its cause.
func newDatabaseFailures(meter metric.Meter) (func(cause string), error) {
	failures, err := meter.Int64Counter("refract_database_failures",
		metric.WithDescription("Statements and connects that failed for the database, by cause: an SQLSTATE, connection or timeout."))
	if err != nil {
		return nil, fmt.Errorf("make the counter of database failures: %w", err)
	}
	return func(cause string) {
		failures.Add(context.Background(), 1, metric.WithAttributes(attribute.String("cause", cause)))
	}, nil
}

// observeReadiness makes what this replica reports to load balancers a metric.
func observeReadiness(meter metric.Meter, r *readiness) error {
	_, err := meter.Int64ObservableGauge("refract_ready",
		metric.WithDescription("Whether this replica serves: 1, or 0, as its gRPC health and /readyz report. Only /readyz asks the database as well."),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			o.Observe(map[bool]int64{true: 1}[r.serving(ctx)])
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of readiness: %w", err)
	}
	return nil
}

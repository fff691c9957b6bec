package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
)

// newFence returns what compares the database with the bucket.
func newFence(f Config, stores *postgres.Stores, bucket *media.Bucket, bucketURL, replica string, admit func(), log *slog.Logger) *fence.Fence {
	return fence.New(fence.Config{
		Store: stores.Installation, Bucket: bucket, Ephemeral: strings.HasPrefix(bucketURL, "mem:"), Replica: replica,
		CloseAtStart: f.Admission == "closed", Changed: admit, Log: log,
	})
}

// observeAdmission makes it a metric whether admission is open.
func observeAdmission(meter metric.Meter, f *fence.Fence) error {
	_, err := meter.Int64ObservableGauge("refract_admission_open",
		metric.WithDescription("Whether tasks are sent to providers: 1, or 0 if an operator or the service closed admission."),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			a, err := f.Admission(ctx)
			if err == nil {
				o.Observe(map[bool]int64{true: 1}[a.Open()])
			}
			return err
		}))
	if err != nil {
		return fmt.Errorf("make the metric of admission: %w", err)
	}
	return nil
}

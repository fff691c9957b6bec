package server

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observeBuild makes what this program was built from a metric. Its value is 1, and its labels are what matters.
func observeBuild(meter metric.Meter) error {
	version, revision := builtFrom()
	_, err := meter.Int64ObservableGauge("refract_build_info",
		metric.WithDescription("Always 1, with the version of the module, the revision of the repository, and the version of Go that this replica was built from."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, metric.WithAttributes(
				attribute.String("version", version), attribute.String("revision", revision), attribute.String("goversion", runtime.Version())))
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the build: %w", err)
	}
	return nil
}

// builtFrom returns the version and the revision that the Go toolchain recorded in the binary. Tests have neither.
func builtFrom() (version, revision string) {
	version, revision = "(devel)", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}

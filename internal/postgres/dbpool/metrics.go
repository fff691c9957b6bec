package dbpool

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe makes the connections of a pool metrics. A scrape reads counters in memory, so it works while the database does not.
func Observe(meter metric.Meter, pool *pgxpool.Pool) error {
	_, err := meter.Int64ObservableGauge("refract_database_connections",
		metric.WithDescription("Connections of this replica's pool, by state: acquired, idle, or constructing."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			s := pool.Stat()
			o.Observe(int64(s.AcquiredConns()), metric.WithAttributes(attribute.String("state", "acquired")))
			o.Observe(int64(s.IdleConns()), metric.WithAttributes(attribute.String("state", "idle")))
			o.Observe(int64(s.ConstructingConns()), metric.WithAttributes(attribute.String("state", "constructing")))
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of connections: %w", err)
	}
	_, err = meter.Int64ObservableGauge("refract_database_connections_max",
		metric.WithDescription("The size of this replica's pool, pool_max_conns."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(pool.Stat().MaxConns()))
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the pool's size: %w", err)
	}
	_, err = meter.Int64ObservableCounter("refract_database_acquires",
		metric.WithDescription("Acquires of a connection, by outcome: idle (one was free), waited, or canceled (the caller gave up)."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			s := pool.Stat()
			o.Observe(s.AcquireCount()-s.EmptyAcquireCount(), metric.WithAttributes(attribute.String("outcome", "idle")))
			o.Observe(s.EmptyAcquireCount(), metric.WithAttributes(attribute.String("outcome", "waited")))
			o.Observe(s.CanceledAcquireCount(), metric.WithAttributes(attribute.String("outcome", "canceled")))
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the counter of acquires: %w", err)
	}
	_, err = meter.Float64ObservableCounter("refract_database_acquire_wait", metric.WithUnit("s"),
		metric.WithDescription("Time that acquires waited because no connection was free."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(pool.Stat().EmptyAcquireWaitTime().Seconds())
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the counter of waits for connections: %w", err)
	}
	return nil
}

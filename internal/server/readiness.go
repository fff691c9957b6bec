package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/storage"
)

// readiness is whether this replica can serve: what it reports to load balancers, and what the log says when that changes.
type readiness struct {
	health *health.Server
	logs   logs
	bucket string                      // Where results go, for the log.
	ping   func(context.Context) error // Asks the database.
	admit  func()                      // Wakes admission when results can be stored again.

	mu         sync.Mutex
	unreadable bool // Whether the log of events can't be read.
	faults     map[dbpool.Fault]bool
	storable   bool // Whether the last probe of the storage succeeded.
	probed     bool // Whether there was one.
}

// newReadiness returns the readiness of a replica of whose storage nothing is known yet, so that it is not ready.
func newReadiness(logs logs, bucket string, ping func(context.Context) error, admit func()) *readiness {
	r := &readiness{health: health.NewServer(), logs: logs, bucket: bucket, ping: ping, admit: admit, faults: map[dbpool.Fault]bool{}}
	r.setHealth() // No other goroutine knows it yet. A new health server reports SERVING.
	return r
}

// What keeps a replica from being ready, apart from the database itself.
var (
	errNotServing = errors.New("not serving") // The gRPC health is not SERVING.
	errUnstorable = fmt.Errorf("results can't be stored: %w", media.ErrStorage)
)

// check returns why this replica can't serve, or nil.
func (r *readiness) check(ctx context.Context) error {
	if r.serving(ctx) {
		return r.ping(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probed && !r.storable {
		return errUnstorable
	}
	return errNotServing
}

// serving reports whether the gRPC health is SERVING.
func (r *readiness) serving(ctx context.Context) bool {
	resp, err := r.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err == nil && resp.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING
}

// setHealth sets the gRPC health of the replica. After the start of a drain it changes nothing. The lock is held.
func (r *readiness) setHealth() {
	state := grpc_health_v1.HealthCheckResponse_SERVING
	if r.unreadable || r.faults[dbpool.NoWrites] || !r.storable {
		state = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	r.health.SetServingStatus("", state)
}

// setReadable notes whether the log of events can be read.
func (r *readiness) setReadable(readable bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unreadable = !readable
	r.setHealth()
}

// setStorable notes that results can be stored, or that they can't, or that they can't for another cause.
func (r *readiness) setStorable(c storage.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storable, r.probed = c.Working, true
	r.setHealth()
	ctx := context.Background()
	if !c.Working {
		r.logs.aboutStorage.begin(func() {
			r.logs.all.ErrorContext(ctx, "results can't be stored; the replica is not ready, and admits no task until they can",
				"bucket", r.bucket, "cause", "the storage "+c.Cause, "error", c.Err)
		})
		return
	}
	r.logs.aboutStorage.end(func(held int) {
		if c.Failures > 0 {
			r.logs.all.InfoContext(ctx, "results can be stored again", "bucket", r.bucket, "after", c.After, "failed_probes", c.Failures, "lines_held_back", held)
		}
	})
	r.admit()
}

// What the log says when a fault of the database begins, and when it is over.
const (
	LogWritesRefused      = "the database takes no writes; the replica is not ready, and drops its connections"
	LogWritesTaken        = "the database takes writes again"
	LogConnectionsRefused = "no connection to the database can be made; calls that need one end with UNAVAILABLE"
	LogConnectionsMade    = "connections to the database can be made again"
)

// databaseChanged notes a fault of the database, another cause of it, or its end.
func (r *readiness) databaseChanged(c dbpool.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Over {
		delete(r.faults, c.Fault)
	} else {
		r.faults[c.Fault] = true
	}
	r.setHealth()
	began, ended := LogConnectionsRefused, LogConnectionsMade
	if c.Fault == dbpool.NoWrites {
		began, ended = LogWritesRefused, LogWritesTaken
	}
	ctx := context.Background()
	over := func(held int) {
		r.logs.all.InfoContext(ctx, ended, "after", c.After, "failures", c.Failures, "lines_held_back", held) //nolint:sloglint // One of two constants.
	}
	switch {
	case !c.Over:
		r.logs.aboutDatabase.begin(func() {
			r.logs.all.ErrorContext(ctx, began, "error", c.Cause) //nolint:sloglint // As above.
		})
	case len(r.faults) == 0:
		r.logs.aboutDatabase.end(over)
	default: // The other fault goes on.
		over(0)
	}
}

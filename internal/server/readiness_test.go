package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/storage"
)

// TestReadiness_SaysWhetherAndWhyNot reports what happens to a replica, and asks it after each report.
func TestReadiness_SaysWhetherAndWhyNot(t *testing.T) {
	t.Parallel()
	stored, failed := storage.Change{Working: true}, storage.Change{Cause: "is full", Err: errors.New("no space left")}
	type report func(*readiness)
	var (
		works    report = func(r *readiness) { r.setStorable(stored) }
		full     report = func(r *readiness) { r.setStorable(failed) }
		silent   report = func(r *readiness) { r.setReadable(false) }
		readable report = func(r *readiness) { r.setReadable(true) }
		refuses  report = func(r *readiness) {
			r.databaseChanged(dbpool.Change{Fault: dbpool.NoWrites, Cause: errors.New("read-only")})
		}
		writes report = func(r *readiness) { r.databaseChanged(dbpool.Change{Fault: dbpool.NoWrites, Over: true}) }
		closed report = func(r *readiness) {
			r.databaseChanged(dbpool.Change{Fault: dbpool.NoConnections, Cause: errors.New("refused")})
		}
		stops report = func(r *readiness) { r.health.Shutdown() }
		down  report = func(r *readiness) { r.ping = func(context.Context) error { return errDown } }
	)
	for name, tc := range map[string]struct {
		reports []report
		want    error
	}{
		"at the start":                          {nil, errNotServing},
		"with a storage that works":             {[]report{works}, nil},
		"with one that failed from the start":   {[]report{full}, media.ErrStorage},
		"with one that fails":                   {[]report{works, full}, media.ErrStorage},
		"with one that works again":             {[]report{full, works}, nil},
		"with a log that can't be read":         {[]report{works, silent}, errNotServing},
		"with one that can be read again":       {[]report{works, silent, readable}, nil},
		"with a database that takes no writes":  {[]report{works, refuses}, errNotServing},
		"with one that takes them again":        {[]report{works, refuses, writes}, nil},
		"with one fault of two over":            {[]report{works, refuses, full, writes}, media.ErrStorage},
		"without connections, the ping decides": {[]report{works, closed}, nil},
		"with a database that is down":          {[]report{works, down}, errDown},
		"after a stop, whatever follows":        {[]report{works, stops, full, works, readable}, errNotServing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReadiness(newLogs(slog.New(slog.DiscardHandler)), "file:///bucket", func(context.Context) error { return nil }, func() {})
			for _, report := range tc.reports {
				report(r)
			}
			if err := r.check(t.Context()); !errors.Is(err, tc.want) {
				t.Errorf("check = %v, want %v", err, tc.want)
			}
			resp, err := r.health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			serving := err == nil && resp.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING
			if want := tc.want == nil || errors.Is(tc.want, errDown); serving != want {
				t.Errorf("the gRPC health is SERVING: %t, want %t", serving, want)
			}
		})
	}
}

var errDown = errors.New("the database is down")

// TestReadiness_LogsEachChangeOnce has a storage that fails and works again, and a database that refuses writes for two causes.
func TestReadiness_LogsEachChangeOnce(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	admissions := 0
	r := newReadiness(newLogs(slog.New(slog.NewTextHandler(&text, nil))), "file:///bucket", nil, func() { admissions++ })
	r.setStorable(storage.Change{Working: true})
	if text.Len() > 0 || admissions != 1 {
		t.Errorf("the first probe is logged as %q and wakes admission %d times, want no line and one wake", &text, admissions)
	}
	r.setStorable(storage.Change{Cause: "is full", Err: errors.New("no space left")})
	r.setStorable(storage.Change{Working: true, Failures: 3})
	r.databaseChanged(dbpool.Change{Fault: dbpool.NoWrites, Cause: errors.New("read-only")})
	r.databaseChanged(dbpool.Change{Fault: dbpool.NoWrites, Over: true, Failures: 7})
	for _, want := range []string{
		`cause="the storage is full" error="no space left"`, "failed_probes=3", LogWritesRefused + `" error=read-only`, LogWritesTaken + `" after=0s failures=7`,
	} {
		if n := strings.Count(text.String(), want); n != 1 {
			t.Errorf("the log has %q %d times, want once:\n%s", want, n, &text)
		}
	}
	if admissions != 2 {
		t.Errorf("admission was woken %d times, want once at each time that the storage works", admissions)
	}
}

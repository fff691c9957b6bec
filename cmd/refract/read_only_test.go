package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TestReady_ADatabaseThatBecomesReadOnly makes every session of the service read-only, as a failover does, and then new ones
// writable while those that exist stay as they are.
//
// It fails without readOnlyTransaction in Unavailable (internal/postgres/errors.go), when WriteState drops no connections, and
// without outageLog (log_limit.go).
func TestReady_ADatabaseThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	ts := startService(t, nil)
	id := ts.submit(t, "").GetId()
	ts.end(t, id)
	admin, err := ts.pool.Acquire(t.Context()) // Its session began before.
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Release()
	setReadOnly := func(value string) {
		t.Helper()
		name := pgx.Identifier{admin.Conn().Config().Database}.Sanitize()
		if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+name+" SET default_transaction_read_only = "+value); err != nil {
			t.Fatal(err)
		}
	}
	health := grpc_health_v1.NewHealthClient(dial(t, ts.grpcListener.Addr().String()))
	awaitReady := func(status int, state grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		eventually(t, "readiness to be "+state.String(), func() bool {
			got, _ := ts.rest(t, http.MethodGet, "/readyz", "")
			resp, err := health.Check(ts.untold(t), &grpc_health_v1.HealthCheckRequest{})
			return got == status && err == nil && resp.GetStatus() == state
		})
	}
	awaitReady(http.StatusOK, grpc_health_v1.HealthCheckResponse_SERVING)

	setReadOnly("on")
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'refract' AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	awaitReady(http.StatusServiceUnavailable, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	for range 20 {
		_, err := ts.tasks.SubmitTask(ts.ctx(t), goodRequest())
		if got := refusalOf(err); got.Code != codes.Unavailable || got.Reason != "DATABASE_UNAVAILABLE" || retryOf(err) == 0 {
			t.Fatalf("a write ended with %v, want UNAVAILABLE, DATABASE_UNAVAILABLE and RetryInfo", err)
		}
	}
	if _, err := ts.tasks.GetTask(ts.ctx(t), &refractv1.GetTaskRequest{TaskId: id}); err != nil {
		t.Errorf("a read ended with %v", err)
	}

	setReadOnly("off") // The sessions that are read-only stay so.
	eventually(t, "writes to succeed again", func() bool {
		_, err := ts.tasks.SubmitTask(ts.ctx(t), goodRequest())
		return err == nil
	})
	awaitReady(http.StatusOK, grpc_health_v1.HealthCheckResponse_SERVING)
	eventually(t, "the end to be logged", func() bool { return strings.Contains(ts.log.String(), "the database takes writes again") })
	lines := map[string]int{}
	for line := range strings.Lines(ts.log.String()) {
		if m := regexp.MustCompile(`level=(?:WARN|ERROR) msg=("(?:[^"\\]|\\.)*"|\S+).*25006`).FindStringSubmatch(line); m != nil {
			lines[m[1]]++
		}
	}
	for message, n := range lines {
		if n > 1 {
			t.Errorf("%d lines say %s, want one", n, message)
		}
	}
	if n := lines[`"the database takes no writes; the replica is not ready, and drops its connections"`]; n != 1 {
		t.Errorf("%d lines name the cause, want one: %v", n, lines)
	}
}

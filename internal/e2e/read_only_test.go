package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestReady_ADatabaseThatBecomesReadOnly makes every session of the service read-only, as a failover does. Then it
// makes new sessions writable while existing ones stay read-only.
//
// It fails without readOnlyTransaction in Unavailable (internal/postgres/dbpool/errors.go), when State drops no connections, and
// without outageLog (internal/server/log_limit.go).
func TestReady_ADatabaseThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	called := ts.Submit(t, "[sim:never]")
	ts.Await(t, called.GetId(), func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Entry(t, called)
	callback := func() (int, http.Header, []byte) {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		return e2etest.Request(t, http.MethodPost, entry.CallbackURL, `{"code":200,"msg":"ok","data":{"taskId":"`+entry.TaskID+`"}}`,
			"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, entry.TaskID, now))
	}
	admin, err := ts.Pool.Acquire(t.Context()) // Its session starts before the change.
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
	health := grpc_health_v1.NewHealthClient(e2etest.Dial(t, ts.GRPCAddr()))
	awaitReady := func(status int, state grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		e2etest.Eventually(t, "readiness to be "+state.String(), func() bool {
			got, _ := ts.Rest(t, http.MethodGet, "/readyz", "")
			resp, err := health.Check(ts.Anonymous(t), &grpc_health_v1.HealthCheckRequest{})
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
		_, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest())
		if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "DATABASE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
			t.Fatalf("a write ended with %v, want UNAVAILABLE, DATABASE_UNAVAILABLE and RetryInfo", err)
		}
	}
	if _, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: id}); err != nil {
		t.Errorf("a read ended with %v", err)
	}
	httpStatus, header, answer := callback()
	if got := e2etest.DecodeRefusal(t, answer); httpStatus != http.StatusServiceUnavailable || got.Reason != "DATABASE_UNAVAILABLE" || header.Get("Retry-After") == "" {
		t.Errorf("a callback was answered %d, %s; want 503, DATABASE_UNAVAILABLE and Retry-After", httpStatus, answer)
	}
	if n := ts.Metric(t, "refract_database_failures_total", `cause="25006"`); n < 21 {
		t.Errorf("%d failures were counted, want one at least for each refused write", n)
	}

	setReadOnly("off") // Read-only sessions stay read-only.
	e2etest.Eventually(t, "writes to succeed again", func() bool {
		_, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest())
		return err == nil
	})
	awaitReady(http.StatusOK, grpc_health_v1.HealthCheckResponse_SERVING)
	if httpStatus, _, answer := callback(); httpStatus != http.StatusOK {
		t.Errorf("after the outage the callback was answered %d, %s; want 200", httpStatus, answer)
	}
	if got := ts.End(t, called.GetId()).GetState(); got != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("after its callback the task ended as %v, want SUCCEEDED", got)
	}
	var inbox int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM callback WHERE provider_task_id = $1", entry.TaskID).Scan(&inbox); err != nil || inbox != 1 {
		t.Errorf("the inbox holds %d callbacks of the task, %v; want the one that was answered 200", inbox, err)
	}
	ts.LogsFaultOnce(t, server.LogWritesRefused, server.LogWritesTaken, "SQLSTATE 25006")
}

package e2e_test

import (
	"net/http"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestCalls_ADatabaseThatHangsIsUnavailable locks a table, so that every statement on it waits, and calls with a
// distant deadline. The service's own time limit must end the calls.
//
// It fails when describe (internal/api/errors.go) takes every deadline for the caller's.
func TestCalls_ADatabaseThatHangsIsUnavailable(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	tx := postgrestest.Begin(t, ts.Pool)
	if _, err := tx.Exec(t.Context(), "LOCK TABLE task IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for name, call := range map[string]func() error{
		"get": func() error {
			_, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: id})
			return err
		},
		"submit": func() error { _, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest()); return err },
		"retry": func() error {
			_, err := ts.Tasks.RetryTask(ts.Ctx(t), &refractv1.RetryTaskRequest{TaskId: id})
			return err
		},
		"watch": func() error {
			stream, err := ts.Tasks.WatchTask(ts.Ctx(t), &refractv1.WatchTaskRequest{TaskId: id})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		calls.Go(func() {
			err := call()
			if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "DATABASE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
				t.Errorf("%s ended with %v, want UNAVAILABLE, DATABASE_UNAVAILABLE and RetryInfo", name, err)
			}
		})
	}
	calls.Go(func() {
		httpStatus, answer := ts.Rest(t, http.MethodGet, "/v1/tasks/"+id, "")
		if got := e2etest.DecodeRefusal(t, answer); httpStatus != http.StatusServiceUnavailable || got.Reason != "DATABASE_UNAVAILABLE" {
			t.Errorf("REST answered %d, %s; want 503 and DATABASE_UNAVAILABLE", httpStatus, answer)
		}
	})
	calls.Wait()
	if n := ts.Metric(t, "refract_database_failures_total", `cause="timeout"`); n == 0 {
		t.Error("no timeout of the database was counted")
	}
}

package operation_test

import (
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
)

// TestCredentials_StreamsEndWithTheirToken revokes a token, and deletes another one, while streams of every kind are
// open. Streams with the tenant's other token must continue.
//
// It fails when admitStream in internal/api/auth.go does not bind the stream to its credentials.
func TestCredentials_StreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Processing = time.Hour }) // No stream ends with its task.
	id := ts.Submit(t, "").GetId()
	ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	second := e2etest.CreateToken(t, ts.Pool, "acme")
	for name, statement := range map[string]string{
		"revoked": "UPDATE api_token SET revoke_time = now() WHERE tenant = $1",
		"deleted": "DELETE FROM api_token WHERE tenant = $1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := e2etest.CreateToken(t, ts.Pool, "leaver-"+name)
			ctx := e2etest.As(ts.Anonymous(t), token)
			req := e2etest.GoodRequest()
			resp, err := ts.Tasks.SubmitTask(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			streams := ts.OpenStreams(ctx, t, token, resp.GetTask().GetId())
			postgrestest.Exec(t, ts.Pool, statement, "leaver-"+name)
			for kind, end := range streams {
				if err := end(); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
	t.Run("rotated", func(t *testing.T) {
		t.Parallel()
		kept := ts.WatchAll(t, &refractv1.WatchTasksRequest{})
		ctx := e2etest.As(ts.Anonymous(t), second)
		streams := ts.OpenStreams(ctx, t, second, id)
		postgrestest.Exec(t, ts.Pool, "UPDATE api_token SET revoke_time = now() WHERE tenant = 'acme' AND hash = sha256(convert_to($1, 'UTF8'))", second)
		for kind, end := range streams {
			if err := end(); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		next := ts.Submit(t, "").GetId()
		kept.Until(t, func(e *refractv1.WatchedTaskEvent) bool { return e.GetTaskId() == next })
	})
}

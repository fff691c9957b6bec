package e2e_test

import (
	"io"
	"net/http"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestSave_TwoOfOneAttemptLeaveTheFileOfTheFirst makes two jobs save one attempt at the same time, as when a job is
// rescued from a replica that is still alive. Both download. Only the second job's files must be removed.
//
// It fails when outputKeys (internal/output/save.go) gives both jobs the same keys, or when settle removes recorded
// files.
func TestSave_TwoOfOneAttemptLeaveTheFileOfTheFirst(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, e2etest.Unlimited)
	replicas := f.StartAll(t, 2)
	ts := replicas[0]
	both := make(chan struct{})
	host := e2etest.ClipServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-both:
		case <-r.Context().Done():
		}
	})
	id := ts.Submit(t, "[sim:redirect="+host.URL+"]").GetId()
	e2etest.Eventually(t, "the save to begin", func() bool { return len(ts.Sim.Downloads()) == 1 })
	postgrestest.Exec(t, ts.Pool, `
		INSERT INTO river_job (args, kind, max_attempts, metadata, priority, queue, state, scheduled_at)
		SELECT args, kind, max_attempts, metadata, priority, queue, 'available', now()
		FROM river_job
		WHERE kind = 'save_outputs'`)
	e2etest.Eventually(t, "the second save to begin", func() bool { return len(ts.Sim.Downloads()) == 2 })
	close(both)
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Fatalf("the task ended %v", last)
	}
	e2etest.Eventually(t, "both saves to end", func() bool {
		return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM river_job WHERE kind = 'save_outputs' AND state = 'completed'") == 2
	})
	recorded := postgrestest.Value[string](t, ts.Pool, "SELECT key FROM output")
	keys, err := ts.Bucket(t).Keys(t.Context(), media.OutputPrefix, 10)
	if err != nil || len(keys) != 1 || keys[0] != recorded {
		t.Errorf("the bucket holds %q, %v, want %s alone", keys, err, recorded)
	}
	file, err := ts.Bucket(t).Open(t.Context(), recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	size := postgrestest.Value[int64](t, ts.Pool, "SELECT size_bytes FROM output")
	if n, err := io.Copy(io.Discard, file); err != nil || n != size {
		t.Errorf("the file has %d bytes, %v, want %d", n, err, size)
	}
}

package e2e_test

import (
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestSave_WhoseJobIsMissingIsMadeUpFor takes back what the saving of a result has committed, but for the end of its job, as a failover
// does that loses the last commits.
//
// It fails when the server (internal/server/server.go) does not run RunMissingJobs.
func TestSave_WhoseJobIsMissingIsMadeUpFor(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	e2etest.Eventually(t, "the job to have ended", func() bool {
		return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM river_job WHERE kind = 'save_outputs' AND state = 'completed'") == 1
	})
	const setBack = `
WITH lost AS (DELETE FROM output), forgotten AS (DELETE FROM task_event WHERE state = 'SUCCEEDED'),
    unsaved AS (UPDATE attempt SET saved = false)
UPDATE task SET state = 'SAVING', revision = revision - 1, update_time = now() - interval '2 minutes'`
	if _, err := ts.Pool.Exec(t.Context(), setBack); err != nil {
		t.Fatal(err)
	}
	e2etest.Eventually(t, "the result to be saved", func() bool { return ts.Get(t, id).GetState() == e2etest.Succeeded })
}

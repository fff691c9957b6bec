package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestQueue_LeavesNewJobsToOthersWhileItYields has a job that has just become ready, and one that other replicas have left.
func TestQueue_LeavesNewJobsToOthersWhileItYields(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	const insert = `INSERT INTO river_job (kind, queue, args, max_attempts, scheduled_at) VALUES ('submit', 'submit', '{}', 1, now() - $1::interval) RETURNING id`
	fresh := postgrestest.Value[int64](t, pool, insert, time.Duration(0))
	left := postgrestest.Value[int64](t, pool, insert, LeaveFor+time.Hour)
	inserted := postgrestest.Value[time.Time](t, pool, `SELECT scheduled_at FROM river_job WHERE id = $1`, fresh)

	yields := true
	q := &Queue{cfg: Config{Now: func() time.Time { return inserted }, Yield: func() bool { return yields }}}
	jobs := driver{riverpgxv5.New(pool), pool, q.takesBefore}.GetExecutor()
	take := func() (ids []int64) {
		t.Helper()
		got, err := jobs.JobGetAvailable(t.Context(), &riverdriver.JobGetAvailableParams{ClientID: "replica", MaxAttemptedBy: 100, MaxToLock: 10, Queue: "submit"})
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range got.Jobs {
			ids = append(ids, job.ID)
		}
		return ids
	}
	if got := take(); !slices.Equal(got, []int64{left}) {
		t.Errorf("a replica that yields takes jobs %d, want %d alone, which others have left", got, left)
	}
	yields = false
	if got := take(); !slices.Equal(got, []int64{fresh}) {
		t.Errorf("a replica that does not yield takes jobs %d, want %d", got, fresh)
	}
}

package replica

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// holdReplicaLock takes the lock that shows that a replica lives, on a connection of its own: the database drops the lock when the
// replica dies, however that happens. The lock is shared, so that a replica that reconnects does not wait for its own former
// connection.
const holdReplicaLock = `SELECT pg_advisory_lock_shared(hashtextextended('refract.replica.' || $1, 0))`

// rescueTick is how often lost jobs are looked for.
const rescueTick = 5 * time.Second

// unheard is how long after its start a job of this replica that the replica does not work on counts as lost.
const unheard = 15 * time.Second

// JobRescuer gives lost jobs back to the queue. A job is lost when its replica died while it ran the job, when its replica never
// received it because the database's answer was lost, or when its time is over and its result was not recorded, for example after
// an outage of the database.
//
// A replica that lives but has lost its connection may lose a job to another one. The job then runs twice, for which all jobs are
// made.
type JobRescuer struct {
	Pool     *pgxpool.Pool
	Log      *slog.Logger
	Replica  string                   // The name of this replica at the job queue.
	Working  func(job int64) bool     // Whether this replica works on a job.
	Timeouts map[string]time.Duration // How long jobs of each kind may take.
	Early    time.Duration            // How long before its start a job may count as started.

	tick time.Duration // How often it looks; 0 means rescueTick.
}

// Run looks for lost jobs until ctx ends. It gives back a job that it found twice in a row, so that a
// replica that reconnects keeps its jobs.
func (r *JobRescuer) Run(ctx context.Context) error {
	ticker := time.NewTicker(cmp.Or(r.tick, rescueTick))
	defer ticker.Stop()
	var suspects []int64
	for {
		found, err := r.find(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "search for lost jobs failed; will retry", "error", err)
		}
		lost := slices.DeleteFunc(slices.Clone(found), func(id int64) bool { return !slices.Contains(suspects, id) })
		if len(lost) > 0 {
			r.giveBack(ctx, lost)
		}
		suspects = found
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// selectLostJobs finds running jobs whose time is over or whose replica holds no lock, and those of this replica that it may not
// have received. PostgreSQL shows a lock's 64 bits in two halves.
const selectLostJobs = `
SELECT id, coalesce(attempted_at < now() - make_interval(secs => ($1::jsonb ->> kind)::float8), false),
    attempted_by[cardinality(attempted_by)] = $2
FROM river_job
WHERE state = 'running' AND (attempted_at < now() - make_interval(secs => ($1::jsonb ->> kind)::float8)
  OR attempted_by[cardinality(attempted_by)] = $2 AND attempted_at < now() - make_interval(secs => $3)
  OR attempted_by[cardinality(attempted_by)] <> $2 AND NOT EXISTS (
    SELECT
    FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32 | objid::bigint)
          = hashtextextended('refract.replica.' || attempted_by[cardinality(attempted_by)], 0)))
LIMIT 1000`

func (r *JobRescuer) find(ctx context.Context) ([]int64, error) {
	seconds := make(map[string]float64, len(r.Timeouts))
	for kind, timeout := range r.Timeouts {
		seconds[kind] = timeout.Seconds()
	}
	rows, err := r.Pool.Query(ctx, selectLostJobs, seconds, r.Replica, (unheard + r.Early).Seconds())
	if err != nil {
		return nil, err
	}
	var found []int64
	var id int64
	var over, ours bool
	_, err = pgx.ForEachRow(rows, []any{&id, &over, &ours}, func() error {
		if over || !ours || !r.Working(id) {
			found = append(found, id)
		}
		return nil
	})
	return found, err
}

const giveBackJobs = `
UPDATE river_job
SET state = 'available', scheduled_at = now()
WHERE id = ANY ($1) AND state = 'running'`

func (r *JobRescuer) giveBack(ctx context.Context, ids []int64) {
	tag, err := r.Pool.Exec(ctx, giveBackJobs, ids)
	if err != nil {
		r.Log.WarnContext(ctx, "giving lost jobs back to the queue failed; will retry", "error", err)
		return
	}
	r.Log.WarnContext(ctx, "lost jobs were given back to the queue", "jobs", tag.RowsAffected())
}

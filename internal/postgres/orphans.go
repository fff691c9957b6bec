package postgres

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A replica that lives holds a lock under its name, on a connection of its own: the database drops it when the
// replica dies, however that happens. It is a shared one, so that a replica that reconnects does not wait for its
// own former connection.
const holdReplicaLock = `SELECT pg_advisory_lock_shared(hashtextextended('refract.replica.' || $1, 0))`

// orphanTick is how often jobs of dead replicas are looked for.
const orphanTick = 5 * time.Second

// unheard is after what time a job of this replica that it does not work on is one of which it never heard.
const unheard = 15 * time.Second

// Orphans gives jobs back to the queue that nobody works on any more: their replica died while it ran them, it never
// heard that it was given them since the database's answer was lost, or their time is over and nobody wrote down what
// became of them, as after an outage of the database.
//
// A job may be taken from a replica that lives when that has lost its connection, and is then run twice, which
// all jobs are made for.
type Orphans struct {
	Pool     *pgxpool.Pool
	Log      *slog.Logger
	Replica  string                   // The name of this replica at the job queue, which knows that it lives.
	Working  func(job int64) bool     // Whether this replica works on a job.
	Timeouts map[string]time.Duration // How long jobs of each kind may take.

	tick time.Duration // How often it looks; 0 means orphanTick.
}

// Run looks for orphans until ctx ends. A job is given back when it was found twice in a row, so that a
// replica that reconnects keeps its jobs.
func (o *Orphans) Run(ctx context.Context) error {
	ticker := time.NewTicker(cmp.Or(o.tick, orphanTick))
	defer ticker.Stop()
	var suspects []int64
	for {
		found, err := o.find(ctx)
		if err != nil && ctx.Err() == nil {
			o.Log.WarnContext(ctx, "jobs that nobody works on could not be looked for", "error", err)
		}
		orphans := slices.DeleteFunc(slices.Clone(found), func(id int64) bool { return !slices.Contains(suspects, id) })
		if len(orphans) > 0 {
			o.giveBack(ctx, orphans)
		}
		suspects = found
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// selectOrphans finds running jobs whose time is over or whose replica holds no lock, and those of this replica that may be
// unheard of. PostgreSQL shows a lock's 64 bits in two halves.
const selectOrphans = `
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

func (o *Orphans) find(ctx context.Context) ([]int64, error) {
	seconds := make(map[string]float64, len(o.Timeouts))
	for kind, timeout := range o.Timeouts {
		seconds[kind] = timeout.Seconds()
	}
	rows, err := o.Pool.Query(ctx, selectOrphans, seconds, o.Replica, unheard.Seconds())
	if err != nil {
		return nil, err
	}
	var found []int64
	var id int64
	var over, ours bool
	_, err = pgx.ForEachRow(rows, []any{&id, &over, &ours}, func() error {
		if over || !ours || !o.Working(id) {
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

func (o *Orphans) giveBack(ctx context.Context, ids []int64) {
	tag, err := o.Pool.Exec(ctx, giveBackJobs, ids)
	if err != nil {
		o.Log.WarnContext(ctx, "jobs that nobody works on could not be given back", "error", err)
		return
	}
	o.Log.WarnContext(ctx, "jobs that nobody works on were given back", "jobs", tag.RowsAffected())
}

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/pglocal/pgtest"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

// sizeTasks is how many tasks TestSizes runs. docs/postgresql.md has the figures of 2,500:
//
//	go test ./internal/e2e -run '^TestSizes' -v -count=1 -tasks=2500
var sizeTasks = flag.Int("tasks", 200, "how many tasks the sizes in the database are measured with")

// The sizes that a task may have, all rows and index entries of the task, its attempt, its events, its callback, its output and its two
// finished jobs. They are above the measured ones, which docs/postgresql.md states.
const (
	maxBytesPerTask = 16 << 10
	maxWALPerTask   = 64 << 10
)

// maxConnections is how many connections a replica has with the default size of its pool: two more listen, for changes of tasks and for
// jobs.
const maxConnections = 20 + 2

// TestSizes_OfATask runs tasks from submission to the stored result on a PostgreSQL with the durability of a production server, and
// measures what they take there.
func TestSizes_OfATask(t *testing.T) {
	t.Parallel()
	cluster, err := pglocal.Start(t.Context(), pglocal.Config{TempDir: pgtest.Dir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	pool := postgrestest.Connect(t, cluster.URL())
	if err := migrations.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.DatabaseURL = redact.Secret(cluster.URL())
	})
	ts := f.Start(t)
	before := sizes(t, ts)
	for _, statement := range []string{"CHECKPOINT", "SELECT pg_stat_reset_shared('wal')"} {
		postgrestest.Exec(t, pool, statement)
	}
	cpu := serverTime(t, ts)
	wal := postgrestest.Value[string](t, pool, "SELECT pg_current_wal_lsn()::text")
	for submitted := 0; submitted < *sizeTasks; {
		n := min(500, *sizeTasks-submitted)
		batch := &refractv1.BatchSubmitTasksRequest{}
		for range n {
			batch.Requests = append(batch.Requests, e2etest.GoodRequest())
		}
		if _, err := ts.Tasks.BatchSubmitTasks(ts.Ctx(t), batch); err != nil {
			t.Fatal(err)
		}
		submitted += n
		e2etest.Eventually(t, "the tasks to succeed", func() bool {
			return postgrestest.Value[int](t, pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'") == submitted
		})
	}
	written := postgrestest.Value[float64](t, pool, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8", wal)
	images := postgrestest.Value[int64](t, pool, "SELECT wal_fpi FROM pg_stat_wal")
	tasks := float64(*sizeTasks)
	cpu = serverTime(t, ts) - cpu
	var report strings.Builder
	total := 0.0
	for _, table := range sizes(t, ts) {
		grown := float64(table.bytes)
		for _, b := range before {
			if b.name == table.name {
				grown -= float64(b.bytes)
			}
		}
		if grown > 0 {
			fmt.Fprintf(&report, "%-24s %8.0f bytes per task\n", table.name, grown/tasks)
		}
		total += grown
	}
	connections := postgrestest.Value[int](t, pool, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refract'")
	t.Logf("%d tasks:\n%s%-24s %8.0f bytes per task\nWAL                      %8.0f bytes per task, with %.2f full-page images\nprocessor time           %8.2f ms of the server per task\nconnections of the replica now: %d",
		*sizeTasks, &report, "all tables and indexes", total/tasks, written/tasks, float64(images)/tasks, cpu*1000/tasks, connections)
	if total/tasks > maxBytesPerTask || written/tasks > maxWALPerTask || connections > maxConnections {
		t.Errorf("a task takes %.0f bytes and %.0f of WAL, the replica %d connections; want at most %d, %d and %d",
			total/tasks, written/tasks, connections, maxBytesPerTask, maxWALPerTask, maxConnections)
	}
}

// serverTime returns the processor time, in seconds, of all processes of the server, past and present; 0 on systems without /proc.
func serverTime(t *testing.T, ts *e2etest.Service) float64 {
	t.Helper()
	pid, _, _ := strings.Cut(postgrestest.Value[string](t, ts.Pool, "SELECT pg_read_file('postmaster.pid')"), "\n")
	const ticks = 100 // USER_HZ, per second.
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // It has ended.
		}
		_, rest, _ := strings.Cut(string(text), ") ") // After the name: state, parent and so on, as in proc(5).
		fields := strings.Fields(rest)
		const parent, user, childrenSystem = 1, 11, 14
		if filepath.Base(filepath.Dir(stat)) != pid && fields[parent] != pid {
			continue
		}
		for _, f := range fields[user : childrenSystem+1] {
			n, _ := strconv.Atoi(f)
			sum += n
		}
	}
	return float64(sum) / ticks
}

// tableSize is a table with its indexes and long values.
type tableSize struct {
	name  string
	bytes int64
}

const selectSizes = `
SELECT relname, pg_total_relation_size(oid)
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
ORDER BY 2 DESC, 1`

func sizes(t *testing.T, ts *e2etest.Service) []tableSize {
	t.Helper()
	rows, err := ts.Pool.Query(t.Context(), selectSizes)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s tableSize, err error) {
		return s, row.Scan(&s.name, &s.bytes)
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

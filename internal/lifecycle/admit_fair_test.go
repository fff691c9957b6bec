package lifecycle_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

// submitAs makes tasks of a tenant.
func (s fleet) submitAs(t *testing.T, tenant string, n int) {
	t.Helper()
	for range n {
		if _, err := s.Submit(t.Context(), tenant, uuid.NewString(), task.Spec{Prompt: "snow"}); err != nil {
			t.Fatal(err)
		}
	}
}

// backlog queues very many tasks of a tenant, of the highest priority and a day old, by copying one.
func (s fleet) backlog(t *testing.T, tenant string, n int) {
	t.Helper()
	s.submitAs(t, tenant, 1)
	s.exec(t, "UPDATE task SET priority = 100, line_time = now() - interval '1 day' WHERE tenant = $1", tenant)
	tx := postgrestest.Begin(t, s.pool)
	_, err := tx.Exec(t.Context(), fmt.Sprintf(`
		CREATE TEMPORARY TABLE copy ON COMMIT DROP AS SELECT task.* FROM task, generate_series(2, %d);
		UPDATE copy SET id = gen_random_uuid(), request_id = gen_random_uuid();
		INSERT INTO task SELECT * FROM copy;
		ANALYZE task`, n))
	if err == nil {
		err = tx.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open counts the attempts of each tenant that are open.
func (s fleet) open(t *testing.T) map[string]int {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT task.tenant, count(*) FROM attempt JOIN task ON task.id = attempt.task_id
		WHERE attempt.state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING') GROUP BY task.tenant`)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]int{}
	var tenant string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&tenant, &n}, func() error { open[tenant] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return open
}

// TestPromise10_ABacklogDelaysItsOwnTenantAlone queues many tasks of one tenant, all of the highest priority and
// older than the one task of another, which must go in the very next round. The order does not depend on their number, of
// which a soak test has ten times as many.
//
// It fails when TenantQueue.Before (internal/admission/queue.go) no longer compares shares, and orders by time alone.
func TestPromise10_ABacklogDelaysItsOwnTenantAlone(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 18, 100)
	s.backlog(t, "giant", backlogTasks)
	if n := s.round(t); n != 18 {
		t.Fatalf("a round admitted %d tasks, want 18", n)
	}
	s.submitAs(t, "small", 1)
	s.answer(t, nil)
	s.exec(t, `UPDATE attempt SET answer_time = now() - $1::float8 * interval '1 s' - interval '1 ms'
		WHERE id = (SELECT id FROM attempt LIMIT 1)`, window.Seconds())
	if n := s.round(t); n != 1 {
		t.Fatalf("a round admitted %d tasks, want 1", n)
	}
	if diff := cmp.Diff(map[string]int{"giant": 18, "small": 1}, s.open(t)); diff != "" {
		t.Errorf("open attempts (-want +got):\n%s", diff)
	}
}

func TestAdmit_SharesByWeight(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 12)
	s.exec(t, "INSERT INTO tenant (tenant, weight) VALUES ('double', 2), ('', 1)")
	for _, tenant := range []string{"double", "one", "other"} {
		s.submitAs(t, tenant, 20)
	}
	s.expect(t, 12)
	if diff := cmp.Diff(map[string]int{"double": 6, "one": 3, "other": 3}, s.open(t)); diff != "" {
		t.Errorf("open attempts (-want +got):\n%s", diff)
	}
}

// The quota holds over providers too: another provider's round may spend it at the same time.
func TestAdmit_KeepsATenantToItsQuotaInFlight(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 100, 100)
	s.exec(t, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('small', 3)")
	s.submitAs(t, "small", 10)
	s.submitAs(t, "free", 10)
	s.admitAtOnce(t, 8)
	if diff := cmp.Diff(map[string]int{"small": 3, "free": 10}, s.open(t)); diff != "" {
		t.Errorf("open attempts (-want +got):\n%s", diff)
	}
	tx := postgrestest.Begin(t, s.pool)
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext('refract.tenant.in_flight'), hashtext('small') & 255)"); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "UPDATE tenant SET max_in_flight = 5")
	s.expect(t, 0) // Another round is spending the quota right now.
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 2)
}

func TestAdmit_SpendsAQuotaOfEachOfManyTenantsOnce(t *testing.T) {
	t.Parallel()
	const tenants = 1_000
	s := setupFleet(t, 100, 100)
	s.exec(t, "INSERT INTO tenant (tenant, max_in_flight) VALUES ('', 1)")
	s.backlog(t, "t", 2*tenants)
	s.exec(t, "UPDATE task SET tenant = 't' || n % $1 FROM (SELECT id, row_number() OVER () AS n FROM task) AS numbered WHERE task.id = numbered.id", tenants)
	if n := s.round(t); n != 100 {
		t.Errorf("a round admitted %d tasks, want 100", n)
	}
	for tenant, n := range s.open(t) {
		if n > 1 {
			t.Errorf("tenant %s has %d attempts open, want 1", tenant, n)
		}
	}
}

// Priority is worth a minute a step, so waiting outweighs it in time.
func TestAdmit_AgeOutweighsPriority(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 1, 100)
	for _, tc := range []struct {
		waited time.Duration
		want   string // What goes first.
	}{
		{9 * time.Minute, "urgent"},
		{11 * time.Minute, "old"},
	} {
		s.exec(t, "DELETE FROM task")
		ids := map[string]task.ID{"old": s.submit(t, 1, 0)[0], "urgent": s.submit(t, 1, 10)[0]}
		s.exec(t, "UPDATE task SET line_time = line_time - make_interval(secs => $2) WHERE id = $1", ids["old"], tc.waited.Seconds())
		s.expect(t, 1)
		if got := s.states(t, []task.ID{ids[tc.want]}); got[0] != task.Submitting {
			t.Errorf("after %s %s was not admitted first", tc.waited, tc.want)
		}
	}
}

// More tenants wait than a round has permits.
func TestAdmit_ServesManyTenantsInTurn(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 4, 100)
	for i := range 12 {
		s.submitAs(t, fmt.Sprintf("tenant-%02d", i), 3)
	}
	for range 3 {
		s.expect(t, 4)
		s.answer(t, nil)
		s.leaveWindow(t)
	}
	open := s.open(t)
	if len(open) != 12 || slices.Max(slices.Collect(maps.Values(open))) != 1 {
		t.Errorf("open attempts are %v, want one of each of 12 tenants", open)
	}
}

// An operator's limits hold from the next round on, in place of the configured ones.
func TestAdmit_ObeysTheOperatorsLimits(t *testing.T) {
	t.Parallel()
	s := setupFleet(t, 4, 100)
	s.submit(t, 20, 0)
	s.expect(t, 4)
	s.exec(t, "UPDATE provider_account SET max_submissions = 6, rate_window = interval '1 hour'")
	s.expect(t, 2)
	s.exec(t, "UPDATE provider_account SET max_submissions = 2, rate_window = interval '1 hour'")
	s.expect(t, 0)
	s.exec(t, "UPDATE provider_account SET max_submissions = NULL, rate_window = NULL, max_in_flight = 7")
	s.expect(t, 0)
	s.answer(t, nil)
	s.leaveWindow(t)
	s.expect(t, 1)
	s.exec(t, "UPDATE provider_account SET hold_reason = 'invoice unpaid', max_in_flight = NULL")
	s.expect(t, 0)
	s.exec(t, "UPDATE provider_account SET hold_reason = NULL")
	s.expect(t, 3)
}

package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

func TestTenantEntries_AreTheTenantsOwnWithWhatTheyAreChosenBy(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	spec := plain()
	spec.Labels = map[string]string{"film": "7"}
	mine := create(t, stores, "films", spec)
	create(t, stores, "ads", plain())
	done := create(t, stores, "films", plain())
	attempt := admit(t, stores, done.ID)
	apply(t, stores, done.ID, task.Sending{Attempt: attempt})
	out := task.Output{Key: "k", ContentType: "video/mp4", SizeBytes: 3, SHA256: make([]byte, 32)}
	for _, in := range []task.Input{
		task.Accepted{Attempt: attempt, ProviderTaskID: "p"},
		task.ResultReady{Attempt: attempt, ProviderTaskID: "p"},
		task.Saved{Attempt: attempt, Outputs: []task.Output{out}},
	} {
		apply(t, stores, done.ID, in)
	}
	exec(t, pool, `INSERT INTO task_event (task_id, revision, state, attempt, message)
		VALUES ($1, 2, 'QUEUED', 0, 'by a writer that knows no tenants')`, mine.ID)

	entries, removed, err := stores.Log.TenantEntries(t.Context(), "films", 0, 1<<40, 100)
	if err != nil || removed != 0 {
		t.Fatalf("removed %d, %v", removed, err)
	}
	var got []string
	for _, e := range entries {
		if e.Tenant != "films" {
			t.Errorf("an entry of tenant %q", e.Tenant)
		}
		got = append(got, string(e.Event.State))
	}
	want := []string{"QUEUED", "QUEUED", "SUBMITTING", "RUNNING", "SAVING", "SUCCEEDED", "QUEUED"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]task.Output{out}, entries[5].Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	outputs, err := stores.Log.TaskOutputs(t.Context(), done.ID)
	if diff := cmp.Diff([]task.Output{out}, outputs); diff != "" || err != nil {
		t.Errorf("outputs of the task: %v (-want +got):\n%s", err, diff)
	}
	if outputs, err := stores.Log.TaskOutputs(t.Context(), mine.ID); len(outputs) != 0 || err != nil {
		t.Errorf("outputs of a task that is queued = %v, %v, want none", outputs, err)
	}
	if first := entries[0]; first.Task != mine.ID || first.RequestID != mine.RequestID || first.Labels["film"] != "7" {
		t.Errorf("the first entry is %+v", first)
	}
	page, _, err := stores.Log.TenantEntries(t.Context(), "films", entries[1].Position, entries[4].Position, 2)
	if diff := cmp.Diff(entries[2:4], page); diff != "" || err != nil {
		t.Errorf("a page in the middle: %v (-want +got):\n%s", err, diff)
	}
}

func TestTenantEntries_TellWhatRetentionRemoved(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	old, kept, other := create(t, stores, "films", plain()), create(t, stores, "films", plain()), create(t, stores, "ads", plain())
	apply(t, stores, old.ID, task.CancelRequested{})
	newest := func(id task.ID) task.Position {
		return value[task.Position](t, pool, `SELECT max(position) FROM task_event WHERE task_id = $1`, id)
	}
	want := newest(old.ID)
	exec(t, pool, `DELETE FROM task WHERE id = $1`, old.ID)
	if _, removed, err := stores.Log.TenantEntries(t.Context(), "films", 0, 1<<40, 10); err != nil || removed != want {
		t.Errorf("removed up to %d, %v; want %d", removed, err, want)
	}
	exec(t, pool, `DELETE FROM task WHERE id = $1`, kept.ID) // Older than what was removed before.
	if _, removed, err := stores.Log.TenantEntries(t.Context(), "films", 0, 1<<40, 10); err != nil || removed != want {
		t.Errorf("removed up to %d, %v; want %d still", removed, err, want)
	}
	if _, removed, err := stores.Log.TenantEntries(t.Context(), "ads", 0, 1<<40, 10); err != nil || removed != 0 {
		t.Errorf("of another tenant %d was removed, %v; want nothing", removed, err)
	}
	last, err := stores.Log.LastPosition(t.Context(), 1<<40)
	if want := max(want, newest(other.ID)); err != nil || last != want {
		t.Errorf("the last position is %d, %v; want %d, though it is removed", last, err, want)
	}
}

func TestTenantEntries_TellEachTenantWhatABatchOfRetentionRemoved(t *testing.T) {
	t.Parallel()
	stores, pool := setupKeeping(t, keeping)
	want := map[string]task.Position{}
	for _, tenant := range []string{"films", "ads", "films", "news"} {
		age := 100 * day
		if tenant == "news" {
			age = time.Hour
		}
		old := succeeded(t, stores, pool, tenant, age)
		if age > keeping.Tasks {
			want[tenant] = value[task.Position](t, pool, `SELECT max(position) FROM task_event WHERE task_id = $1`, old.ID)
		}
	}
	found, err := stores.Retention.ExpiryCandidates(t.Context(), retention.TaskKind, retention.Candidate{})
	if err != nil {
		t.Fatal(err)
	}
	due := slices.DeleteFunc(found, func(a retention.Candidate) bool { return !a.Due })
	if removed, err := stores.Retention.RemoveExpired(t.Context(), retention.TaskKind, due); err != nil || removed.Rows != 3 {
		t.Fatalf("removed %+v, %v; want three tasks", removed, err)
	}
	for _, tenant := range []string{"films", "ads", "news"} {
		entries, removed, err := stores.Log.TenantEntries(t.Context(), tenant, 0, 1<<40, 10)
		if err != nil || removed != want[tenant] || len(entries) > 0 != (tenant == "news") {
			t.Errorf("of %s %d entries are left, those up to %d removed, %v; want up to %d", tenant, len(entries), removed, err, want[tenant])
		}
	}
}

func TestLog_IsReadByIndex(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	busy := create(t, stores, "busy", plain())
	create(t, stores, "films", plain())
	exec(t, pool, `INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
		SELECT $1, n, 'QUEUED', 0, '', 'busy' FROM generate_series(2, 5000) AS n`, busy.ID)
	exec(t, pool, `ANALYZE task_event, task`)
	for name, test := range map[string]struct{ sql, index string }{
		"of all":       {`SELECT * FROM task_event WHERE position > 4990 AND position <= 30000 ORDER BY position LIMIT 100`, "task_event_position_idx"},
		"of a tenant":  {`SELECT * FROM task_event WHERE position > 0 AND position <= 30000 AND tenant = 'films' ORDER BY position LIMIT 100`, "task_event_tenant_position"},
		"its last one": {`SELECT max(position) FROM task_event WHERE position <= 30000`, "task_event_position_idx"},
	} {
		if plan := explainPlan(t, pool, test.sql); !strings.Contains(plan, test.index) || strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("the log %s is not read by %s:\n%s", name, test.index, plan)
		}
	}
}

func explainPlan(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "EXPLAIN "+sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	return plan.String()
}

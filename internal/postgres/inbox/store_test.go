package inbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/task"
)

var _ lifecycle.Inbox = (*inbox.Store)(nil)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// setup returns the inbox of a fresh database with two accounts, and the pool under it.
func setup(t *testing.T) (*inbox.Store, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.Pool(t)
	postgrestest.Exec(t, pool, "INSERT INTO provider_account (account, provider) VALUES ('kie', 'kie'), ('luma', 'luma')")
	return inbox.New(pool), pool
}

// create inserts a task of a tenant, and its attempt.
func create(t *testing.T, pool *pgxpool.Pool, tenant string) (task.ID, task.AttemptID) {
	t.Helper()
	id := postgrestest.InsertTask(t, pool, tenant, task.Running, 0)
	return id, postgrestest.InsertAttempt(t, pool, id, task.AttemptSubmitting)
}

// receive puts a callback in the inbox, received so long ago.
func receive(t *testing.T, pool *pgxpool.Pool, attempt task.AttemptID, account string, v lifecycle.Verdict, age time.Duration) callback.ID {
	t.Helper()
	return postgrestest.Value[callback.ID](t, pool, `
		INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
		VALUES ($1, $2, 'p1', $3, 'body', now() - make_interval(secs => $4)) RETURNING id`, attempt, account, v, age.Seconds())
}

func TestCallbacks_Filters(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	first, one := create(t, pool, "films")
	second, two := create(t, pool, "shorts")
	names := map[callback.ID]string{
		receive(t, pool, one, "kie", lifecycle.Confirming, 3*time.Hour): "confirming",
		receive(t, pool, one, "kie", lifecycle.Applied, 2*time.Hour):    "applied",
		receive(t, pool, two, "luma", lifecycle.Malformed, time.Hour):   "malformed",
		receive(t, pool, two, "luma", lifecycle.Applied, 4*time.Hour):   "oldest, though last in the table",
		receive(t, pool, two, "kie", lifecycle.Stale, 30*time.Minute):   "stale",
		receive(t, pool, one, "luma", lifecycle.Duplicate, time.Second): "duplicate",
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for name, test := range map[string]struct {
		filter callback.Filter
		want   []string
	}{
		"none": {
			callback.Filter{},
			[]string{"duplicate", "stale", "malformed", "applied", "confirming", "oldest, though last in the table"},
		},
		"task":             {callback.Filter{Task: first}, []string{"duplicate", "applied", "confirming"}},
		"account":          {callback.Filter{Account: "kie"}, []string{"stale", "applied", "confirming"}},
		"verdict":          {callback.Filter{Verdicts: []lifecycle.Verdict{lifecycle.Applied}}, []string{"applied", "oldest, though last in the table"}},
		"verdicts":         {callback.Filter{Verdicts: []lifecycle.Verdict{lifecycle.Confirming, lifecycle.Stale}}, []string{"stale", "confirming"}},
		"from":             {callback.Filter{FromTime: ago(45 * time.Minute)}, []string{"duplicate", "stale"}},
		"to":               {callback.Filter{ToTime: ago(150 * time.Minute)}, []string{"confirming", "oldest, though last in the table"}},
		"task and account": {callback.Filter{Task: second, Account: "luma"}, []string{"malformed", "oldest, though last in the table"}},
		"task, verdict and time": {
			callback.Filter{Task: second, Verdicts: []lifecycle.Verdict{lifecycle.Applied, lifecycle.Stale}, FromTime: ago(time.Hour)},
			[]string{"stale"},
		},
		"an unknown task":    {callback.Filter{Task: task.ID(uuid.NewString())}, nil},
		"an unknown account": {callback.Filter{Account: "kie-eu"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			test.filter.Limit = 2 // So that pages meet.
			for range len(names) + 1 {
				page, err := store.Callbacks(t.Context(), test.filter)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, c := range page {
					got = append(got, names[c.ID])
				}
				last := page[len(page)-1]
				test.filter.Before = callback.Place{Time: last.ReceiveTime, ID: last.ID}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("callbacks (-want +got):\n%s", diff)
			}
		})
	}
}

// Many callbacks share a moment: a page that ends among them goes on with the others.
func TestCallbacks_OfOneMomentArePagedByID(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	_, attempt := create(t, pool, "films")
	postgrestest.Exec(t, pool, `INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
		SELECT $1, 'kie', '', (ARRAY['applied', 'stale'])[1 + n % 2], '', '2026-01-01' FROM generate_series(1, 9) AS n`, attempt)
	var got []callback.ID
	filter := callback.Filter{Limit: 2}
	for range 10 {
		page, err := store.Callbacks(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			got = append(got, c.ID)
		}
		filter.Before = callback.Place{Time: page[len(page)-1].ReceiveTime, ID: page[len(page)-1].ID}
	}
	if len(got) != 9 || !slices.IsSortedFunc(got, func(a, b callback.ID) int { return int(b - a) }) {
		t.Errorf("pages showed %v, want each of 9 once, newest first", got)
	}
}

func TestInboxCallback_HasItsBody(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	created, attempt := create(t, pool, "films")
	id := receive(t, pool, attempt, "kie", lifecycle.Stale, 0)
	got, err := store.InboxCallback(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := callback.Stored{
		ID: id, Task: created, Attempt: 1, SizeBytes: 4, ReceiveTime: got.ReceiveTime, Callback: lifecycle.Callback{
			AttemptID: attempt, Account: "kie", ProviderTaskID: "p1", Verdict: lifecycle.Stale, Body: []byte("body"),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the callback (-want +got):\n%s", diff)
	}
	if _, err := store.InboxCallback(t.Context(), id+1); !errors.Is(err, callback.ErrNotFound) {
		t.Errorf("InboxCallback of an unknown id = %v, want ErrNotFound", err)
	}
}

// Whatever is asked for, a page reads about as many blocks from a large inbox as it shows callbacks.
func TestCallbacks_CostDoesNotGrowWithTheInbox(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	_, attempt := create(t, pool, "films")
	// One in ten thousand is rare, and all of these are old.
	postgrestest.Exec(t, pool, `INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body, receive_time)
		SELECT $1, 'kie', '', CASE WHEN n % 10000 = 0 AND n < 30000 THEN 'stale' ELSE 'applied' END, '', '2026-01-01'::timestamptz + make_interval(secs => n)
		FROM generate_series(1, 50000) AS n`, attempt)
	postgrestest.Exec(t, pool, `ANALYZE callback`)
	all := lifecycle.Verdicts
	for name, args := range map[string][]any{
		"all":          {"", all, nil, nil, 0, 20},
		"an account":   {"kie", all, nil, nil, 0, 20},
		"a rarity":     {"", []string{"stale"}, nil, nil, 0, 20},
		"nothing":      {"kie", []string{"mismatch"}, nil, nil, 0, 20},
		"an old time":  {"", all, nil, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), 1, 20},
		"a short time": {"", all, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 1, 0, 9, 0, time.UTC), 0, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var plans []struct {
				Plan struct {
					Hit  int `json:"Shared Hit Blocks"`
					Read int `json:"Shared Read Blocks"`
				}
			}
			text := postgrestest.Value[[]byte](t, pool, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+inbox.ListCallbacks, args...)
			if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
				t.Fatalf("the plan can't be read: %v\n%s", err, text)
			}
			if blocks := plans[0].Plan.Hit + plans[0].Plan.Read; blocks > 250 {
				t.Errorf("a page of 20 read %d blocks:\n%s", blocks, fmt.Sprintf("%.3000s", text))
			}
		})
	}
}

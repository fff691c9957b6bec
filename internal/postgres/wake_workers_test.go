package postgres_test

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// TestChangeTask_WakesTheWorkersOfEachJob enqueues jobs one right after the other. Each wakes the workers, in the form that the job
// queue listens for.
func TestChangeTask_WakesTheWorkersOfEachJob(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Log: slog.New(slog.DiscardHandler)})
	postgrestest.Background(t, notifier.Run)
	stores, _ := setupWith(t, postgres.Config{Pool: pool, Notifier: notifier})
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `LISTEN "public.river_insert"`); err != nil {
		t.Fatal(err)
	}
	expect := func(queue string) {
		t.Helper()
		n, err := conn.Conn().WaitForNotification(t.Context())
		if err != nil {
			t.Fatalf("waiting for a notification of %s: %v", queue, err)
		}
		var payload struct{ Queue string }
		if err := json.Unmarshal([]byte(n.Payload), &payload); err != nil || payload.Queue != queue {
			t.Errorf("heard %q, %v, want queue %s", n.Payload, err, queue)
		}
	}
	for range 3 {
		created := create(t, stores, "films", plain())
		id := admit(t, stores, created.ID)
		expect("submit_attempt")
		apply(t, stores, created.ID, task.Sending{Attempt: id})
		apply(t, stores, created.ID, task.ResultReady{Attempt: id, ProviderTaskID: providerTask(id)})
		expect("save_outputs")
	}
}

package queue

import (
	"os"
	"testing"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// TestDriver_HearsHintsAndNoOrders sends the orders of River, as any role of the database may. Only the news of a job behind them must
// be heard.
func TestDriver_HearsHintsAndNoOrders(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	var schema string
	if err := pool.QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	l := driver{riverpgxv5.New(pool), pool, nil}.GetListener(&riverdriver.GetListenenerParams{Schema: schema})
	if err := l.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(t.Context()) }()
	for _, topic := range []string{"river_control", "river_insert"} {
		if err := l.Listen(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []struct{ topic, payload string }{
		{"river_control", `{"action":"pause","queue":"*"}`},
		{"river_control", `{"action":"cancel","queue":"submit","job_id":1}`},
		{"river_insert", `{"queue":"submit"}`},
	} {
		if _, err := pool.Exec(t.Context(), `SELECT pg_notify($1, $2)`, schema+"."+n.topic, n.payload); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.WaitForNotification(t.Context()); err != nil || n.Topic != "river_insert" {
		t.Errorf("heard %+v, %v, want the news of a job", n, err)
	}
}

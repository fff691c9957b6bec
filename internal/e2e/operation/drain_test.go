package operation_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestDrain_LeavesNoConnectionAndNoGoroutine stops a service in the middle of every kind of work. It is not parallel:
// no other test may run in this process while it counts.
func TestDrain_LeavesNoConnectionAndNoGoroutine(t *testing.T) {
	_ = postgrestest.URL(t) // The database server runs from here on.
	http.DefaultClient.CloseIdleConnections()
	goroutines, sockets := goleak.IgnoreCurrent(), openSockets(t)
	t.Run("service", func(t *testing.T) {
		ts := e2etest.Start(t, e2etest.EveryProvider)
		watchers := ts.MakeBusy(t)
		ts.Stop()
		watchers.Wait()

		await(t, "connections of the service to the database", func() []string {
			var names []string
			err := ts.Pool.QueryRow(t.Context(), `
				SELECT coalesce(array_agg(application_name || ': ' || left(query, 60)), '{}')
				FROM pg_stat_activity
				WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&names)
			if err != nil {
				t.Fatal(err)
			}
			return names
		})
		ts.Pool.Close()
		http.DefaultClient.CloseIdleConnections()
		// The simulator still listens, so a connection that leaked would stay open.
		theirs := ts.Sim.URL() + ts.Sim.BaseURL("luma") + ts.Sim.BaseURL("luma-agents")
		await(t, "sockets", func() []string {
			var left []string
			for inode, socket := range openSockets(t) {
				_, before := sockets[inode]
				simulator := socket.listens && strings.Contains(theirs, socket.local)
				if !before && !simulator {
					left = append(left, socket.String())
				}
			}
			return left
		})
	})
	if err := postgrestest.Leaked(goroutines); err != nil {
		t.Error(err)
	}
}

// await waits until nothing is left. The other end of a connection notices a moment later that it was closed.
func await(t *testing.T, what string, left func() []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		rest := left()
		if len(rest) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%d %s are left: %q", len(rest), what, rest)
			return
		case <-tick.C:
		}
	}
}

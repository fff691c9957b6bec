//go:build soak

package promises_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

const (
	// backlogEvents is how many events wait for dead endpoints.
	backlogEvents = 1_000_000
	// backlogMemory bounds how much the peak memory of the process grows: a replica holds a few hundred events of at most 64 KiB.
	backlogMemory = 128 << 20
	// backlogRound is how long an event waits for a round of a sender that nothing wakes.
	backlogRound = time.Second
	// backlogRatio is how many times as long the events of another tenant may take, and backlogTuples how many rows of the deliveries may
	// be read for each.
	backlogRatio, backlogTuples = 3.0, 5_000
	// backlogTasks is how many tasks of the other tenant are measured, alone and with the backlog.
	backlogTasks = 20
)

// TestSoak_AMillionUndeliveredEvents measures how long the events of a tenant take alone, and while five others have a million events that
// wait for dead endpoints: from the commit of an event until its request arrives. It measures time, so it needs a machine that does nothing
// else:
//
//	go test -tags soak -run TestSoak_AMillionUndeliveredEvents -v ./internal/e2e/promises
func TestSoak_AMillionUndeliveredEvents(t *testing.T) {
	ts := e2etest.Start(t, e2etest.Unlimited)
	films, h := ts.As(t, "films"), e2etest.StartHooks(t)
	measure := func() (lag time.Duration, tuples int64) {
		before := tuplesRead(t, ts)
		var lags []time.Duration
		for range backlogTasks {
			films.DeliverTo(t, h, "films")
			q := h.Requests("films")[len(h.Requests("films"))-1]
			lags = append(lags, q.Time.Sub(e2etest.EventOf(t, q).Timestamp))
		}
		return e2etest.Quantile(lags, 0.5), (tuplesRead(t, ts) - before) / backlogTasks
	}
	films.DeliverTo(t, h, "films") // It opens connections.
	alone, tuplesAlone := measure()
	peak := e2etest.PeakMemory(t, os.Getpid())
	startDeadEndpoints(t, ts, backlogEvents)
	loaded, tuples := measure()
	t.Logf("from the event to its request: %s alone, %s with %d events that wait", alone, loaded, backlogEvents)
	t.Logf("rows of webhook_delivery read for each: %d alone, %d with them", tuplesAlone, tuples)
	if ratio := float64(loaded) / float64(alone); ratio > backlogRatio && loaded > backlogRound {
		t.Errorf("an event took %.1f times as long, want at most %.0f", ratio, backlogRatio)
	}
	if tuples > backlogTuples {
		t.Errorf("%d rows were read for each event, want at most %d", tuples, backlogTuples)
	}
	if n := postgrestest.Value[int](t, ts.Pool, `SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING'`); n < backlogEvents*9/10 {
		t.Errorf("%d events wait, want about %d", n, backlogEvents)
	}
	grown := e2etest.PeakMemory(t, os.Getpid()) - peak
	t.Logf("the peak memory grew by %d MiB", grown>>20)
	if grown > backlogMemory {
		t.Errorf("the peak memory grew by %d MiB, want at most %d", grown>>20, backlogMemory>>20)
	}
}

// tuplesRead returns how many rows of the deliveries were read, once all sessions have reported it.
func tuplesRead(t *testing.T, ts *e2etest.Service) int64 {
	t.Helper()
	read, last := int64(-1), int64(-2)
	e2etest.Eventually(t, "the statistics", func() bool {
		last, read = read, postgrestest.Value[int64](t, ts.Pool, `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'webhook_delivery'`)
		return read == last
	})
	return read
}

// TestSoak_APolledEndArrivesInTime ends tasks at the provider that never calls back. Every event must arrive within a poll interval and a
// second after the provider had ended. It measures time, so it needs a machine that does nothing else.
func TestSoak_APolledEndArrivesInTime(t *testing.T) {
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Poll: pollInterval}
	})
	h := e2etest.StartHooks(t)
	s := h.Subscribe(t, ts, "acme", "polled")
	var took []time.Duration
	for range 20 {
		id := ts.Submit(t, "[sim:processing=700ms]", e2etest.At(lumaagents.Name)).GetId()
		q := s.AwaitEvent(t, fmt.Sprintf("evt_%s_%d", id, ts.End(t, id).GetRevision()))
		took = append(took, q.Time.Sub(ts.Sim.Ended(lumaagents.Name, ts.Get(t, id).GetAttempt().GetProviderTaskId())))
	}
	slices.Sort(took)
	t.Logf("from the end at the provider to the event: %v", took)
	if last := took[len(took)-1]; last > pollInterval+time.Second {
		t.Errorf("an event arrived %s after the provider had ended, want at most %s", last, pollInterval+time.Second)
	}
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/source/sourcetest"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// admitted are attempts that hold a permit. The id of one is its tenant, a space and the URI of its source.
type admitted struct {
	mu      sync.Mutex
	read    int
	looking map[string]int // Looks that hang, by host.
}

func (a *admitted) TaskOfAttempt(_ context.Context, id task.AttemptID) (task.Task, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read++
	tenant, uri, _ := strings.Cut(string(id), " ")
	return task.Task{
		Tenant: tenant, State: task.Submitting, Spec: task.Spec{SourceURI: uri},
		Attempts: []task.Attempt{{ID: id, Account: "kie", State: task.AttemptSubmitting}},
	}, nil
}

// submission returns the job of an attempt.
func submission(tenant, uri string) *river.Job[task.SubmitAttempt] {
	return &river.Job[task.SubmitAttempt]{JobRow: &rivertype.JobRow{CreatedAt: time.Now()}, Args: task.SubmitAttempt{
		AttemptID: task.AttemptID(tenant + " " + uri), Tenant: tenant, Host: task.Spec{SourceURI: uri}.SourceHost(),
	}}
}

// probe hangs at hosts of that name.
func (a *admitted) probe(ctx context.Context, uri string) (task.Clip, error) {
	if !strings.Contains(uri, "hangs") {
		return task.Clip{ContentType: "video/mp4"}, nil
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(uri, "https://"), "/")
	a.add(host, 1)
	defer a.add(host, -1)
	<-ctx.Done()
	return task.Clip{}, ctx.Err()
}

func (a *admitted) add(host string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looking[host] += n
}

// models returns the built-in catalog, or nil if it is invalid.
var models = sync.OnceValue(func() *catalog.Catalog {
	c, _ := catalog.Load()
	return c
})

// sources returns what prepares the sources of submissions, with a store in memory.
func sources(probe func(context.Context, string) (task.Clip, error)) *source.Preparer {
	store, log := sourcetest.NewMemory(), slog.New(slog.DiscardHandler)
	return source.NewPreparer(source.PreparerConfig{
		Store: store, Verbs: store, Log: log, Resolver: &source.Resolver{Store: store, Catalog: models, Probe: probe, Log: log},
	})
}

// TestSubmitter_SlowSourcesDelayTheirOwnTenantAlone has more submissions of two tenants look at hosts that hang than there are
// places. A third tenant's submission, and one of the first tenant with another host, get a place at once. Those that hang
// give their permits back within 2 s.
//
// It fails when the claim in ready (internal/dispatch/submit.go) names no tenant or no host, or when a task is read before it.
func TestSubmitter_SlowSourcesDelayTheirOwnTenantAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &admitted{looking: map[string]int{}}
		kie := &upstream.Account{Provider: silent{}}
		s := New(Config{Tasks: a, Sources: sources(a.probe), Catalog: models, Now: time.Now, Accounts: upstream.Accounts{"kie": kie}, Log: slog.New(slog.DiscardHandler)})
		const each, places = 100, 32
		deferred := make(chan error, 2*each)
		for i := range each {
			for _, tenant := range []string{"films", "shorts"} {
				go func() {
					_, _, err := s.ready(t.Context(), submission(tenant, fmt.Sprintf("https://%s.hangs/%d.mp4", tenant, i)))
					deferred <- err
				}()
			}
		}
		synctest.Wait()
		a.mu.Lock()
		films, shorts, read := a.looking["films.hangs"], a.looking["shorts.hangs"], a.read
		a.mu.Unlock()
		if films+shorts > places/2 || films == 0 || shorts == 0 {
			t.Errorf("%d and %d of %d places are at hosts that hang, want at most half, and some of each tenant", films, shorts, places)
		}
		if read != films+shorts {
			t.Errorf("%d tasks were read, want only the %d of submissions that have a place", read, films+shorts)
		}
		start := time.Now()
		for _, tenant := range []string{"ads", "films"} {
			if uri, _, err := s.ready(t.Context(), submission(tenant, "https://well/a.mp4")); err != nil || uri != "https://well/a.mp4" || time.Since(start) != 0 {
				t.Errorf("a submission of %s with a good source is ready after %s with %q, %v, want it at once", tenant, time.Since(start), uri, err)
			}
		}
		for range 2 * each {
			if err := <-deferred; !errors.Is(err, source.ErrNotReady) {
				t.Errorf("one whose source hangs is answered %v, want that it is prepared without a permit", err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the last permit is given back after %s, want 2 s at most", took)
		}
	})
}

// halfSent has one attempt, which a replica that died has begun to send.
type halfSent struct {
	lifecycle.Store
	task task.Task
}

func (h *halfSent) ChangeByAttempt(_ context.Context, _ task.AttemptID, decide lifecycle.Decide) (task.Task, error) {
	c, err := decide(h.task)
	if err == nil {
		h.task = c.Task
	}
	return h.task, err
}

func (h *halfSent) RefusalHistory(context.Context, task.AttemptID, bool) (task.RefusalHistory, error) {
	return task.RefusalHistory{}, nil
}

// TestSubmitter_AnAttemptThatWasBegunIsSettledWithoutAPlace runs the job of such an attempt again while another submission of
// the tenant holds the only place. The attempt becomes UNCONFIRMED, as with a place, and the job ends. It fails when Work leaves
// the error of Defer alone, or takes it for the end of the job.
func TestSubmitter_AnAttemptThatWasBegunIsSettledWithoutAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		job := submission("films", "https://hangs/a.mp4")
		store := &halfSent{task: task.Task{
			ID: "t", Tenant: "films", State: task.Submitting, Revision: 2,
			Attempts: []task.Attempt{{ID: job.Args.AttemptID, Number: 1, Account: "kie", State: task.AttemptSubmitting, Sent: true}},
		}}
		verbs, err := lifecycle.New(lifecycle.Config{Store: store, Meter: noop.Meter{}, Changed: func(task.ID, task.State) {}})
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Lifecycle: verbs, Sources: sources(nil), Log: slog.New(slog.DiscardHandler)})
		for range 8 { // As many places as one host of the tenant may hold.
			_, end, err := s.waits.Begin(t.Context(), fair.Claim{Tenant: "films", Host: "hangs"})
			if err != nil {
				t.Fatal(err)
			}
			defer end()
		}
		if err := s.Work(t.Context(), job); err != nil {
			t.Errorf("Work = %v", err)
		}
		if got := store.task.Attempts[0].State; got != task.AttemptUnconfirmed {
			t.Errorf("the attempt is %s, want UNCONFIRMED", got)
		}
	})
}

package providertest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/sim"
)

func (s Subject) checkCases() []testCase {
	cases := []testCase{
		{name: "a task that waits is running", faults: "queued=1h", run: (*rig).stillRuns},
		{name: "a task that is worked on is running", faults: "processing=1h", run: (*rig).stillRuns},
		{name: "a task whose record lags is running", faults: "lag=1h", run: (*rig).lags},
		{name: "a task that is done has links", run: func(r *rig) { r.finishWell(r.submit()) }},
		{name: "a task that is done may have no links", faults: "empty-results", run: (*rig).noLinks},
		{name: "a task that is done stays done", faults: "regress,conflict,forge-code", run: (*rig).staysDone},
		{name: "a task that is not visible yet is running", faults: "invisible=1h", run: func(r *rig) { r.unseen(r.submit()) }},
		{name: "a task that never was is not found", run: func(r *rig) { r.unseen("123e4567-e89b-12d3-a456-426614174000") }},
		{name: "rate limit", faults: "processing=1h", config: oneQuestion, run: (*rig).queryLimit},
	}
	for _, shape := range sim.Shapes() {
		run := func(r *rig) { r.readsLinks() }
		if shape == sim.ShapeUnreadable {
			run = (*rig).saysUnread
		}
		cases = append(cases, testCase{name: "links in another shape: " + string(shape), faults: "shape=" + string(shape), run: run})
	}
	failures := map[string]provider.Cause{"fail": provider.CauseUnspecified}
	maps.Copy(failures, s.Failures)
	for _, faults := range slices.Sorted(maps.Keys(failures)) {
		cases = append(cases, testCase{
			name: "a task that failed says why: " + faults, faults: faults,
			run: func(r *rig) { r.fails(failures[faults]) },
		})
	}
	return append(cases, unansweredCases()...)
}

// unansweredCases are the checks whose answers say nothing about the task.
func unansweredCases() []testCase {
	var cases []testCase
	for _, a := range garbage() {
		cases = append(cases, testCase{name: "answered with " + a.name, run: func(r *rig) {
			for _, status := range []int{200, 302, 500, 502, 504} {
				_, err := r.behind(a.give(status, r)).Check(r.Context(), r.query(r.submit(), time.Now()))
				r.want(err, wire.Unavailable)
			}
		}})
	}
	for _, status := range []int{302, 400, 500, 502, 504} {
		cases = append(cases, testCase{name: fmt.Sprintf("the record arrives with status %d", status), run: func(r *rig) {
			p := r.behind(func(got *reply) { got.status = status })
			_, err := p.Check(r.Context(), r.query(r.submit(), time.Now()))
			r.want(err, wire.Unavailable)
		}})
	}
	return append(cases, testCase{name: "blocked by a firewall", run: func(r *rig) {
		page := answer{body: "<html>error code: 1010</html>"}
		_, err := r.behind(page.give(http.StatusForbidden, r)).Check(r.Context(), r.query(r.submit(), time.Now()))
		r.want(err, wire.Blocked)
	}})
}

// readsLinks wants the one link to the result, whatever its shape.
func (r *rig) readsLinks() {
	r.Helper()
	id := r.submit()
	links := r.finishWell(id)
	if len(links) != 1 {
		r.Fatalf("links %q, want one", links)
	}
	r.wantVideo(links[0], id, 0)
}

// saysUnread wants Unread to have what stands in place of the link, without the link, which may be signed.
func (r *rig) saysUnread() {
	r.Helper()
	status := r.finish(r.submit())
	if status.Phase != provider.Succeeded || len(status.ResultURLs) > 0 || !strings.Contains(status.Unread, "location") ||
		!strings.Contains(status.Unread, "/[redacted]") || len(status.Unread) > provider.MaxMessage {
		r.Errorf("status %+v, want a success that says what it can't read", status)
	}
}

func (r *rig) stillRuns() { r.wantPhase(r.submit(), provider.Running) }

func (r *rig) wantPhase(id string, want provider.Phase) {
	r.Helper()
	status, err := r.p.Check(r.Context(), r.query(id, time.Now()))
	if err != nil || status.Phase != want {
		r.Errorf("Check = %+v, %v; want %v", status, err, want)
	}
}

// lags checks after the end of a generation, while queries do not show it yet.
func (r *rig) lags() {
	id := r.submit()
	r.await("the end of a generation", func() bool { return r.sim.Limits().InFlight == 0 })
	r.wantPhase(id, provider.Running)
}

func (r *rig) noLinks() {
	status := r.finish(r.submit())
	status.Cost = provider.Cost{} // Some providers name one.
	if diff := gocmp.Diff(provider.Status{Phase: provider.Succeeded}, status); diff != "" {
		r.Errorf("status (-want +got):\n%s", diff)
	}
}

// staysDone wants checks to stay the same after callbacks that say that the task still runs, or failed.
func (r *rig) staysDone() {
	id := r.submit()
	r.finishWell(id)
	if r.p.Capabilities().Callbacks != provider.NoCallbacks {
		for _, d := range r.delivered(id, sim.KindConflict) {
			_, _ = r.p.Callback(r.Context(), d.Header, []byte(d.Body), d.Time)
		}
	}
	for range 3 {
		r.finishWell(id)
		r.wantPhase(id, provider.Succeeded)
	}
}

// unseen wants a task that the provider does not show to count as running, for a while.
func (r *rig) unseen(id string) {
	r.wantPhase(id, provider.Running)
	_, err := r.p.Check(r.Context(), r.query(id, time.Now().Add(-time.Hour)))
	r.want(err, wire.NotFound)
}

func oneQuestion(s *Simulation) { s.QueryLimit = sim.Limit{N: 1, Window: window} }

func (r *rig) queryLimit() {
	id := r.submit()
	if _, err := r.p.Check(r.Context(), r.query(id, time.Now())); err != nil {
		r.Fatalf("first Check: %v", err)
	}
	_, err := r.p.Check(r.Context(), r.query(id, time.Now()))
	r.wantRateLimit(err)
}

func (r *rig) fails(want provider.Cause) {
	status := r.finish(r.submit())
	if status.Phase != provider.Failed || status.Cause != want || status.Message == "" {
		r.Errorf("status is %+v, want failed with words and cause %v", status, want)
	}
}

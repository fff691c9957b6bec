package providertest

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// notSent is the verdict of a request that never left, which no answer can have.
var notSent = wire.Verdict{Class: provider.NotSent}

// lostCases are the submissions whose outcome is unknown. All but the first were paid.
func lostCases() []testCase {
	cases := []testCase{
		{name: "connection cut before the task was created", faults: "drop", run: func(r *rig) { r.lost(r.p, 0) }},
		{name: "connection cut after the task was created", faults: "drop-after", run: func(r *rig) { r.lost(r.p, 1) }},
		{name: "answer cut", faults: "truncate", run: func(r *rig) { r.lost(r.p, 1) }},
		{name: "given up while waiting", faults: "delay=1h", run: (*rig).givenUpWaiting},
	}
	for _, a := range garbage() {
		cases = append(cases, testCase{name: "answered with " + a.name, run: func(r *rig) {
			r.lost(r.behind(a.give(http.StatusOK, r)), 1)
		}})
	}
	// An answer that names a task is no refusal, whatever its status. A redirect that is followed would pay again.
	for _, status := range []int{307, 400, 402, 404, 422, 429, 502} {
		cases = append(cases, testCase{name: fmt.Sprintf("the task arrives with status %d", status), run: func(r *rig) {
			r.lost(r.behind(func(got *reply) {
				got.status = status
				got.header.Set("Location", got.url)
			}), 1)
		}})
	}
	return cases
}

// lost submits a request whose answer does not show the outcome. The audit checks that it was sent once.
func (r *rig) lost(p provider.Provider, paid int) {
	r.Helper()
	_, err := p.Submit(r.Context(), r.submission())
	r.want(err, wire.Ambiguous)
	r.wantPaid(paid)
}

func (r *rig) givenUpWaiting() {
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		_ = r.sim.Await(ctx, func() bool { return r.paid() > 0 })
		cancel()
	})
	_, err := r.p.Submit(ctx, r.submission())
	r.want(err, wire.Ambiguous)
	r.wantPaid(1)
}

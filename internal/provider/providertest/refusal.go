package providertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
)

// refusalCases returns the cases of submissions that the provider refuses, or that are never sent. None
// of them costs.
func (s Subject) refusalCases() []testCase {
	cases := []testCase{
		{name: "input that can't be used", run: (*rig).badInput},
		{name: "bad credentials", run: (*rig).badKey},
		{name: "no credits", run: (*rig).noCredits},
		{name: "rate limit", config: oneSubmission, run: (*rig).rateLimit},
		{name: "maintenance", run: (*rig).maintenance},
		{name: "blocked by a firewall", faults: "html403", run: func(r *rig) { r.refused(wire.Blocked) }},
		{name: "no listener", run: (*rig).noListener},
		{name: "canceled before", run: (*rig).canceledBefore},
		{name: "after its time limit", run: (*rig).afterSendBy},
	}
	codes := map[int]wire.Verdict{
		401: wire.Credentials, 402: wire.Credits, 429: wire.RateLimited, 500: wire.Ambiguous, 502: wire.Ambiguous, 504: wire.Ambiguous,
	}
	maps.Copy(codes, s.Refusals)
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		cases = append(cases, testCase{
			name: fmt.Sprintf("code %d", code), faults: fmt.Sprintf("code=%d", code),
			run: func(r *rig) { r.refused(codes[code]) },
		})
	}
	return cases
}

// refused checks that a submission is refused with a verdict, and costs nothing.
func (r *rig) refused(want wire.Verdict) {
	r.Helper()
	_, err := r.p.Submit(r.Context(), r.submission())
	r.want(err, want)
	r.wantPaid(0)
}

func (r *rig) badInput() {
	request := r.request(r.offering)
	request.SourceURI = "no address"
	receipt, err := r.p.Submit(r.Context(), r.submissionOf(r.offering, request))
	if !r.subject.FailsBadInput {
		r.want(err, wire.BadInput)
		r.wantPaid(0)
		return
	}
	if err != nil {
		r.Fatalf("Submit: %v", err)
	}
	if status := r.finish(receipt.TaskID); status.Phase != provider.Failed || status.Message == "" {
		r.Errorf("status is %+v, want failed, with words", status)
	}
}

// badKey checks that submissions and checks with a wrong key return Credentials.
func (r *rig) badKey() {
	p := r.connect(r.sim.BaseURL(r.subject.Name), "another-api-key-9876543210")
	_, err := p.Submit(r.Context(), r.submission())
	r.want(err, wire.Credentials)
	_, err = p.Check(r.Context(), r.query(r.submit(), time.Now()))
	r.want(err, wire.Credentials)
	r.wantPaid(1)
}

func (r *rig) noCredits() {
	r.sim.SetCredits(0)
	r.refused(wire.Credits)
	r.sim.SetCredits(1)
	r.submit()
}

// window is longer than any test.
const window = time.Hour

func oneSubmission(s *Simulation) { s.SubmitLimit = sim.Limit{N: 1, Window: window} }

func (r *rig) rateLimit() {
	r.submit()
	_, err := r.p.Submit(r.Context(), r.submission())
	r.wantRateLimit(err)
	r.wantPaid(1)
}

func (r *rig) wantRateLimit(err error) {
	r.Helper()
	r.want(err, wire.RateLimited)
	if wait := wiretest.ProviderError(r.TB, err).RetryAfter; r.subject.SaysRetryAfter && (wait <= 0 || wait > window) {
		r.Errorf("retry after %v, want within %v", wait, window)
	}
}

// maintenance checks the errors of a provider under maintenance.
func (r *rig) maintenance() {
	id := r.submit()
	r.sim.SetMaintenance(r.subject.Name, window)
	wantSubmit, wantCheck := wire.Ambiguous, wire.Unavailable
	if r.subject.SaysMaintenance {
		wantSubmit, wantCheck = wire.Withdrawn, wire.Maintenance
	}
	_, err := r.p.Submit(r.Context(), r.submission())
	r.want(err, wantSubmit)
	r.wantPaid(1)
	_, err = r.p.Check(r.Context(), r.query(id, time.Now()))
	r.want(err, wantCheck)
	r.sim.SetMaintenance(r.subject.Name, 0)
	r.submit()
}

func (r *rig) noListener() {
	p := r.connect("http://"+wiretest.ClosedAddress(r.TB), apiKey)
	_, err := p.Submit(r.Context(), r.submission())
	r.want(err, notSent)
	_, err = p.Check(r.Context(), r.query("123", time.Now()))
	r.want(err, wire.Unavailable)
}

// afterSendBy submits after the time limit of the submission, as a process does that was stopped before
// it sent the request.
func (r *rig) afterSendBy() {
	_, err := r.p.Submit(provider.WithSendBy(r.Context(), time.Now().Add(-time.Nanosecond)), r.submission())
	r.want(err, notSent)
	r.wantPaid(0)
}

func (r *rig) canceledBefore() {
	id := r.submit()
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.p.Submit(ctx, r.submission())
	r.want(err, notSent)
	_, err = r.p.Check(ctx, r.query(id, time.Now()))
	r.want(err, wire.Unavailable)
	r.wantPaid(1)
}

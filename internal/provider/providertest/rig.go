package providertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/profiles"
)

const (
	apiKey     = wiretest.Key
	signingKey = "signing-key-0123456789"

	// hung is how long a case waits for what must happen, so that only one that hangs reaches it.
	hung = 5 * time.Minute
)

// rig is what a case works with: a simulator, a receiver for its callbacks, and the provider under test.
type rig struct {
	testing.TB
	subject    Subject
	offering   *catalog.Offering // The provider's default.
	signingKey string
	sim        *sim.Server
	hook       string // The callback URL, which only the simulator gets.
	p          *watched
	seq        atomic.Int32
	watched    []*watched // Every provider that the case made.
}

func (s Subject) rig(t testing.TB, g group, c testCase) *rig {
	t.Helper()
	directives, err := sim.Directives(profiles.Set{}.List()...)
	if err != nil {
		t.Fatal(err)
	}
	script, err := sim.ParseDirectives("[sim:"+c.faults+"]", directives)
	if c.faults != "" && err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	cfg := sim.Config{
		APIKeys: []string{apiKey},
		Script: func(sub sim.Submission) sim.Script {
			script := script
			if script.FailureMessage != "" { // The worst that a provider can say.
				script.FailureMessage += " (" + sub.Key + " asked to call " + sub.CallbackURL + ")"
			}
			return script
		},
	}
	unlimited := sim.Limit{N: -1, Window: time.Second}
	simulation := Simulation{SubmitLimit: unlimited, QueryLimit: unlimited, SigningKey: signingKey}
	if c.config != nil {
		c.config(&simulation)
	}
	server, err := sim.Start(cfg, s.Simulate(simulation))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close simulator: %v", err)
		}
	})
	r := &rig{
		TB: t, subject: s, offering: s.offering(t), signingKey: g.signingKey, sim: server,
		hook: receiver.URL + "/v1/callbacks/" + s.Name + "/" + wiretest.Token,
	}
	r.p = r.connect(server.BaseURL(s.Name), apiKey)
	return r
}

// connect returns another provider of the same kind.
func (r *rig) connect(baseURL, key string) *watched {
	r.Helper()
	w := &watched{
		Provider: r.subject.New(r.TB, Account{BaseURL: baseURL, APIKey: key, SigningKey: r.signingKey}),
		secrets:  []string{key, signingKey, r.hook, wiretest.Token},
	}
	r.watched = append(r.watched, w)
	return w
}

// request returns a request that uses all that an offering takes, with a prompt of its own.
func (r *rig) request(o *catalog.Offering) catalog.Request {
	request := catalog.Request{
		Prompt:    fmt.Sprintf("a city at night <with> \"spires\" & stars, take %d", r.seq.Add(1)),
		SourceURI: "https://example.com/in.mp4?a=1&b=2",
	}
	if strengths := o.Strengths(); len(strengths) > 0 {
		request.Strength = strengths[len(strengths)-1]
	}
	if o.FirstFrame != nil {
		request.FirstFrameURI = "https://example.com/frame.png?c=3&d=4"
	}
	if o.Watermark != nil {
		request.Watermark = "refract"
	}
	return request
}

// submission returns such a request to the provider's default offering.
func (r *rig) submission() provider.Submission {
	return r.submissionOf(r.offering, r.request(r.offering))
}

// submit submits a request that has to be accepted.
func (r *rig) submit() (id string) {
	r.Helper()
	receipt, err := r.p.Submit(r.Context(), r.submission())
	if err != nil {
		r.Fatalf("Submit: %v", err)
	}
	return receipt.TaskID
}

// query returns the question about a task, with what is known of its submission.
func (r *rig) query(id string, submitted time.Time) provider.Query {
	for _, w := range r.watched {
		if s, ok := w.submitted(id); ok {
			return provider.Query{TaskID: id, Handle: s.receipt.Handle, Remote: s.remote, Submitted: submitted}
		}
	}
	return provider.Query{TaskID: id, Remote: r.offering.Remote, Submitted: submitted}
}

// finish waits until checks say how a task ended.
func (r *rig) finish(id string) provider.Status {
	r.Helper()
	var status provider.Status
	var err error
	r.await("the end of a task", func() bool {
		status, err = r.p.Check(r.Context(), r.query(id, time.Now()))
		return err != nil || status.Phase != provider.Running
	})
	if err != nil {
		r.Fatalf("Check: %v", err)
	}
	return status
}

// await waits until something is true that the simulator does by itself.
func (r *rig) await(what string, cond func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), hung)
	defer cancel()
	if err := r.sim.Await(ctx, cond); err != nil {
		r.Fatalf("wait for %s: %v", what, err)
	}
}

// finishWell waits for a success with links.
func (r *rig) finishWell(id string) (links []string) {
	r.Helper()
	status := r.finish(id)
	if status.Phase != provider.Succeeded || len(status.ResultURLs) == 0 {
		r.Fatalf("task ended as %+v, want a success with links", status)
	}
	return status.ResultURLs
}

// want wants an error to mean what a verdict says.
func (r *rig) want(err error, want wire.Verdict) {
	r.Helper()
	perr := wiretest.ProviderError(r.TB, err)
	if got := (wire.Verdict{Class: perr.Class, Pause: perr.Pause, Input: perr.Input}); got != want {
		r.Fatalf("error means %+v, want %+v: %v", got, want, err)
	}
}

// wantPaid wants the ledger to show a number of paid tasks.
func (r *rig) wantPaid(want int) {
	r.Helper()
	if got := r.paid(); got != want {
		r.Errorf("the ledger shows %d paid tasks, want %d", got, want)
	}
}

func (r *rig) paid() int {
	return sim.CountPaid(r.sim.Ledger(), sim.ByProfile)[r.subject.Name]
}

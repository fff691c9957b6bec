package providertest

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/sim"
)

// callbackCases are those for one kind of callbacks.
func callbackCases(kind provider.Callbacks) []testCase {
	if kind == provider.NoCallbacks {
		return []testCase{{name: "every callback is refused", run: (*rig).refusesCallbacks}}
	}
	tampered := (*rig).tampered
	if kind == provider.BodySignedCallbacks {
		tampered = (*rig).refusesTampered
	}
	cases := []testCase{
		{name: "a success is reported", run: (*rig).toldSuccess},
		{name: "a failure is reported", faults: "fail,reason=no", run: (*rig).toldFailure},
		{name: "duplicates and contradictions are reported as they came", faults: "duplicate=2,regress,conflict", run: (*rig).readInAnyOrder},
		{name: "a tampered body proves nothing", run: tampered},
		{name: "a body that is no callback is malformed", run: (*rig).malformed},
	}
	if kind.Signed() {
		cases = append(cases, signatureCases()...)
	}
	return cases
}

// delivered waits for a callback of a kind about a task, and returns all that were sent by then.
func (r *rig) delivered(id string, kind sim.Kind) []sim.Delivery {
	r.Helper()
	var all []sim.Delivery
	r.await("a callback: "+string(kind), func() bool {
		all = slices.DeleteFunc(r.sim.Deliveries(), func(d sim.Delivery) bool { return d.TaskID != id })
		return slices.ContainsFunc(all, func(d sim.Delivery) bool { return d.Kind == kind })
	})
	return all
}

// genuine submits a request and returns its callback about the end.
func (r *rig) genuine() sim.Delivery {
	r.Helper()
	all := r.delivered(r.submit(), sim.KindGenuine)
	return all[slices.IndexFunc(all, func(d sim.Delivery) bool { return d.Kind == sim.KindGenuine })]
}

// mostProven is the most that callbacks of a kind prove.
var mostProven = map[provider.Callbacks]provider.Proof{
	provider.UnsignedCallbacks: provider.ProofNone, provider.IDSignedCallbacks: provider.ProofID, provider.BodySignedCallbacks: provider.ProofBody,
}

// decode decodes a valid callback. It proves as much as the kind of callbacks says.
func (r *rig) decode(d sim.Delivery) provider.Callback {
	r.Helper()
	cb, err := r.p.Callback(r.Context(), d.Header, []byte(d.Body), time.Now())
	if err != nil {
		r.Fatalf("Callback(%s): %v", d.Kind, err)
	}
	if want := mostProven[r.p.Capabilities().Callbacks]; cb.Proof != want {
		r.Errorf("%s callback: proof is %v, want %v", d.Kind, cb.Proof, want)
	}
	if cb.ProviderTaskID != d.TaskID {
		r.Errorf("%s callback is about %q, want %q", d.Kind, cb.ProviderTaskID, d.TaskID)
	}
	return cb
}

func (r *rig) toldSuccess() {
	d := r.genuine()
	got, want := r.decode(d).Status, r.finish(d.TaskID)
	if diff := gocmp.Diff(want, got); diff != "" || len(got.ResultURLs) == 0 {
		r.Errorf("callback differs from check (-check +callback):\n%s", diff)
	}
}

func (r *rig) toldFailure() {
	status := r.decode(r.genuine()).Status
	if status.Phase != provider.Failed || status.Message == "" {
		r.Errorf("status is %+v, want failed, with words", status)
	}
}

// readInAnyOrder wants each callback to be read by itself, whatever came before.
func (r *rig) readInAnyOrder() {
	want := map[sim.Kind]provider.Phase{
		sim.KindProgress: provider.Running, sim.KindRegress: provider.Running, sim.KindConflict: provider.Failed,
		sim.KindGenuine: provider.Succeeded, sim.KindDuplicate: provider.Succeeded,
	}
	id := r.submit()
	first := map[sim.Kind]provider.Callback{}
	all := r.delivered(id, sim.KindConflict)
	for _, d := range slices.Concat(all, all) {
		cb := r.decode(d)
		if cb.Status.Phase != want[d.Kind] {
			r.Errorf("%s callback says %v, want %v", d.Kind, cb.Status.Phase, want[d.Kind])
		}
		before, seen := first[d.Kind]
		if diff := gocmp.Diff(before, cb); seen && diff != "" {
			r.Errorf("the same %s callback twice (-first +second):\n%s", d.Kind, diff)
		}
		first[d.Kind] = cb
	}
	if diff := gocmp.Diff(first[sim.KindGenuine], first[sim.KindDuplicate]); diff != "" {
		r.Errorf("duplicate (-callback +duplicate):\n%s", diff)
	}
}

// foreign is a link that no provider made.
const foreign = "https://foreign.example/video.mp4"

// refusesTampered changes the link in a callback whose signature covers it.
func (r *rig) refusesTampered() {
	d := r.genuine()
	links := r.finishWell(d.TaskID)
	r.wantBadCallback(d.Header, strings.ReplaceAll(d.Body, links[0], foreign), time.Now(), provider.ErrCallbackSignature)
	r.wantBadCallback(d.Header, d.Body+" ", time.Now(), provider.ErrCallbackSignature)
}

// tampered changes the link in a callback whose signature does not cover it, if there is one: a valid signature proves only that
// the provider called, and a check has the true link.
func (r *rig) tampered() {
	d := r.genuine()
	links := r.finishWell(d.TaskID)
	d.Body = strings.ReplaceAll(d.Body, links[0], foreign)
	if got := r.decode(d).Status.ResultURLs; !slices.Contains(got, foreign) {
		r.Errorf("links of a tampered body are %q, want what it says", got)
	}
	if got := r.finishWell(d.TaskID); slices.Contains(got, foreign) {
		r.Errorf("a check repeats what the callback said: %q", got)
	}
}

func (r *rig) malformed() {
	d := r.genuine()
	bodies := []string{
		strings.ReplaceAll(d.Body, d.TaskID, ""),
		strings.ReplaceAll(d.Body, `"`+d.TaskID+`"`, "null"),
		strings.ReplaceAll(d.Body, d.TaskID, strings.Repeat("a", 1<<10)),
		d.Body[:len(d.Body)/2], "[" + d.Body + "]", d.Body + d.Body, "\x00",
	}
	for _, a := range garbage() {
		bodies = append(bodies, a.body)
	}
	for _, body := range bodies {
		r.wantBadCallback(d.Header, body, time.Now(), provider.ErrCallbackMalformed)
	}
}

// wantBadCallback wants a callback to be refused for a reason, and without a status.
func (r *rig) wantBadCallback(header http.Header, body string, now time.Time, want error) {
	r.Helper()
	cb, err := r.p.Callback(r.Context(), header, []byte(body), now)
	if !errors.Is(err, want) {
		r.Errorf("Callback(%.80q) = %+v, %v; want %v", body, cb, err, want)
	}
	if cb.Proof != provider.ProofNone || cb.Status.Phase != 0 {
		r.Errorf("Callback(%.80q) = %+v with an error", body, cb)
	}
}

// refusesCallbacks wants a provider that never calls to refuse every callback.
func (r *rig) refusesCallbacks() {
	id := r.submit()
	r.finishWell(id)
	for _, e := range r.sim.Ledger() {
		if e.CallbackURL != "" {
			r.Errorf("a callback URL was sent: %q", e.CallbackURL)
		}
	}
	for _, body := range []string{
		"", "{}", `{"id":"` + id + `","state":"completed","output":[{"type":"video","url":"https://foreign.example/video.mp4"}]}`,
	} {
		r.wantBadCallback(http.Header{}, body, time.Now(), provider.ErrCallbackMalformed)
	}
}

package providertest

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
)

func (s Subject) linkCases(caps provider.Capabilities) []testCase {
	cases := []testCase{
		{name: "results can be fetched", faults: "results=2", run: (*rig).fetches},
		{name: "a foreign link is refused", run: func(r *rig) { r.notRefreshed("https://foreign.example/video.mp4") }},
	}
	if s.MintsLinks {
		cases = append(cases, testCase{name: "a check replaces a dead link", faults: "expired", run: (*rig).minted})
	}
	if caps.RefreshLinks {
		return append(cases,
			testCase{name: "a dead link is exchanged", faults: "expired", run: (*rig).exchanged},
			testCase{name: "a link that is gone is refused", faults: "gone", run: (*rig).refusedDead},
			testCase{name: "an answer without a link", run: (*rig).noFreshLink},
		)
	}
	return append(cases,
		testCase{name: "a dead link is refused", faults: "expired", run: (*rig).refusedDead},
		testCase{name: "a refusal needs no provider", run: (*rig).refusedOffline},
	)
}

func (r *rig) fetches() {
	id := r.submit()
	for n, link := range r.finishWell(id) {
		r.wantVideo(link, id, n)
	}
}

func (r *rig) wantVideo(link, id string, n int) {
	r.Helper()
	status, body := r.get(link)
	if status != http.StatusOK || !bytes.Equal(body, sim.ResultClip(id, n)) {
		r.Errorf("link %d serves status %d with %d bytes, want the result", n, status, len(body))
	}
}

// get fetches a link without credentials.
func (r *rig) get(link string) (status int, body []byte) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, link, http.NoBody)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, body
}

// dead returns a task, and a link to its result that no longer works.
func (r *rig) dead() (id, link string) {
	r.Helper()
	id = r.submit()
	link = r.finishWell(id)[0]
	if status, _ := r.get(link); status == http.StatusOK {
		r.Fatal("the simulator serves a dead link")
	}
	return id, link
}

func (r *rig) exchanged() {
	id, link := r.dead()
	fresh, err := r.p.RefreshLink(r.Context(), link)
	if err != nil {
		r.Fatalf("RefreshLink: %v", err)
	}
	r.wantVideo(fresh, id, 0)
}

func (r *rig) notRefreshed(link string) {
	r.Helper()
	_, err := r.p.RefreshLink(r.Context(), link)
	r.want(err, wire.Rejected)
}

func (r *rig) refusedDead() {
	_, link := r.dead()
	r.notRefreshed(link)
}

// minted wants the next check to have links that work.
func (r *rig) minted() {
	id := r.submit()
	old := r.finishWell(id)
	fresh := r.finishWell(id)
	if slices.Equal(old, fresh) {
		r.Errorf("a second check returns the same links")
	}
	for n, link := range fresh {
		r.wantVideo(link, id, n)
	}
}

func (r *rig) noFreshLink() {
	link := r.finishWell(r.submit())[0]
	for _, a := range garbage() {
		_, err := r.behind(a.give(http.StatusOK, r)).RefreshLink(r.Context(), link)
		r.want(err, wire.Unavailable)
	}
}

func (r *rig) refusedOffline() {
	p := r.connect("http://"+wiretest.ClosedAddress(r.TB), apiKey)
	_, err := p.RefreshLink(r.Context(), "https://foreign.example/video.mp4")
	r.want(err, wire.Rejected)
}

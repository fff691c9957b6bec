package sim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

func TestLumaGet_TellsEveryState(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	tests := []struct {
		directive, state string
		reason           string
		video            bool
	}{
		{"queued=1h", "queued", "", false},
		{"processing=1h", "dreaming", "", false},
		{"lag=1h", "dreaming", "", false},
		{"processing=0s", "completed", "", true},
		{"empty-results", "completed", "", false},
		{"undeliverable", "completed", "", true},
		{"fail", "failed", "Generation failed", false},
		{"fail,reason=too dark", "failed", "too dark", false},
	}
	for _, tt := range tests {
		g := w.reached(w.lumaGet, w.modified("[sim:"+tt.directive+"]").ID, tt.state)
		if (g.Assets != nil) != (tt.state == "completed") || (g.Assets != nil && (g.Assets.Video != nil) != tt.video) {
			t.Errorf("%s: assets %+v, want a video %v", tt.directive, g.Assets, tt.video)
		}
		if (g.FailureReason != nil) != (tt.reason != "") || (g.FailureReason != nil && *g.FailureReason != tt.reason) {
			t.Errorf("%s: failure_reason %v, want %q", tt.directive, g.FailureReason, tt.reason)
		}
	}
}

func TestLuma_HidesANewGeneration(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for _, tt := range []struct {
		id  string
		get func(string) envelope
	}{
		{w.modified("[sim:invisible=1h]").ID, w.lumaGet},
		{w.edited("[sim:invisible=1h]").ID, w.agentsGet},
		{"nobody", w.lumaGet},
		{"nobody", w.agentsGet},
		{w.submit("of kie.ai"), w.lumaGet},
		{w.modified("of Dream Machine").ID, w.agentsGet},
	} {
		if got := tt.get(tt.id); got.status != 404 || got.raw != `{"detail":"Generation not found"}` {
			t.Errorf("%s: got status %d, %s; want 404", tt.id, got.status, got.raw)
		}
	}
	// One hides; the other's answer shows that it is hiding, not missing.
	w.reached(w.lumaGet, w.modified("[sim:invisible=20ms,never,processing=30ms]").ID, "completed")
}

func TestLuma_ChecksTheKeyAndTheLimitOfQueries(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) {
		c.Luma.QueryLimit = sim.Limit{N: 4, Window: time.Hour}
		c.LumaAgents.QueryLimit = sim.Limit{N: 1, Window: time.Hour}
	})
	luma, agents := w.sim.BaseURL(luma.Name), w.sim.BaseURL(lumaagents.Name)
	for _, url := range []string{
		luma + "/generations/x", luma + "/generations", luma + "/credits", luma + "/ping", agents + "/generations/x",
	} {
		if got, err := w.call(http.MethodGet, url, "bad", nil, ""); err != nil || got.status != 401 {
			t.Errorf("%s: got status %d, %v, want 401", url, got.status, err)
		}
		if got := w.get(url); got.status == 429 {
			t.Errorf("%s: refused too early", url)
		}
	}
	for _, url := range []string{luma + "/ping", agents + "/generations/x"} {
		if got := w.get(url); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: got status %d, Retry-After %q; want 429 with it", url, got.status, got.header.Get("Retry-After"))
		}
	}
}

func TestLumaList_PagesNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	w.submit("of kie.ai")
	var ids []string
	for range 3 {
		ids = append(ids, w.modified("p").ID)
	}
	type page struct {
		Generations          []generation
		Count, Limit, Offset int
		HasMore              bool `json:"has_more"`
	}
	tests := []struct {
		query      string
		want       []string
		more       bool
		lim, begin int
	}{
		{"", []string{ids[2], ids[1], ids[0]}, false, 10, 0},
		{"?limit=2", []string{ids[2], ids[1]}, true, 2, 0},
		{"?limit=2&offset=2", []string{ids[0]}, false, 2, 2},
		{"?offset=9", nil, false, 10, 9},
	}
	for _, tt := range tests {
		var got page
		if err := json.Unmarshal([]byte(w.get(w.sim.BaseURL(luma.Name)+"/generations"+tt.query).raw), &got); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, g := range got.Generations {
			list = append(list, g.ID)
		}
		if diff := cmp.Diff(tt.want, list); diff != "" || got.Count != len(tt.want) || got.HasMore != tt.more || got.Limit != tt.lim || got.Offset != tt.begin {
			t.Errorf("%q: got %+v; ids (-want +got):\n%s", tt.query, got, diff)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=x", "?offset=-1"} {
		if got := w.get(w.sim.BaseURL(luma.Name) + "/generations" + query); got.status != 422 || !strings.Contains(got.raw, "detail") {
			t.Errorf("%q: got status %d, %s; want 422", query, got.status, got.raw)
		}
	}
}

func TestLuma_TellsCreditsAndHealth(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Credits, c.TaskPrice = 1000, 175 })
	w.modified("p")
	if got := w.get(w.sim.BaseURL(luma.Name) + "/credits"); got.status != 200 || got.raw != `{"credit_balance":825}` {
		t.Errorf("credits: got status %d, %s", got.status, got.raw)
	}
	if got := w.get(w.sim.BaseURL(luma.Name) + "/ping"); got.status != 200 {
		t.Errorf("ping: status %d", got.status)
	}
}

func TestLuma_ServesResultsWithTheirFaults(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	tests := []struct {
		directive string
		want      []int // statuses of two downloads
	}{
		{"slow=20ms", []int{200, 200}},
		{"expired", []int{404, 404}},
		{"gone=410", []int{410, 410}},
		{"once", []int{200, 404}},
	}
	for _, tt := range tests {
		g := w.reached(w.lumaGet, w.modified("[sim:"+tt.directive+"]").ID, "completed")
		link := *g.Assets.Video
		first, second := w.get(link), w.get(link)
		if diff := cmp.Diff(tt.want, []int{first.status, second.status}); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", tt.directive, diff)
		}
		if first.status == 200 && first.raw != string(sim.ResultClip(g.ID, 0)) {
			t.Errorf("%s: got %d bytes, want the result", tt.directive, len(first.raw))
		}
		if again := *parseGeneration(t, w.lumaGet(g.ID).raw).Assets.Video; again != link {
			t.Errorf("%s: link changed from %s to %s", tt.directive, link, again)
		}
	}
	broken := w.reached(w.lumaGet, w.modified("[sim:cut=100]").ID, "completed")
	if got := w.ranged(*broken.Assets.Video, "bytes=0-"); len(got.raw) != 100 {
		t.Errorf("cut: got %d bytes, want 100", len(got.raw))
	}
	page := w.reached(w.lumaGet, w.modified("[sim:html-result]").ID, "completed")
	if got := w.get(*page.Assets.Video); !strings.HasPrefix(got.raw, "<!doctype html>") {
		t.Errorf("html-result: got %.40q", got.raw)
	}
	if got := w.sim.Downloads(); got[0].Profile != luma.Name {
		t.Errorf("download %+v: want the profile", got[0])
	}
}

func TestLuma_FetchesTheSource(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Source = sim.SourceFetch })
	clip := sim.SampleClip()
	good := w.with(w.modifyRequest("p"), object{"media": object{"url": source(t, clip)}})
	g := w.reached(w.lumaGet, w.create(modifyPath, good).ID, "completed")
	if got := w.get(*g.Assets.Video); got.raw != string(clip) {
		t.Errorf("got %d bytes, want the %d of the source", len(got.raw), len(clip))
	}
	bad := w.with(w.modifyRequest("p"), object{"media": object{"url": w.sim.URL() + "/files/none.mp4"}})
	g = w.reached(w.lumaGet, w.create(modifyPath, bad).ID, "failed")
	if !strings.Contains(*g.FailureReason, "fetch") {
		t.Errorf("failure_reason %q", *g.FailureReason)
	}
}

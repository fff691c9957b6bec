package luma_test

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
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestLumaGet_ShowsEveryState(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
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
		g := w.Reached(w.LumaGet, w.Modified("[sim:"+tt.directive+"]").ID, tt.state)
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
	w := simtest.Setup(t, nil)
	for _, tt := range []struct {
		id  string
		get func(string) simtest.Answer
	}{
		{w.Modified("[sim:invisible=1h]").ID, w.LumaGet},
		{w.Edited("[sim:invisible=1h]").ID, w.AgentsGet},
		{"unknown", w.LumaGet},
		{"unknown", w.AgentsGet},
		{w.Submit("of kie.ai"), w.LumaGet},
		{w.Modified("of Dream Machine").ID, w.AgentsGet},
	} {
		if got := tt.get(tt.id); got.Status != 404 || got.Raw != `{"detail":"Generation not found"}` {
			t.Errorf("%s: got status %d, %s; want 404", tt.id, got.Status, got.Raw)
		}
	}
	// One hides; the other's answer shows that it is hiding, not missing.
	w.Reached(w.LumaGet, w.Modified("[sim:invisible=20ms,never,processing=30ms]").ID, "completed")
}

func TestLuma_ChecksTheKeyAndTheLimitOfQueries(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.Luma.QueryLimit = sim.Limit{N: 4, Window: time.Hour}
		c.LumaAgents.QueryLimit = sim.Limit{N: 1, Window: time.Hour}
	})
	luma, agents := w.Sim.BaseURL(luma.Name), w.Sim.BaseURL(lumaagents.Name)
	for _, url := range []string{
		luma + "/generations/x", luma + "/generations", luma + "/credits", luma + "/ping", agents + "/generations/x",
	} {
		if got, err := w.Call(http.MethodGet, url, "bad", nil, ""); err != nil || got.Status != 401 {
			t.Errorf("%s: got status %d, %v, want 401", url, got.Status, err)
		}
		if got := w.Get(url); got.Status == 429 {
			t.Errorf("%s: refused too early", url)
		}
	}
	for _, url := range []string{luma + "/ping", agents + "/generations/x"} {
		if got := w.Get(url); got.Status != 429 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got status %d, Retry-After %q; want 429 with it", url, got.Status, got.Header.Get("Retry-After"))
		}
	}
}

func TestLumaList_PagesNewestFirst(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Submit("of kie.ai")
	var ids []string
	for range 3 {
		ids = append(ids, w.Modified("p").ID)
	}
	type page struct {
		Generations          []simtest.Generation
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
		if err := json.Unmarshal([]byte(w.Get(w.Sim.BaseURL(luma.Name)+"/generations"+tt.query).Raw), &got); err != nil {
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
		if got := w.Get(w.Sim.BaseURL(luma.Name) + "/generations" + query); got.Status != 422 || !strings.Contains(got.Raw, "detail") {
			t.Errorf("%q: got status %d, %s; want 422", query, got.Status, got.Raw)
		}
	}
}

func TestLuma_AnswersCreditsAndHealth(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Credits, c.TaskPrice = 1000, 175 })
	w.Modified("p")
	if got := w.Get(w.Sim.BaseURL(luma.Name) + "/credits"); got.Status != 200 || got.Raw != `{"credit_balance":825}` {
		t.Errorf("credits: got status %d, %s", got.Status, got.Raw)
	}
	if got := w.Get(w.Sim.BaseURL(luma.Name) + "/ping"); got.Status != 200 {
		t.Errorf("ping: status %d", got.Status)
	}
}

func TestLuma_ServesResultsWithTheirFaults(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
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
		g := w.Reached(w.LumaGet, w.Modified("[sim:"+tt.directive+"]").ID, "completed")
		link := *g.Assets.Video
		first, second := w.Get(link), w.Get(link)
		if diff := cmp.Diff(tt.want, []int{first.Status, second.Status}); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", tt.directive, diff)
		}
		if first.Status == 200 && first.Raw != string(sim.ResultClip(g.ID, 0)) {
			t.Errorf("%s: got %d bytes, want the result", tt.directive, len(first.Raw))
		}
		if again := *simtest.ParseGeneration(t, w.LumaGet(g.ID).Raw).Assets.Video; again != link {
			t.Errorf("%s: link changed from %s to %s", tt.directive, link, again)
		}
	}
	broken := w.Reached(w.LumaGet, w.Modified("[sim:cut=100]").ID, "completed")
	if got := w.Ranged(*broken.Assets.Video, "bytes=0-"); len(got.Raw) != 100 {
		t.Errorf("cut: got %d bytes, want 100", len(got.Raw))
	}
	page := w.Reached(w.LumaGet, w.Modified("[sim:html-result]").ID, "completed")
	if got := w.Get(*page.Assets.Video); !strings.HasPrefix(got.Raw, "<!doctype html>") {
		t.Errorf("html-result: got %.40q", got.Raw)
	}
	if got := w.Sim.Downloads(); got[0].Profile != luma.Name {
		t.Errorf("download %+v: want the profile", got[0])
	}
}

func TestLuma_FetchesTheSource(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Source = sim.SourceFetch })
	clip := sim.SampleClip()
	good := w.With(w.ModifyRequest("p"), simtest.Object{"media": simtest.Object{"url": simtest.Source(t, clip)}})
	g := w.Reached(w.LumaGet, w.Create(simtest.ModifyPath, good).ID, "completed")
	if got := w.Get(*g.Assets.Video); got.Raw != string(clip) {
		t.Errorf("got %d bytes, want the %d of the source", len(got.Raw), len(clip))
	}
	bad := w.With(w.ModifyRequest("p"), simtest.Object{"media": simtest.Object{"url": w.Sim.URL() + "/files/none.mp4"}})
	g = w.Reached(w.LumaGet, w.Create(simtest.ModifyPath, bad).ID, "failed")
	if !strings.Contains(*g.FailureReason, "fetch") {
		t.Errorf("failure_reason %q", *g.FailureReason)
	}
}

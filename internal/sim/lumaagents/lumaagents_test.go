package lumaagents_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumaagents"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestLumaAgentsCreate_AnswersAQueuedGeneration(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.LumaAgents.SubmitLimit = sim.Limit{N: 7, Window: time.Minute} })
	request := w.EditRequest("snow & ice")
	request["video"].(simtest.Object)["start_frame"] = simtest.Object{"url": "https://example.com/f.png"}
	got := w.Post(simtest.AgentsPath, request)
	g := simtest.ParseGeneration(t, got.Raw)
	if _, err := uuid.Parse(g.ID); err != nil {
		t.Errorf("id %q: want a UUID", g.ID)
	}
	want := fmt.Sprintf(`{"id":%q,"type":"video_edit","model":"ray-3.2","state":"queued","created_at":%q,"output":[],"failure_code":null,"failure_reason":null}`,
		g.ID, g.CreatedAt.Format("2006-01-02T15:04:05.000Z"))
	if diff := cmp.Diff(want, got.Raw); got.Status != 201 || diff != "" {
		t.Errorf("status %d, body (-want +got):\n%s", got.Status, diff)
	}
	if limit := got.Header.Get("X-RateLimit-Limit"); limit != "7" {
		t.Errorf("X-RateLimit-Limit %q, want 7", limit)
	}
	entry := w.Sim.Ledger()[0]
	entry.Time = time.Time{}
	wantEntry := sim.Entry{
		Seq: 1, Profile: lumaagents.Name, Path: simtest.AgentsPath, Key: simtest.APIKey, Result: sim.ResultCreated, Code: 201, TaskID: g.ID, Paid: true,
		Prompt: "snow & ice", VideoURL: simtest.SourceURL, Model: "ray-3.2", Strength: "flex_1",
		FirstFrameURL: "https://example.com/f.png",
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	w.Reached(w.AgentsGet, g.ID, "completed")
	if got := w.Sim.Deliveries(); len(got) != 0 {
		t.Errorf("deliveries %+v: want none", got)
	}
}

func TestLumaAgents_EveryAnswerCarriesItsHeaders(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, sent := range []string{"", "trace-7"} {
		for _, key := range []string{simtest.APIKey, "bad"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Sim.BaseURL(lumaagents.Name)+"/generations/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+key)
			req.Header.Set("X-Request-Id", sent)
			resp, err := w.HTTP.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			id := resp.Header.Get("X-Request-Id")
			if (sent == "" && uuid.Validate(id) != nil) || (sent != "" && id != sent) {
				t.Errorf("X-Request-Id %q, want %q or a fresh UUID", id, sent)
			}
			if got := resp.Header.Get("X-API-Version"); got != "2026-04-01" || resp.Header.Get("X-RateLimit-Limit") != "" {
				t.Errorf("headers %v: want the version, and no limit on a GET", resp.Header)
			}
		}
	}
}

func TestLumaAgentsCreate_RefusesWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	edit := func(v simtest.Object) simtest.Object { return simtest.Object{"video": simtest.Object{"edit": v}} }
	src := func(v simtest.Object) simtest.Object { return simtest.Object{"source": v} }
	tests := []struct {
		name   string
		change simtest.Object
		config func(*simtest.Config)
		status int
		detail string
	}{
		{"no prompt", simtest.Object{"prompt": nil}, nil, 400, "prompt"},
		{"long prompt", simtest.Object{"prompt": strings.Repeat("é", 6001)}, nil, 400, "prompt"},
		{"unknown model", simtest.Object{"model": "ray-2"}, nil, 400, "model"},
		{"unknown type", simtest.Object{"type": "x"}, nil, 400, "type"},
		{"unknown strength", edit(simtest.Object{"strength": "flex_4"}), nil, 400, "strength"},
		{"unknown resolution", simtest.Object{"video": simtest.Object{"resolution": "4k"}}, nil, 400, "resolution"},
		{"unknown duration", simtest.Object{"video": simtest.Object{"duration": "7s"}}, nil, 400, "duration"},
		{"too many keyframes", edit(simtest.Object{"keyframes": make([]simtest.Object, 65)}), nil, 400, "keyframes"},
		{"wrong type of field", simtest.Object{"prompt": 1}, nil, 400, "JSON"},
		{"default type", simtest.Object{"type": nil}, nil, 422, "type"},
		{"image model", simtest.Object{"model": "uni-1"}, nil, 422, "model"},
		{"no source", simtest.Object{"source": nil}, nil, 422, "source"},
		{"two sources", src(simtest.Object{"url": simtest.SourceURL, "data": "AAAA", "media_type": "video/mp4"}), nil, 422, "source"},
		{"no media type", src(simtest.Object{"url": simtest.SourceURL}), nil, 422, "media_type"},
		{"image source", src(simtest.Object{"url": simtest.SourceURL, "media_type": "image/png"}), nil, 422, "media_type"},
		{"relative source", src(simtest.Object{"url": "a.mp4", "media_type": "video/mp4"}), nil, 422, "source.url"},
		{"bad data", src(simtest.Object{"data": "?", "media_type": "video/mp4"}), nil, 422, "base64"},
		{"unknown generation", src(simtest.Object{"generation_id": "x"}), nil, 422, "generation_id"},
		{"EXR without HDR", simtest.Object{"video": simtest.Object{"exr_export": true}}, nil, 422, "exr_export"},
		{"two kinds of controls", edit(simtest.Object{"auto_controls": true, "controls": simtest.Object{"pose": simtest.Object{}}}), nil, 422, "auto_controls"},
		{"keyframe without index", edit(simtest.Object{"keyframes": []simtest.Object{{}}}), nil, 422, "keyframe_indexes"},
		{"keyframes and start frame", simtest.Object{"video": simtest.Object{
			"start_frame": simtest.Object{}, "edit": simtest.Object{"keyframes": []simtest.Object{{}}, "keyframe_indexes": []int{0}},
		}}, nil, 422, "start_frame"},
		{
			"large data", src(simtest.Object{"data": "AAAAAAAA", "media_type": "video/mp4"}),
			func(c *simtest.Config) { c.MaxFile = 5 }, 413, "too large",
		},
		{"empty account", nil, func(c *simtest.Config) { c.Credits = -1 }, 402, "Insufficient"},
		{"other key", nil, func(c *simtest.Config) { c.APIKeys = []string{"another"} }, 401, "API key"},
		{"callbacks do not exist", simtest.Object{"prompt": "[sim:never]"}, nil, 422, "never"},
		{"suspended", simtest.Object{"prompt": "[sim:code=403]"}, nil, 403, "denied"},
		{"upstream down", simtest.Object{"prompt": "[sim:code=502]"}, nil, 502, "502"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tt.config)
			got := w.Post(simtest.AgentsPath, w.With(w.EditRequest("p"), tt.change))
			if got.Status != tt.status || !strings.HasPrefix(got.Raw, `{"detail":"`) || !strings.Contains(got.Raw, tt.detail) {
				t.Errorf("got status %d, %s; want %d and %s", got.Status, got.Raw, tt.status, tt.detail)
			}
			if got.Header.Get("X-RateLimit-Limit") != "" || got.Header.Get("X-Request-Id") == "" {
				t.Errorf("headers %v: want an id and no limit", got.Header)
			}
			entries := w.Sim.Ledger()
			if len(entries) != 1 || entries[0].Paid || entries[0].Result != sim.ResultRefused || entries[0].Profile != lumaagents.Name {
				t.Errorf("ledger %+v: want one unpaid refusal", entries)
			}
		})
	}
}

func TestLumaAgentsCreate_LimitsTheWindowAndTheConcurrency(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.LumaAgents.SubmitLimit, c.LumaAgents.MaxConcurrent = sim.Limit{N: 3, Window: time.Minute}, 1
	})
	g := w.Edited("[sim:processing=1h]")
	var got []string
	for range 3 {
		e := w.Post(simtest.AgentsPath, w.EditRequest("p"))
		after := "soon"
		if e.Header.Get("Retry-After") != "1" {
			after = "later"
		}
		got = append(got, fmt.Sprint(e.Status, " ", after))
	}
	if diff := cmp.Diff([]string{"429 soon", "429 soon", "429 later"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	w.Modified("Dream Machine has limits of its own")
	w.Reached(w.AgentsGet, g.ID, "processing")
}

func TestLumaAgentsGet_ShowsEveryState(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	tests := []struct {
		directive, state string
		outputs          int
		code, reason     string
	}{
		{"queued=1h", "queued", 0, "", ""},
		{"processing=1h", "processing", 0, "", ""},
		{"lag=1h", "processing", 0, "", ""},
		{"processing=0s", "completed", 1, "", ""},
		{"results=3", "completed", 3, "", ""},
		{"empty-results", "completed", 0, "", ""},
		{"fail", "failed", 0, "generation_failed", "Generation failed"},
		{"fail=content_moderated,reason=not nice", "failed", 0, "content_moderated", "not nice"},
		{"fail=some_new_code", "failed", 0, "some_new_code", "Generation failed"},
	}
	for _, tt := range tests {
		g := w.Reached(w.AgentsGet, w.Edited("[sim:"+tt.directive+"]").ID, tt.state)
		if len(g.Output) != tt.outputs || (g.FailureCode != nil) != (tt.code != "") || (g.FailureReason != nil) != (tt.code != "") {
			t.Errorf("%s: got %+v, want %d outputs and code %q", tt.directive, g, tt.outputs, tt.code)
		}
		if tt.code != "" && (*g.FailureCode != tt.code || *g.FailureReason != tt.reason) {
			t.Errorf("%s: got %s, %s", tt.directive, *g.FailureCode, *g.FailureReason)
		}
	}
}

func TestLumaAgentsOutput_IsPresignedAnewByEveryGet(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	g := w.Reached(w.AgentsGet, w.Edited("p").ID, "completed")
	first, second := g.Output[0].URL, simtest.ParseGeneration(t, w.AgentsGet(g.ID).Raw).Output[0].URL
	if first == second || !strings.Contains(first, "X-Amz-Expires=3600&X-Amz-Signature=") {
		t.Errorf("links %s and %s: want different ones for an hour", first, second)
	}
	for _, link := range []string{first, second} {
		if got := w.Get(link); got.Status != 200 || got.Raw != string(sim.ResultClip(g.ID, 0)) {
			t.Errorf("%s: got status %d, %d bytes; want the result", link, got.Status, len(got.Raw))
		}
		plain, _, _ := strings.Cut(link, "?")
		if got := w.Get(plain); got.Status != 403 {
			t.Errorf("without its signature: status %d, want 403", got.Status)
		}
	}
}

func TestLumaAgentsOutput_DiesAndRevivesAsScripted(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.ExpiredStatus = 403 })
	tests := []struct {
		directive string
		want      []int // statuses: first link twice, then a fresh one
	}{
		{"expired", []int{403, 403, 200}},
		{"gone=404", []int{404, 404, 404}},
		{"once", []int{200, 403, 200}},
	}
	for _, tt := range tests {
		g := w.Reached(w.AgentsGet, w.Edited("[sim:"+tt.directive+"]").ID, "completed")
		first := g.Output[0].URL
		got := []int{w.Get(first).Status, w.Get(first).Status}
		got = append(got, w.Get(simtest.ParseGeneration(t, w.AgentsGet(g.ID).Raw).Output[0].URL).Status)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", tt.directive, diff)
		}
	}
}

func TestLumaAgentsOutput_ExpiresAfterItsTime(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.LumaAgents.LinkTTL = 1 })
	g := w.Reached(w.AgentsGet, w.Edited("p").ID, "completed")
	if got := w.Get(g.Output[0].URL); got.Status != 404 {
		t.Errorf("status %d, want 404", got.Status)
	}
}

func TestLumaAgents_TakesEverySource(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Source = sim.SourceFetch })
	clip := sim.SampleClip()
	edit := func(src simtest.Object) simtest.Object {
		return w.With(w.EditRequest("p"), simtest.Object{"source": src})
	}
	var last string
	for name, src := range map[string]simtest.Object{
		"url":  {"url": simtest.Source(t, clip), "media_type": "video/mp4"},
		"data": {"data": base64.StdEncoding.EncodeToString(clip), "media_type": "video/mp4"},
	} {
		last = w.Create(simtest.AgentsPath, edit(src)).ID
		g := w.Reached(w.AgentsGet, last, "completed")
		if got := w.Get(g.Output[0].URL); got.Raw != string(clip) {
			t.Errorf("%s: got %d bytes, want the %d of the source", name, len(got.Raw), len(clip))
		}
	}
	g := w.Reached(w.AgentsGet, w.Create(simtest.AgentsPath, edit(simtest.Object{"generation_id": last})).ID, "completed")
	if got := w.Get(g.Output[0].URL); got.Raw != string(clip) {
		t.Errorf("generation: got %d bytes, want those of its result", len(got.Raw))
	}
	g = w.Reached(w.AgentsGet, w.Create(simtest.AgentsPath, edit(simtest.Object{"url": w.Sim.URL() + "/files/none", "media_type": "video/mp4"})).ID, "failed")
	if *g.FailureCode != "invalid_request" {
		t.Errorf("missing source: failure_code %s, want invalid_request", *g.FailureCode)
	}
}

package sim_test

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
)

func TestLumaAgentsCreate_AnswersAQueuedGeneration(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.LumaAgents.SubmitLimit = sim.Limit{N: 7, Window: time.Minute} })
	request := w.editRequest("snow & ice")
	request["video"].(object)["start_frame"] = object{"url": "https://example.com/f.png"}
	got := w.post(agentsPath, request)
	g := parseGeneration(t, got.raw)
	if _, err := uuid.Parse(g.ID); err != nil {
		t.Errorf("id %q: want a UUID", g.ID)
	}
	want := fmt.Sprintf(`{"id":%q,"type":"video_edit","model":"ray-3.2","state":"queued","created_at":%q,"output":[],"failure_code":null,"failure_reason":null}`,
		g.ID, g.CreatedAt.Format("2006-01-02T15:04:05.000Z"))
	if diff := cmp.Diff(want, got.raw); got.status != 201 || diff != "" {
		t.Errorf("status %d, body (-want +got):\n%s", got.status, diff)
	}
	if limit := got.header.Get("X-RateLimit-Limit"); limit != "7" {
		t.Errorf("X-RateLimit-Limit %q, want 7", limit)
	}
	entry := w.sim.Ledger()[0]
	entry.Time = time.Time{}
	wantEntry := sim.Entry{
		Seq: 1, Profile: lumaagents.Name, Path: agentsPath, Key: apiKey, Result: sim.ResultCreated, Code: 201, TaskID: g.ID, Paid: true,
		Prompt: "snow & ice", VideoURL: sourceURL, Model: "ray-3.2", Strength: "flex_1",
		FirstFrameURL: "https://example.com/f.png",
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	w.reached(w.agentsGet, g.ID, "completed")
	if got := w.sim.Deliveries(); len(got) != 0 {
		t.Errorf("deliveries %+v: want none", got)
	}
}

func TestLumaAgents_EveryAnswerCarriesItsHeaders(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for _, sent := range []string{"", "trace-7"} {
		for _, key := range []string{apiKey, "bad"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.sim.BaseURL(lumaagents.Name)+"/generations/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+key)
			req.Header.Set("X-Request-Id", sent)
			resp, err := w.http.Do(req)
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
	edit := func(v object) object { return object{"video": object{"edit": v}} }
	src := func(v object) object { return object{"source": v} }
	tests := []struct {
		name   string
		change object
		config func(*config)
		status int
		detail string
	}{
		{"no prompt", object{"prompt": nil}, nil, 400, "prompt"},
		{"long prompt", object{"prompt": strings.Repeat("é", 6001)}, nil, 400, "prompt"},
		{"unknown model", object{"model": "ray-2"}, nil, 400, "model"},
		{"unknown type", object{"type": "x"}, nil, 400, "type"},
		{"unknown strength", edit(object{"strength": "flex_4"}), nil, 400, "strength"},
		{"unknown resolution", object{"video": object{"resolution": "4k"}}, nil, 400, "resolution"},
		{"unknown duration", object{"video": object{"duration": "7s"}}, nil, 400, "duration"},
		{"too many keyframes", edit(object{"keyframes": make([]object, 65)}), nil, 400, "keyframes"},
		{"wrong type of field", object{"prompt": 1}, nil, 400, "JSON"},
		{"default type", object{"type": nil}, nil, 422, "type"},
		{"image model", object{"model": "uni-1"}, nil, 422, "model"},
		{"no source", object{"source": nil}, nil, 422, "source"},
		{"two sources", src(object{"url": sourceURL, "data": "AAAA", "media_type": "video/mp4"}), nil, 422, "source"},
		{"no media type", src(object{"url": sourceURL}), nil, 422, "media_type"},
		{"image source", src(object{"url": sourceURL, "media_type": "image/png"}), nil, 422, "media_type"},
		{"relative source", src(object{"url": "a.mp4", "media_type": "video/mp4"}), nil, 422, "source.url"},
		{"bad data", src(object{"data": "?", "media_type": "video/mp4"}), nil, 422, "base64"},
		{"unknown generation", src(object{"generation_id": "x"}), nil, 422, "generation_id"},
		{"EXR without HDR", object{"video": object{"exr_export": true}}, nil, 422, "exr_export"},
		{"two kinds of controls", edit(object{"auto_controls": true, "controls": object{"pose": object{}}}), nil, 422, "auto_controls"},
		{"keyframe without index", edit(object{"keyframes": []object{{}}}), nil, 422, "keyframe_indexes"},
		{"keyframes and start frame", object{"video": object{
			"start_frame": object{}, "edit": object{"keyframes": []object{{}}, "keyframe_indexes": []int{0}},
		}}, nil, 422, "start_frame"},
		{
			"large data", src(object{"data": "AAAAAAAA", "media_type": "video/mp4"}),
			func(c *config) { c.MaxFile = 5 }, 413, "too large",
		},
		{"empty account", nil, func(c *config) { c.Credits = -1 }, 402, "Insufficient"},
		{"other key", nil, func(c *config) { c.APIKeys = []string{"another"} }, 401, "API key"},
		{"callbacks do not exist", object{"prompt": "[sim:never]"}, nil, 422, "never"},
		{"suspended", object{"prompt": "[sim:code=403]"}, nil, 403, "denied"},
		{"upstream down", object{"prompt": "[sim:code=502]"}, nil, 502, "502"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, tt.config)
			got := w.post(agentsPath, w.with(w.editRequest("p"), tt.change))
			if got.status != tt.status || !strings.HasPrefix(got.raw, `{"detail":"`) || !strings.Contains(got.raw, tt.detail) {
				t.Errorf("got status %d, %s; want %d and %s", got.status, got.raw, tt.status, tt.detail)
			}
			if got.header.Get("X-RateLimit-Limit") != "" || got.header.Get("X-Request-Id") == "" {
				t.Errorf("headers %v: want an id and no limit", got.header)
			}
			entries := w.sim.Ledger()
			if len(entries) != 1 || entries[0].Paid || entries[0].Result != sim.ResultRefused || entries[0].Profile != lumaagents.Name {
				t.Errorf("ledger %+v: want one unpaid refusal", entries)
			}
		})
	}
}

func TestLumaAgentsCreate_LimitsTheWindowAndTheConcurrency(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) {
		c.LumaAgents.SubmitLimit, c.LumaAgents.MaxConcurrent = sim.Limit{N: 3, Window: time.Minute}, 1
	})
	g := w.edited("[sim:processing=1h]")
	var got []string
	for range 3 {
		e := w.post(agentsPath, w.editRequest("p"))
		after := "soon"
		if e.header.Get("Retry-After") != "1" {
			after = "later"
		}
		got = append(got, fmt.Sprint(e.status, " ", after))
	}
	if diff := cmp.Diff([]string{"429 soon", "429 soon", "429 later"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	w.modified("Dream Machine has limits of its own")
	w.reached(w.agentsGet, g.ID, "processing")
}

func TestLumaAgentsGet_TellsEveryState(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
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
		g := w.reached(w.agentsGet, w.edited("[sim:"+tt.directive+"]").ID, tt.state)
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
	w := setup(t, nil)
	g := w.reached(w.agentsGet, w.edited("p").ID, "completed")
	first, second := g.Output[0].URL, parseGeneration(t, w.agentsGet(g.ID).raw).Output[0].URL
	if first == second || !strings.Contains(first, "X-Amz-Expires=3600&X-Amz-Signature=") {
		t.Errorf("links %s and %s: want different ones for an hour", first, second)
	}
	for _, link := range []string{first, second} {
		if got := w.get(link); got.status != 200 || got.raw != string(sim.ResultClip(g.ID, 0)) {
			t.Errorf("%s: got status %d, %d bytes; want the result", link, got.status, len(got.raw))
		}
		plain, _, _ := strings.Cut(link, "?")
		if got := w.get(plain); got.status != 403 {
			t.Errorf("without its signature: status %d, want 403", got.status)
		}
	}
}

func TestLumaAgentsOutput_DiesAndRevivesAsScripted(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.ExpiredStatus = 403 })
	tests := []struct {
		directive string
		want      []int // statuses: first link twice, then a fresh one
	}{
		{"expired", []int{403, 403, 200}},
		{"gone=404", []int{404, 404, 404}},
		{"once", []int{200, 403, 200}},
	}
	for _, tt := range tests {
		g := w.reached(w.agentsGet, w.edited("[sim:"+tt.directive+"]").ID, "completed")
		first := g.Output[0].URL
		got := []int{w.get(first).status, w.get(first).status}
		got = append(got, w.get(parseGeneration(t, w.agentsGet(g.ID).raw).Output[0].URL).status)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", tt.directive, diff)
		}
	}
}

func TestLumaAgentsOutput_ExpiresAfterItsTime(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.LumaAgents.LinkTTL = 1 })
	g := w.reached(w.agentsGet, w.edited("p").ID, "completed")
	if got := w.get(g.Output[0].URL); got.status != 404 {
		t.Errorf("status %d, want 404", got.status)
	}
}

func TestLumaAgents_TakesEverySource(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Source = sim.SourceFetch })
	clip := sim.SampleClip()
	edit := func(src object) object { return w.with(w.editRequest("p"), object{"source": src}) }
	var last string
	for name, src := range map[string]object{
		"url":  {"url": source(t, clip), "media_type": "video/mp4"},
		"data": {"data": base64.StdEncoding.EncodeToString(clip), "media_type": "video/mp4"},
	} {
		last = w.create(agentsPath, edit(src)).ID
		g := w.reached(w.agentsGet, last, "completed")
		if got := w.get(g.Output[0].URL); got.raw != string(clip) {
			t.Errorf("%s: got %d bytes, want the %d of the source", name, len(got.raw), len(clip))
		}
	}
	g := w.reached(w.agentsGet, w.create(agentsPath, edit(object{"generation_id": last})).ID, "completed")
	if got := w.get(g.Output[0].URL); got.raw != string(clip) {
		t.Errorf("generation: got %d bytes, want those of its result", len(got.raw))
	}
	g = w.reached(w.agentsGet, w.create(agentsPath, edit(object{"url": w.sim.URL() + "/files/none", "media_type": "video/mp4"})).ID, "failed")
	if *g.FailureCode != "invalid_request" {
		t.Errorf("missing source: failure_code %s, want invalid_request", *g.FailureCode)
	}
}

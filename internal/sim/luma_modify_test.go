package sim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

func TestLumaModify_AnswersAQueuedGeneration(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	body := w.with(w.modifyRequest("snow & ice"), object{"first_frame": object{"url": "https://example.com/f.png"}})
	got := w.post(modifyPath, body)
	g := parseGeneration(t, got.raw)
	if _, err := uuid.Parse(g.ID); err != nil || time.Since(g.CreatedAt).Abs() > time.Minute {
		t.Errorf("id %q, created at %v: want a UUID and now", g.ID, g.CreatedAt)
	}
	want := fmt.Sprintf(`{"id":%q,"generation_type":"video","state":"queued","failure_reason":null,"created_at":%q,"model":"ray-2","assets":null,`+
		`"request":{"generation_type":"modify_video","model":"ray-2","mode":"flex_1","prompt":"snow & ice","media":{"url":%q},`+
		`"first_frame":{"url":"https://example.com/f.png"},"callback_url":"%s/cb?token=a&b=c"}}`,
		g.ID, g.CreatedAt.Format("2006-01-02T15:04:05.000Z"), sourceURL, w.hook.server.URL)
	if diff := cmp.Diff(want, got.raw); got.status != 201 || diff != "" {
		t.Errorf("status %d, body (-want +got):\n%s", got.status, diff)
	}
	entry := w.sim.Ledger()[0]
	entry.Time = time.Time{}
	wantEntry := sim.Entry{
		Seq: 1, Profile: luma.Name, Path: modifyPath, Key: apiKey, Result: sim.ResultCreated, Code: 201, TaskID: g.ID, Paid: true,
		Prompt: "snow & ice", VideoURL: sourceURL, CallbackURL: w.hook.server.URL + "/cb?token=a&b=c",
		Model: "ray-2", Strength: "flex_1", FirstFrameURL: "https://example.com/f.png",
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestLumaModify_NeedsOnlyWhatTheGuideNeeds(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for _, mode := range []string{"adhere_1", "flex_2", "reimagine_3"} {
		w.create(modifyPath, object{"model": "ray-flash-2", "mode": mode, "media": object{"url": sourceURL}})
	}
}

func TestLumaModify_RefusesWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change object
		config func(*config)
		status int
		detail string
	}{
		{"other type", object{"generation_type": "video"}, nil, 422, "generation_type"},
		{"no media", object{"media": nil}, nil, 422, "media.url"},
		{"relative media", object{"media": object{"url": "a.mp4"}}, nil, 422, "media.url"},
		{"no model", object{"model": nil}, nil, 422, "model"},
		{"unknown model", object{"model": "ray-3.2"}, nil, 422, "model"},
		{"no mode", object{"mode": nil}, nil, 422, "mode"},
		{"unknown mode", object{"mode": "flex_4"}, nil, 422, "mode"},
		{"bad frame", object{"first_frame": object{"url": "x"}}, nil, 422, "first_frame.url"},
		{"bad callback", object{"callback_url": "/x"}, nil, 422, "callback_url"},
		{"wrong type of field", object{"mode": 1}, nil, 400, "JSON"},
		{"huge body", object{"prompt": strings.Repeat("x", 2<<20)}, nil, 413, "larger"},
		{"empty account", nil, func(c *config) { c.Credits = -1 }, 402, "Insufficient"},
		{"other key", nil, func(c *config) { c.APIKeys = []string{"another"} }, 401, "API key"},
		{"directive of kie.ai", object{"prompt": "[sim:stale]"}, nil, 422, "stale"},
		{"scripted code", object{"prompt": "[sim:code=500]"}, nil, 500, "Error 500"},
		{"scripted code that is no status", object{"prompt": "[sim:code=7]"}, nil, 500, "Error 7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, tt.config)
			got := w.post(modifyPath, w.with(w.modifyRequest("p"), tt.change))
			if got.status != tt.status || !strings.HasPrefix(got.raw, `{"detail":"`) || !strings.Contains(got.raw, tt.detail) {
				t.Errorf("got status %d, %s; want %d and %s", got.status, got.raw, tt.status, tt.detail)
			}
			entries := w.sim.Ledger()
			if len(entries) != 1 || entries[0].Paid || entries[0].Result != sim.ResultRefused || entries[0].Profile != luma.Name {
				t.Errorf("ledger %+v: want one unpaid refusal", entries)
			}
		})
	}
}

func TestLumaModify_LimitsTheWindowAndTheConcurrency(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) {
		c.Luma.SubmitLimit, c.Luma.MaxConcurrent, c.Processing = sim.Limit{N: 4, Window: time.Minute}, 2, time.Hour
	})
	for i, step := range []struct {
		prompt       string
		status       int
		least, worst int // bounds of Retry-After
	}{
		{"a", 201, 0, 0},
		{"[sim:queued=1h]", 201, 0, 0},
		{"both slots are taken", 429, 1, 1},
		{"again", 429, 1, 1},
		{"the window is full", 429, 2, 60},
	} {
		got := w.post(modifyPath, w.modifyRequest(step.prompt))
		var after int
		if _, err := fmt.Sscan(got.header.Get("Retry-After"), &after); err != nil && step.status == 429 {
			t.Errorf("step %d: no Retry-After", i)
		}
		if got.status != step.status || after < step.least || after > step.worst {
			t.Errorf("step %d: got status %d, Retry-After %d; want %d, %d to %d", i, got.status, after, step.status, step.least, step.worst)
		}
	}
	limits := w.sim.Limits()
	want := []sim.Concurrency{{Profile: luma.Name, Key: apiKey, Limit: 2, Now: 2, Peak: 2, Refused: 2}}
	if diff := cmp.Diff(want, limits.Concurrency); diff != "" {
		t.Errorf("concurrency (-want +got):\n%s", diff)
	}
	if got := limits.Submissions; len(got) != 1 || got[0].Profile != luma.Name || got[0].Accepted != 4 || got[0].Refused != 1 {
		t.Errorf("submissions %+v: want 4 accepted by the window, 1 refused", got)
	}
}

func TestLumaModify_FreesTheSlotWhenTheGenerationEnds(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Luma.MaxConcurrent = 1 })
	for _, directive := range []string{"processing=10ms", "fail", "code=500", "processing=0s"} {
		g := parseGeneration(t, w.post(modifyPath, w.modifyRequest("[sim:"+directive+"]")).raw)
		if g.ID == "" {
			continue
		}
		w.await("slot", func() bool { return w.sim.Limits().Concurrency[0].Now == 0 })
	}
	if got := w.paid(luma.Name); got != 3 {
		t.Errorf("%d paid, want 3", got)
	}
	w.sim.SetCredits(0)
	if got := w.post(modifyPath, w.modifyRequest("p")); got.status != 402 || w.sim.Limits().Concurrency[0].Now != 0 {
		t.Errorf("without credits: got status %d, slots %+v; want 402 and none taken", got.status, w.sim.Limits().Concurrency)
	}
}

func TestLuma_LimitsAreTheDocumentedOnesByDefault(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.Luma, c.LumaAgents = luma.Profile{}, lumaagents.Profile{} })
	w.modified("p")
	w.edited("p")
	limits := w.sim.Limits()
	for i, want := range []struct{ n, slots int }{{20, 10}, {30, 10}} {
		usage, slots := limits.Submissions[i], limits.Concurrency[i]
		if usage.Limit != want.n || usage.Window != time.Minute || slots.Limit != want.slots {
			t.Errorf("%s: got %d per %v, %d at a time; want %+v", usage.Profile, usage.Limit, usage.Window, slots.Limit, want)
		}
	}
}

func TestLuma_FailsTheAnswerAsScripted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		paid      int
		check     func(got envelope, err error) bool
	}{
		{"html403", 0, func(got envelope, err error) bool {
			return err == nil && got.status == 403 && strings.Contains(got.raw, "1010")
		}},
		{"code=429", 0, func(got envelope, err error) bool {
			return err == nil && got.status == 429 && got.header.Get("Retry-After") == "1"
		}},
		{"drop", 0, func(_ envelope, err error) bool { return err != nil }},
		{"drop-after", 1, func(_ envelope, err error) bool { return err != nil }},
		{"truncate", 1, func(got envelope, err error) bool {
			return err == nil && got.status == 201 && strings.HasPrefix(got.raw, `{"id":"`) && !strings.HasSuffix(got.raw, "}")
		}},
		{"delay=50ms", 1, func(got envelope, err error) bool { return err == nil && got.status == 201 }},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := setup(t, nil)
			prompt := "[sim:" + tt.directive + "]"
			for path, body := range map[string]object{modifyPath: w.modifyRequest(prompt), agentsPath: w.editRequest(prompt)} {
				begun := time.Now()
				if got, err := w.send(path, body); !tt.check(got, err) {
					t.Errorf("%s: got %+v, error %v", path, got, err)
				}
				if took := time.Since(begun); tt.directive == "delay=50ms" && took < 50*time.Millisecond {
					t.Errorf("%s: answered after %v", path, took)
				}
			}
			if l, a := w.paid(luma.Name), w.paid(lumaagents.Name); l != tt.paid || a != tt.paid {
				t.Errorf("paid %d and %d, want %d each", l, a, tt.paid)
			}
		})
	}
}

func TestLumaDelete_RemovesTheRecordAndNothingElse(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	g := w.modified("[sim:late=30ms]")
	w.reached(w.lumaGet, g.ID, "completed")
	remove := func(id, key string) envelope {
		got, err := w.call(http.MethodDelete, w.sim.BaseURL(luma.Name)+"/generations/"+id, key, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := remove(g.ID, "bad"); got.status != 401 {
		t.Errorf("bad key: status %d, want 401", got.status)
	}
	if got := remove(g.ID, apiKey); got.status != 204 || got.raw != "" {
		t.Errorf("got status %d, %q; want an empty 204", got.status, got.raw)
	}
	if first, second := w.lumaGet(g.ID).status, remove(g.ID, apiKey).status; first != 404 || second != 404 {
		t.Errorf("afterwards: GET %d, DELETE %d, want 404", first, second)
	}
	for w.told().State != "completed" { // It still calls back.
	}
	var results []sim.Result
	for _, e := range w.sim.Ledger() {
		results = append(results, e.Result)
	}
	want := []sim.Result{sim.ResultCreated, sim.ResultRefused, sim.ResultDeleted, sim.ResultRefused}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

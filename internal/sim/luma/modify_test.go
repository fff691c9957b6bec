package luma_test

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
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestLumaModify_AnswersAQueuedGeneration(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	body := w.With(w.ModifyRequest("snow & ice"), simtest.Object{"first_frame": simtest.Object{"url": "https://example.com/f.png"}})
	got := w.Post(simtest.ModifyPath, body)
	g := simtest.ParseGeneration(t, got.Raw)
	if _, err := uuid.Parse(g.ID); err != nil || time.Since(g.CreatedAt).Abs() > time.Minute {
		t.Errorf("id %q, created at %v: want a UUID and now", g.ID, g.CreatedAt)
	}
	want := fmt.Sprintf(`{"id":%q,"generation_type":"video","state":"queued","failure_reason":null,"created_at":%q,"model":"ray-2","assets":null,`+
		`"request":{"generation_type":"modify_video","model":"ray-2","mode":"flex_1","prompt":"snow & ice","media":{"url":%q},`+
		`"first_frame":{"url":"https://example.com/f.png"},"callback_url":"%s/cb?token=a&b=c"}}`,
		g.ID, g.CreatedAt.Format("2006-01-02T15:04:05.000Z"), simtest.SourceURL, w.Hook.Server.URL)
	if diff := cmp.Diff(want, got.Raw); got.Status != 201 || diff != "" {
		t.Errorf("status %d, body (-want +got):\n%s", got.Status, diff)
	}
	entry := w.Sim.Ledger()[0]
	entry.Time = time.Time{}
	wantEntry := sim.Entry{
		Seq: 1, Profile: luma.Name, Path: simtest.ModifyPath, Key: simtest.APIKey, Result: sim.ResultCreated, Code: 201, TaskID: g.ID, Paid: true,
		Prompt: "snow & ice", VideoURL: simtest.SourceURL, CallbackURL: w.Hook.Server.URL + "/cb?token=a&b=c",
		Model: "ray-2", Strength: "flex_1", FirstFrameURL: "https://example.com/f.png",
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestLumaModify_NeedsOnlyWhatTheGuideNeeds(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, mode := range []string{"adhere_1", "flex_2", "reimagine_3"} {
		w.Create(simtest.ModifyPath, simtest.Object{"model": "ray-flash-2", "mode": mode, "media": simtest.Object{"url": simtest.SourceURL}})
	}
}

func TestLumaModify_RefusesWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change simtest.Object
		config func(*simtest.Config)
		status int
		detail string
	}{
		{"other type", simtest.Object{"generation_type": "video"}, nil, 422, "generation_type"},
		{"no media", simtest.Object{"media": nil}, nil, 422, "media.url"},
		{"relative media", simtest.Object{"media": simtest.Object{"url": "a.mp4"}}, nil, 422, "media.url"},
		{"no model", simtest.Object{"model": nil}, nil, 422, "model"},
		{"unknown model", simtest.Object{"model": "ray-3.2"}, nil, 422, "model"},
		{"no mode", simtest.Object{"mode": nil}, nil, 422, "mode"},
		{"unknown mode", simtest.Object{"mode": "flex_4"}, nil, 422, "mode"},
		{"bad frame", simtest.Object{"first_frame": simtest.Object{"url": "x"}}, nil, 422, "first_frame.url"},
		{"bad callback", simtest.Object{"callback_url": "/x"}, nil, 422, "callback_url"},
		{"wrong type of field", simtest.Object{"mode": 1}, nil, 400, "JSON"},
		{"huge body", simtest.Object{"prompt": strings.Repeat("x", 2<<20)}, nil, 413, "larger"},
		{"empty account", nil, func(c *simtest.Config) { c.Credits = -1 }, 402, "Insufficient"},
		{"other key", nil, func(c *simtest.Config) { c.APIKeys = []string{"another"} }, 401, "API key"},
		{"directive of kie.ai", simtest.Object{"prompt": "[sim:stale]"}, nil, 422, "stale"},
		{"scripted code", simtest.Object{"prompt": "[sim:code=500]"}, nil, 500, "Error 500"},
		{"scripted code that is no status", simtest.Object{"prompt": "[sim:code=7]"}, nil, 500, "Error 7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tt.config)
			got := w.Post(simtest.ModifyPath, w.With(w.ModifyRequest("p"), tt.change))
			if got.Status != tt.status || !strings.HasPrefix(got.Raw, `{"detail":"`) || !strings.Contains(got.Raw, tt.detail) {
				t.Errorf("got status %d, %s; want %d and %s", got.Status, got.Raw, tt.status, tt.detail)
			}
			entries := w.Sim.Ledger()
			if len(entries) != 1 || entries[0].Paid || entries[0].Result != sim.ResultRefused || entries[0].Profile != luma.Name {
				t.Errorf("ledger %+v: want one unpaid refusal", entries)
			}
		})
	}
}

func TestLumaModify_LimitsTheWindowAndTheConcurrency(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
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
		got := w.Post(simtest.ModifyPath, w.ModifyRequest(step.prompt))
		var after int
		if _, err := fmt.Sscan(got.Header.Get("Retry-After"), &after); err != nil && step.status == 429 {
			t.Errorf("step %d: no Retry-After", i)
		}
		if got.Status != step.status || after < step.least || after > step.worst {
			t.Errorf("step %d: got status %d, Retry-After %d; want %d, %d to %d", i, got.Status, after, step.status, step.least, step.worst)
		}
	}
	limits := w.Sim.Limits()
	want := []sim.Concurrency{{Profile: luma.Name, Key: simtest.APIKey, Limit: 2, Now: 2, Peak: 2, Refused: 2}}
	if diff := cmp.Diff(want, limits.Concurrency); diff != "" {
		t.Errorf("concurrency (-want +got):\n%s", diff)
	}
	if got := limits.Submissions; len(got) != 1 || got[0].Profile != luma.Name || got[0].Accepted != 4 || got[0].Refused != 1 {
		t.Errorf("submissions %+v: want 4 accepted by the window, 1 refused", got)
	}
}

func TestLumaModify_FreesTheSlotWhenTheGenerationEnds(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Luma.MaxConcurrent = 1 })
	for _, directive := range []string{"processing=10ms", "fail", "code=500", "processing=0s"} {
		g := simtest.ParseGeneration(t, w.Post(simtest.ModifyPath, w.ModifyRequest("[sim:"+directive+"]")).Raw)
		if g.ID == "" {
			continue
		}
		w.Await("slot", func() bool { return w.Sim.Limits().Concurrency[0].Now == 0 })
	}
	if got := w.Paid(luma.Name); got != 3 {
		t.Errorf("%d paid, want 3", got)
	}
	w.Sim.SetCredits(0)
	if got := w.Post(simtest.ModifyPath, w.ModifyRequest("p")); got.Status != 402 || w.Sim.Limits().Concurrency[0].Now != 0 {
		t.Errorf("without credits: got status %d, slots %+v; want 402 and none taken", got.Status, w.Sim.Limits().Concurrency)
	}
}

func TestLuma_LimitsAreTheDocumentedOnesByDefault(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Luma, c.LumaAgents = luma.Profile{}, lumaagents.Profile{} })
	w.Modified("p")
	w.Edited("p")
	limits := w.Sim.Limits()
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
		check     func(got simtest.Answer, err error) bool
	}{
		{"html403", 0, func(got simtest.Answer, err error) bool {
			return err == nil && got.Status == 403 && strings.Contains(got.Raw, "1010")
		}},
		{"code=429", 0, func(got simtest.Answer, err error) bool {
			return err == nil && got.Status == 429 && got.Header.Get("Retry-After") == "1"
		}},
		{"drop", 0, func(_ simtest.Answer, err error) bool { return err != nil }},
		{"drop-after", 1, func(_ simtest.Answer, err error) bool { return err != nil }},
		{"truncate", 1, func(got simtest.Answer, err error) bool {
			return err == nil && got.Status == 201 && strings.HasPrefix(got.Raw, `{"id":"`) && !strings.HasSuffix(got.Raw, "}")
		}},
		{"delay=50ms", 1, func(got simtest.Answer, err error) bool { return err == nil && got.Status == 201 }},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			prompt := "[sim:" + tt.directive + "]"
			for path, body := range map[string]simtest.Object{simtest.ModifyPath: w.ModifyRequest(prompt), simtest.AgentsPath: w.EditRequest(prompt)} {
				begun := time.Now()
				if got, err := w.Send(path, body); !tt.check(got, err) {
					t.Errorf("%s: got %+v, error %v", path, got, err)
				}
				if took := time.Since(begun); tt.directive == "delay=50ms" && took < 50*time.Millisecond {
					t.Errorf("%s: answered after %v", path, took)
				}
			}
			if l, a := w.Paid(luma.Name), w.Paid(lumaagents.Name); l != tt.paid || a != tt.paid {
				t.Errorf("paid %d and %d, want %d each", l, a, tt.paid)
			}
		})
	}
}

func TestLumaDelete_RemovesTheRecordAndNothingElse(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	g := w.Modified("[sim:late=30ms]")
	w.Reached(w.LumaGet, g.ID, "completed")
	remove := func(id, key string) simtest.Answer {
		got, err := w.Call(http.MethodDelete, w.Sim.BaseURL(luma.Name)+"/generations/"+id, key, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := remove(g.ID, "bad"); got.Status != 401 {
		t.Errorf("bad key: status %d, want 401", got.Status)
	}
	if got := remove(g.ID, simtest.APIKey); got.Status != 204 || got.Raw != "" {
		t.Errorf("got status %d, %q; want an empty 204", got.Status, got.Raw)
	}
	if first, second := w.LumaGet(g.ID).Status, remove(g.ID, simtest.APIKey).Status; first != 404 || second != 404 {
		t.Errorf("afterwards: GET %d, DELETE %d, want 404", first, second)
	}
	for w.NextGeneration().State != "completed" { // It still calls back.
	}
	var results []sim.Result
	for _, e := range w.Sim.Ledger() {
		results = append(results, e.Result)
	}
	want := []sim.Result{sim.ResultCreated, sim.ResultRefused, sim.ResultDeleted, sim.ResultRefused}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

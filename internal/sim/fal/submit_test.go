package fal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// kling is a model whose answers do not describe the video, and grok one whose answers do.
const (
	kling = "fal-ai/kling-video/o1/video-to-video/edit"
	grok  = "xai/grok-imagine-video/edit-video"
)

func TestSubmit_AnswersWithTheURLsOfTheApplication(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	input := w.With(w.FalInput("snow & ice"), simtest.Object{"mode": "flex_2", "image_url": "https://example.com/f.png"})
	header := http.Header{
		"X-Fal-Object-Lifecycle-Preference": {`{"expiration_duration_seconds":3600}`}, "X-Fal-No-Retry": {"1"},
		"X-Fal-Request-Timeout": {"60"}, "X-Fal-Store-Io": {"0"}, "Accept": {"application/json"},
	}
	got := w.FalPost(simtest.FalModel, "", header, input)
	id := simtest.ParseFal(w, got).RequestID
	if err := uuid.Validate(id); err != nil {
		t.Errorf("id %q: want a UUID", id)
	}
	base := w.Sim.URL() + "/fal/fal-ai/luma-dream-machine/requests/" + id
	want := fmt.Sprintf(`{"status":"IN_QUEUE","request_id":%q,"response_url":%q,"status_url":%q,"cancel_url":%q,"queue_position":0,"gateway_request_id":%q}`,
		id, base, base+"/status", base+"/cancel", id)
	if diff := cmp.Diff(want, got.Raw); got.Status != 200 || diff != "" {
		t.Errorf("status %d, body (-want +got):\n%s", got.Status, diff)
	}
	if got.Header.Get("X-Fal-Request-Id") != id {
		t.Errorf("headers %v: want the id of the request", got.Header)
	}
	entry := w.Sim.Ledger()[0]
	entry.Time = time.Time{}
	delete(header, "Accept")
	wantEntry := sim.Entry{
		Seq: 1, Profile: fal.Name, Path: "/fal/" + simtest.FalModel, Key: simtest.APIKey, Result: sim.ResultCreated, Code: 200, TaskID: id, Paid: true,
		Prompt: "snow & ice", VideoURL: simtest.SourceURL, CallbackURL: w.Hook.Server.URL + "/cb?token=a&b=c",
		Model: simtest.FalModel, Strength: "flex_2", FirstFrameURL: "https://example.com/f.png",
		Header: header, Input: sim.JSON(input),
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestSubmit_RefusesWhatTheQueueRefuses(t *testing.T) {
	t.Parallel()
	header := func(name, value string) http.Header { return http.Header{http.CanonicalHeaderKey(name): {value}} }
	tests := []struct {
		name   string
		model  string
		query  string
		header http.Header
		input  any
		config func(*simtest.Config)
		status int
		detail string
	}{
		{name: "other key", config: func(c *simtest.Config) { c.APIKeys = []string{"another"} }, status: 401, detail: "Authentication"},
		{name: "empty account", config: func(c *simtest.Config) { c.Credits = -1 }, status: 403, detail: "User is locked. Reason: Exhausted balance"},
		{name: "one segment", model: "fal-ai", status: 404, detail: "Application not found"},
		{name: "unknown model", model: "a/b", config: func(c *simtest.Config) { c.Fal.OnlyKnownModels = true }, status: 404, detail: "Application not found"},
		{name: "withdrawn model", config: func(c *simtest.Config) { c.Fal.Withdrawn = []string{simtest.FalModel} }, status: 404, detail: "Application not found"},
		{name: "withdrawn for one task", input: "[sim:withdrawn]", status: 404, detail: "Application not found"},
		{name: "no object", input: []string{}, status: 422, detail: "object"},
		{name: "webhook", query: "&fal_webhook=x", status: 200},
		{name: "lifecycle", header: header("X-Fal-Object-Lifecycle-Preference", "1h"), status: 422, detail: "expiration_duration_seconds"},
		{name: "timeout", header: header("X-Fal-Request-Timeout", "0"), status: 422, detail: "X-Fal-Request-Timeout"},
		{name: "queue length", query: "&fal_max_queue_length=x", status: 422, detail: "fal_max_queue_length"},
		{name: "unknown directive", input: "[sim:regress]", status: 422, detail: "regress"},
		{name: "no balance by directive", input: "[sim:code=402]", status: 403, detail: "Exhausted balance"},
		{name: "busy", input: "[sim:code=429]", status: 429, detail: "Too many"},
		{name: "down", input: "[sim:code=502]", status: 502, detail: "502"},
		{name: "maintenance", input: "[sim:maintenance=1h]", status: 503, detail: "unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tt.config)
			model := tt.model
			if model == "" {
				model = simtest.FalModel
			}
			input := tt.input
			if prompt, ok := input.(string); ok || input == nil {
				input = w.FalInput(prompt)
			}
			got := w.FalPost(model, tt.query, tt.header, input)
			if got.Status != tt.status || (tt.status != 200 && !strings.HasPrefix(got.Raw, `{"detail":"`)) || !strings.Contains(got.Raw, tt.detail) {
				t.Errorf("got status %d, %s; want %d and %s", got.Status, got.Raw, tt.status, tt.detail)
			}
			if refused := tt.status != 200; refused && got.Header.Get("X-Fal-Request-Id") != "" {
				t.Errorf("headers %v: want no id of a request", got.Header)
			}
			if e := w.Sim.Ledger()[0]; e.Paid != (tt.status == 200) || e.Code != tt.status {
				t.Errorf("ledger %+v", e)
			}
		})
	}
}

func TestSubmit_RefusesALongQueue(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for range 2 {
		w.Queued(simtest.FalModel, "[sim:queued=1h]")
	}
	for limit, want := range map[int]int{1: 429, 2: 200} {
		if got := w.FalPost(simtest.FalModel, fmt.Sprintf("&fal_max_queue_length=%d", limit), nil, w.FalInput("p")); got.Status != want {
			t.Errorf("limit %d: status %d, %s; want %d", limit, got.Status, got.Raw, want)
		}
	}
}

func TestSubmit_TakesAnyModelAndFindsWrongInputsLate(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	tests := []struct {
		model  string
		change simtest.Object
		detail string // Of the result; empty for a success.
	}{
		{simtest.FalModel, simtest.Object{"prompt": nil}, ""},
		{"someone/new-model", simtest.Object{"prompt": nil, "mode": "any"}, ""},
		{"someone/new-model", simtest.Object{"video_url": nil}, `{"loc":["body","video_url"],"msg":"Field required","type":"missing"}`},
		{kling, simtest.Object{"prompt": nil}, `{"loc":["body","prompt"],"msg":"Field required","type":"missing"}`},
		{grok, simtest.Object{"video_url": "in.mp4"}, `{"loc":["body","video_url"],"msg":"Input should be a valid URL","type":"url_parsing"}`},
		{"luma/agent/ray/v3.2/video-to-video", simtest.Object{"resolution": "720p", "edit_strength": "flex_1"}, ""},
		{"luma/agent/ray/v3.2/video-to-video", simtest.Object{"resolution": "4k"}, `"type":"literal_error"`},
		{simtest.FalModel, simtest.Object{"mode": "flex_4"}, `"loc":["body","mode"]`},
	}
	for _, tt := range tests {
		request := w.QueuedInput(tt.model, w.With(w.FalInput("p"), tt.change), nil)
		w.FalReached(request, "COMPLETED")
		got := w.FalGet(request.ResponseURL)
		if want := map[bool]int{true: 200, false: 422}[tt.detail == ""]; got.Status != want || !strings.Contains(got.Raw, tt.detail) {
			t.Errorf("%s with %v: status %d, %s; want %d, %s", tt.model, tt.change, got.Status, got.Raw, want, tt.detail)
		}
	}
	if got := w.Paid(fal.Name); got != len(tests) {
		t.Errorf("%d paid, want %d", got, len(tests))
	}
}

func TestWithdraw_EndsSubmissionsButNotRequests(t *testing.T) {
	t.Parallel()
	control := fal.NewControl()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.Control = control })
	running := w.Queued(simtest.FalModel, "[sim:queued=50ms]")
	control.Withdraw(simtest.FalModel)
	if got := w.FalPost(simtest.FalModel, "", nil, w.FalInput("p")); got.Status != 404 {
		t.Errorf("status %d, %s; want 404", got.Status, got.Raw)
	}
	w.Queued(kling, "another model")
	if got := w.FalReached(running, "COMPLETED"); got.Error != "" {
		t.Errorf("the request before: %+v", got)
	}
	control.Restore(simtest.FalModel)
	w.Queued(simtest.FalModel, "p")
}

func TestRequestTimeout_EndsARequestThatDoesNotStart(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	header := http.Header{"X-Fal-Request-Timeout": {"0.001"}}
	request := w.QueuedInput(simtest.FalModel, w.FalInput("[sim:queued=1h]"), header)
	if got := w.FalReached(request, "COMPLETED"); got.ErrorType != "request_timeout" {
		t.Errorf("got %+v, want request_timeout", got)
	}
	got := w.FalGet(request.ResponseURL)
	if got.Status != 504 || got.Header.Get("X-Fal-Request-Timeout-Type") != "user" || got.Header.Get("X-Fal-Error-Type") != "request_timeout" {
		t.Errorf("status %d, headers %v", got.Status, got.Header)
	}
	started := w.QueuedInput(simtest.FalModel, w.FalInput("[sim:processing=50ms]"), http.Header{"X-Fal-Request-Timeout": {"60"}})
	if got := w.FalReached(started, "COMPLETED"); got.Error != "" {
		t.Errorf("a request that started: %+v", got)
	}
}

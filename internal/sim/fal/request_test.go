package fal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestStatus_ShowsEveryState(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	tests := []struct {
		directive, status string
		http              int
		errorType, text   string
		result            int
	}{
		{"queued=1h", "IN_QUEUE", 202, "", "", 400},
		{"processing=1h", "IN_PROGRESS", 202, "", "", 400},
		{"lag=1h", "IN_PROGRESS", 202, "", "", 400},
		{"processing=0s", "COMPLETED", 200, "", "", 200},
		{"fail", "COMPLETED", 200, "internal_error", "Generation failed", 500},
		{"fail=422", "COMPLETED", 200, "file_download_error", "Generation failed", 422},
		{"fail=503,reason=gone", "COMPLETED", 200, "runner_disconnected", "gone", 503},
		{"fail=7", "COMPLETED", 200, "internal_error", "Generation failed", 500},
		{"fail=content_policy_violation,reason=flagged", "COMPLETED", 200, "content_policy_violation", "flagged", 422},
		{"completed-with-error", "COMPLETED", 200, "runner_disconnected", "Generation failed", 503},
		{"completed-with-error=startup_timeout", "COMPLETED", 200, "startup_timeout", "Generation failed", 504},
		{"completed-with-error=runner_incomplete_response", "COMPLETED", 200, "runner_incomplete_response", "Generation failed", 502},
		{"completed-with-error=bad_request", "COMPLETED", 200, "bad_request", "Generation failed", 400},
	}
	for _, tt := range tests {
		request := w.Queued(simtest.FalModel, "[sim:"+tt.directive+"]")
		got := w.FalReached(request, tt.status)
		if got.ErrorType != tt.errorType || got.Error != tt.text || got.RequestID != request.RequestID || got.CancelURL != request.CancelURL {
			t.Errorf("%s: got %+v, want error_type %q, error %q", tt.directive, got, tt.errorType, tt.text)
		}
		if (got.QueuePosition != nil) != (tt.status == "IN_QUEUE") || (got.Metrics != nil) != (tt.status == "COMPLETED") {
			t.Errorf("%s: position %v, metrics %v", tt.directive, got.QueuePosition, got.Metrics)
		}
		if status := w.FalGet(request.StatusURL).Status; status != tt.http {
			t.Errorf("%s: status %d, want %d", tt.directive, status, tt.http)
		}
		if result := w.FalGet(request.ResponseURL); result.Status != tt.result || result.Header.Get("X-Fal-Error-Type") != platform(tt.errorType) {
			t.Errorf("%s: result with status %d, headers %v; want %d", tt.directive, result.Status, result.Header, tt.result)
		}
	}
	if got := w.Sim.Limits().Queries; len(got) != 1 || got[0].Profile != fal.Name || got[0].Accepted == 0 {
		t.Errorf("queries %+v: want all of them counted", got)
	}
}

// platform returns an error_type when it is one of the platform, which sets a header, and not one of a model.
func platform(errorType string) string {
	if errorType == "content_policy_violation" || errorType == "file_download_error" {
		return ""
	}
	return errorType
}

func TestStatus_HasLogsOnRequest(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	request := w.Queued(simtest.FalModel, "p")
	w.FalReached(request, "COMPLETED")
	if got := simtest.ParseFal(w, w.FalGet(request.StatusURL)); got.Logs != nil {
		t.Errorf("logs %v: want null", got.Logs)
	}
	if got := simtest.ParseFal(w, w.FalGet(request.StatusURL+"?logs=1")); len(got.Logs) != 1 {
		t.Errorf("logs %v: want one line", got.Logs)
	}
}

func TestStatus_IsCountedButNotInTheLedger(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Queued(simtest.FalModel, "p")
	w.Callback()
	if got := w.Sim.Limits().Queries; len(got) != 0 {
		t.Errorf("queries %+v: want none before the first", got)
	}
}

func TestStatus_StreamsEachChange(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for directive, want := range map[string][]string{
		"queued=50ms,processing=50ms": {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"},
		"lag=50ms":                    {"IN_PROGRESS", "COMPLETED"},
	} {
		request := w.Queued(simtest.FalModel, "[sim:"+directive+"]")
		got := w.FalGet(request.StatusURL + "/stream")
		var statuses []string
		for event := range strings.SplitSeq(strings.TrimSuffix(got.Raw, "\n\n"), "\n\n") {
			data, ok := strings.CutPrefix(event, "data: ")
			if !ok {
				t.Fatalf("event %q", event)
			}
			statuses = append(statuses, simtest.ParseFal(w, simtest.Answer{Raw: data}).Status)
		}
		// The first states may be over before the stream begins.
		if got.Header.Get("Content-Type") != "text/event-stream" || len(statuses) == 0 || !cmp.Equal(statuses, want[len(want)-min(len(statuses), len(want)):]) {
			t.Errorf("%s: %v, want the end of %v", directive, statuses, want)
		}
	}
	if got := w.FalGet(w.Sim.BaseURL(fal.Name) + "/a/b/requests/none/status/stream"); got.Status != 404 {
		t.Errorf("unknown: status %d, want 404", got.Status)
	}
}

func TestQueue_PositionsFall(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.Runners = 1 })
	position := func(r simtest.FalRequest) int { return *simtest.ParseFal(w, w.FalGet(r.StatusURL)).QueuePosition }
	runs := w.Queued(simtest.FalModel, "[sim:processing=1h]")
	w.FalReached(runs, "IN_PROGRESS")
	first, second := w.Queued(simtest.FalModel, "[sim:processing=1h]"), w.Queued(kling, "p")
	if a, b := *first.QueuePosition, *second.QueuePosition; a != 0 || b != 1 {
		t.Errorf("positions %d and %d at first, want 0 and 1", a, b)
	}
	w.FalCall(http.MethodPut, first.CancelURL, nil, nil)
	if got := position(second); got != 0 {
		t.Errorf("position %d after the other left, want 0", got)
	}
	scripted := w.Queued(simtest.FalModel, "[sim:queued=1h,position=2]")
	got := []int{*scripted.QueuePosition, position(scripted), position(scripted), position(scripted)}
	if diff := cmp.Diff([]int{3, 2, 1, 1}, got); diff != "" { // One of them is the other request.
		t.Errorf("scripted positions (-want +got):\n%s", diff)
	}
}

func TestQueue_HoldsARequestUntilARunnerIsFree(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.Runners, c.Fal.CancelRunning = 1, true })
	runs := w.Queued(simtest.FalModel, "[sim:processing=1h]")
	w.FalReached(runs, "IN_PROGRESS")
	waits := w.Queued(simtest.FalModel, "[sim:late=0s]")
	for range 20 {
		if got := simtest.ParseFal(w, w.FalGet(waits.StatusURL)); got.Status != "IN_QUEUE" {
			t.Fatalf("got %+v, want it to wait", got)
		}
	}
	w.FalCall(http.MethodPut, runs.CancelURL, nil, nil)
	if got := w.FalReached(waits, "COMPLETED"); got.Error != "" {
		t.Errorf("got %+v", got)
	}
}

func TestResult_IsTheOutputOfTheModel(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for model, measures := range map[string]string{
		kling: "", grok: `,"width":160,"height":90,"fps":12,"duration":1,"num_frames":12`,
	} {
		request := w.Queued(model, "p")
		w.FalReached(request, "COMPLETED")
		got := w.FalGet(request.ResponseURL)
		video := *simtest.ParseFal(w, got).Video
		link, _ := video["url"].(string)
		clip := sim.ResultClip(request.RequestID, 0)
		want := fmt.Sprintf(`{"video":{"url":%q,"content_type":"video/mp4","file_name":%q,"file_size":%d%s}}`, link, video["file_name"], len(clip), measures)
		if diff := cmp.Diff(want, got.Raw); got.Status != 200 || diff != "" {
			t.Errorf("%s: status %d, body (-want +got):\n%s", model, got.Status, diff)
		}
		if got.Header.Get("X-Fal-Request-Id") != request.RequestID || got.Header.Get("X-Fal-Billable-Units") == "" {
			t.Errorf("%s: headers %v", model, got.Header)
		}
		if got := w.Get(link); got.Raw != string(clip) {
			t.Errorf("%s: %d bytes at %s, want the clip", model, len(got.Raw), link)
		}
	}
}

func TestResult_IsRefusedForOtherRequests(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	request := w.Queued(simtest.FalModel, "p")
	w.FalReached(request, "COMPLETED")
	base := w.Sim.BaseURL(fal.Name)
	for address, want := range map[string]int{
		base + "/fal-ai/luma-dream-machine/requests/none":                              404,
		base + "/fal-ai/kling-video/requests/" + request.RequestID:                     404,
		base + "/" + simtest.FalModel + "/requests/" + request.RequestID:               405, // The sub-path belongs to submissions.
		base + "/" + simtest.FalModel + "/requests/" + request.RequestID + "/status":   405,
		base + "/fal-ai/luma-dream-machine/requests/" + request.RequestID + "/status":  200,
		base + "/fal-ai/luma-dream-machine/requests/" + request.RequestID + "?logs=1":  200,
		base + "/fal-ai/luma-dream-machine/requests/" + request.RequestID + "/nothing": 405,
	} {
		if got := w.FalGet(address); got.Status != want {
			t.Errorf("%s: status %d, %s; want %d", address, got.Status, got.Raw, want)
		}
	}
	if got := w.Get(request.StatusURL); got.Status != 401 { // With the scheme Bearer.
		t.Errorf("another scheme: status %d, want 401", got.Status)
	}
	hidden := w.Queued(simtest.FalModel, "[sim:invisible=1h]")
	if got := w.FalGet(hidden.StatusURL); got.Status != 404 {
		t.Errorf("invisible: status %d, want 404", got.Status)
	}
}

func TestResult_LinksLiveAsLongAsTheClientWants(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.LinkTTL = 1 })
	for life, want := range map[string]int{"": 404, `{"expiration_duration_seconds":3600}`: 200} {
		header := http.Header{}
		if life != "" {
			header.Set("X-Fal-Object-Lifecycle-Preference", life)
		}
		request := w.QueuedInput(simtest.FalModel, w.FalInput("p"), header)
		w.FalReached(request, "COMPLETED")
		video := *simtest.ParseFal(w, w.FalGet(request.ResponseURL)).Video
		if got := w.Get(video["url"].(string)); got.Status != want {
			t.Errorf("lifecycle %s: status %d, want %d", life, got.Status, want)
		}
	}
}

func TestCancel_EndsWhatIsQueued(t *testing.T) {
	t.Parallel()
	const queued, running, ended = "[sim:queued=1h]", "[sim:processing=1h]", "[sim:processing=0s]"
	type outcome struct {
		HTTP    int
		Status  string // Of the answer.
		Success *bool
		After   string // The status of the request.
		Type    string // Its error_type.
	}
	yes, no := true, false
	tests := []struct {
		name, prompt string
		config       func(*simtest.Config)
		want         outcome
		callbacks    int
	}{
		{"queued", queued, nil, outcome{202, "CANCELLATION_REQUESTED", nil, "COMPLETED", "client_cancelled"}, 1},
		{"running", running, nil, outcome{202, "CANCELLATION_REQUESTED", nil, "IN_PROGRESS", ""}, 0},
		{"running, obeyed", running, func(c *simtest.Config) { c.Fal.CancelRunning = true }, outcome{202, "CANCELLATION_REQUESTED", nil, "COMPLETED", "client_cancelled"}, 1},
		{"ended", ended, nil, outcome{400, "ALREADY_COMPLETED", nil, "COMPLETED", ""}, 1},
		{"silent", queued, func(c *simtest.Config) { c.Fal.SilentCancel = true }, outcome{202, "CANCELLATION_REQUESTED", nil, "COMPLETED", "client_cancelled"}, 0},
		{"success form", queued, func(c *simtest.Config) { c.Fal.Cancel = fal.CancelBySuccess }, outcome{200, "", &yes, "COMPLETED", "client_cancelled"}, 1},
		{"success form, ended", ended, func(c *simtest.Config) { c.Fal.Cancel = fal.CancelBySuccess }, outcome{200, "", &no, "COMPLETED", ""}, 1},
	}
	before := map[string]string{queued: "IN_QUEUE", running: "IN_PROGRESS", ended: "COMPLETED"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tt.config)
			request := w.Queued(simtest.FalModel, tt.prompt)
			w.FalReached(request, before[tt.prompt])
			got := w.FalCall(http.MethodPut, request.CancelURL, nil, nil)
			answer, after := simtest.ParseFal(w, got), simtest.ParseFal(w, w.FalGet(request.StatusURL))
			if diff := cmp.Diff(tt.want, outcome{got.Status, answer.Status, answer.Success, after.Status, after.ErrorType}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if after.ErrorType != "" {
				if result := w.FalGet(request.ResponseURL); result.Status != 499 {
					t.Errorf("result with status %d, want 499", result.Status)
				}
			}
			w.Await("callbacks", func() bool { return len(w.Sim.Deliveries()) == tt.callbacks && w.Sim.Delivering() == 0 })
			entry := w.Sim.Ledger()[1]
			want := map[bool]sim.Result{true: sim.ResultCanceled, false: sim.ResultRefused}[tt.want.After != "COMPLETED" || tt.want.Type != ""]
			if entry.Result != want || entry.TaskID != request.RequestID || entry.Paid {
				t.Errorf("ledger %+v: want %s", entry, want)
			}
		})
	}
}

func TestCancel_RefusesAnUnknownRequest(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	got := w.FalCall(http.MethodPut, w.Sim.BaseURL(fal.Name)+"/fal-ai/kling-video/requests/none/cancel", nil, nil)
	if got.Status != 404 || got.Raw != `{"status":"NOT_FOUND"}` {
		t.Errorf("status %d, %s", got.Status, got.Raw)
	}
}

func TestSourceFetch_FailsWithADownloadError(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Source = sim.SourceFetch })
	request := w.QueuedInput(grok, simtest.Object{"prompt": "p", "video_url": w.Sim.URL() + "/files/none"}, nil)
	if got := w.FalReached(request, "COMPLETED"); got.ErrorType != "file_download_error" {
		t.Errorf("got %+v", got)
	}
	clip := sim.SampleClip()
	request = w.QueuedInput(grok, simtest.Object{"prompt": "p", "video_url": simtest.Source(t, clip)}, nil)
	w.FalReached(request, "COMPLETED")
	video := *simtest.ParseFal(w, w.FalGet(request.ResponseURL)).Video
	if _, measured := video["duration"]; measured || video["file_size"] != float64(len(clip)) {
		t.Errorf("video %v: want its size, and no measures", video)
	}
}

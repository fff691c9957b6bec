package kie_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestGenerate_CreatesATaskWithAFreshHexID(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	a, b := w.Submit("one"), w.Submit("two")
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(a) || a == b {
		t.Errorf("task ids %q and %q: want different 32 hex characters", a, b)
	}
}

func TestGenerate_RefusesWhatTheProviderRefuses(t *testing.T) {
	t.Parallel()
	good := `{"prompt":"p","videoUrl":"https://example.com/a.mp4"}`
	tests := []struct {
		name, key, body string
		change          func(*simtest.Config)
		want            string
	}{
		{"unknown key", "other", good, nil, `{"code":401,"msg":"You do not have access permissions"}`},
		{"no key", "", good, nil, `{"code":401,"msg":"You do not have access permissions"}`},
		{"broken JSON", simtest.APIKey, `{"prompt":`, nil, `"code":422,`},
		{"no prompt", simtest.APIKey, `{"videoUrl":"https://example.com/a.mp4"}`, nil, `{"code":422,"msg":"prompt is required","data":null}`},
		{"no video", simtest.APIKey, `{"prompt":"p"}`, nil, `"msg":"videoUrl is required"`},
		{"relative video", simtest.APIKey, `{"prompt":"p","videoUrl":"a.mp4"}`, nil, `"msg":"videoUrl is not a valid URL"`},
		{"huge body", simtest.APIKey, `{"prompt":"` + strings.Repeat("x", 2<<20) + `"}`, nil, `"code":422`},
		{"non-ASCII", simtest.APIKey, `{"prompt":"größer","videoUrl":"https://example.com/a.mp4"}`, func(c *simtest.Config) { c.Kie.RejectNonASCII = true }, `"code":422`},
		{"empty account", simtest.APIKey, good, func(c *simtest.Config) { c.Credits = -1 }, `"code":402`},
		{"unknown directive", simtest.APIKey, `{"prompt":"[sim:nonsense]","videoUrl":"https://example.com/a.mp4"}`, nil, `"code":422`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, tt.change)
			got, err := w.Call(http.MethodPost, w.Sim.URL()+simtest.GeneratePath, tt.key, []byte(tt.body), "application/json")
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != 200 || !strings.Contains(got.Raw, tt.want) {
				t.Errorf("got status %d, %s; want 200 and %s", got.Status, got.Raw, tt.want)
			}
			entries := w.Sim.Ledger()
			if len(entries) != 1 || entries[0].Paid || entries[0].Result != sim.ResultRefused || entries[0].Code != got.Code {
				t.Errorf("ledger %+v: want one unpaid refusal with code %d", entries, got.Code)
			}
		})
	}
}

func TestGenerate_PutsTheErrorCodeWhereConfigured(t *testing.T) {
	t.Parallel()
	tests := []struct {
		transport kie.ErrorTransport
		status    int
		code      int
	}{{kie.ErrorsInBody, 200, 455}, {kie.ErrorsInStatus, 455, 0}, {kie.ErrorsInBoth, 455, 455}}
	for _, tt := range tests {
		t.Run(string(tt.transport), func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.Errors = tt.transport })
			got := w.Post(simtest.GeneratePath, w.Request("[sim:code=455]"))
			if got.Status != tt.status || got.Code != tt.code || got.Msg == "" {
				t.Errorf("got status %d, %s; want status %d, code %d", got.Status, got.Raw, tt.status, tt.code)
			}
		})
	}
}

func TestGenerate_AnswersAnyScriptedCodeAndCreatesNothing(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, code := range []string{"400", "401", "402", "404", "408", "422", "429", "433", "455", "500", "501", "505", "777"} {
		got := w.Post(simtest.GeneratePath, w.Request("[sim:code="+code+"]"))
		if !strings.HasPrefix(got.Raw, `{"code":`+code+`,`) {
			t.Errorf("code %s: got %s", code, got.Raw)
		}
	}
	if paid := sim.CountPaid(w.Sim.Ledger(), sim.ByVideoURL); len(paid) != 0 || w.Sim.Credits() != 1000 {
		t.Errorf("paid %v, credits %d: want nothing taken", paid, w.Sim.Credits())
	}
}

func TestGenerate_RefusesTheCallBeyondTheWindow(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.APIKeys = []string{simtest.APIKey, "key-2"}
		c.Kie.SubmitLimit = sim.Limit{N: 3, Window: time.Hour}
	})
	var codes []int
	for range 5 {
		codes = append(codes, w.Post(simtest.GeneratePath, w.Request("p")).Code)
	}
	if diff := cmp.Diff([]int{200, 200, 200, 429, 429}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	other, err := w.Call(http.MethodPost, w.Sim.URL()+simtest.GeneratePath, "key-2", []byte(`{"prompt":"p","videoUrl":"http://x/"}`), "application/json")
	if err != nil || other.Code != 200 {
		t.Errorf("another key: got %s, %v; want its own window", other.Raw, err)
	}
	want := []sim.Usage{
		{Profile: kie.Name, Key: simtest.APIKey, Limit: 3, Window: time.Hour, Accepted: 3, Refused: 2, PeakAccepted: 3, PeakArrived: 5},
		{Profile: kie.Name, Key: "key-2", Limit: 3, Window: time.Hour, Accepted: 1, PeakAccepted: 1, PeakArrived: 1},
	}
	if diff := cmp.Diff(want, w.Sim.Limits().Submissions); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestGenerate_TakesCreditsUntilThereAreNone(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Credits, c.TaskPrice = 5, 2 })
	w.Submit("a")
	w.Submit("b")
	if got := w.Post(simtest.GeneratePath, w.Request("c")); got.Code != 402 {
		t.Errorf("third task: got %s, want 402", got.Raw)
	}
	if got := w.Get(w.Sim.URL() + "/api/v1/chat/credit"); got.Raw != `{"code":200,"msg":"success","data":1}` {
		t.Errorf("credit: got %s, want 1 left", got.Raw)
	}
	w.Sim.SetCredits(2)
	w.Submit("d")
	if got := w.Get(w.Sim.URL() + "/api/v1/chat/credit"); got.Raw != `{"code":200,"msg":"success","data":0}` {
		t.Errorf("credit: got %s, want 0", got.Raw)
	}
}

func TestGenerate_FailsTheAnswerAsScripted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		paid      bool
		check     func(got simtest.Answer, err error) bool
	}{
		{"html403", false, func(got simtest.Answer, err error) bool {
			return err == nil && got.Status == 403 && strings.Contains(got.Raw, "error code: 1010") && got.Code == 0
		}},
		{"drop", false, func(_ simtest.Answer, err error) bool { return err != nil }},
		{"drop-after", true, func(_ simtest.Answer, err error) bool { return err != nil }},
		{"truncate", true, func(got simtest.Answer, err error) bool {
			return err == nil && got.Status == 200 && strings.HasPrefix(got.Raw, `{"code":200,`) && got.Code == 0
		}},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			body := `{"prompt":"[sim:` + tt.directive + `]","videoUrl":"https://x/","callBackUrl":"` + w.Hook.Server.URL + `"}`
			got, err := w.Call(http.MethodPost, w.Sim.URL()+simtest.GeneratePath, simtest.APIKey, []byte(body), "application/json")
			if !tt.check(got, err) {
				t.Errorf("got %+v, error %v", got, err)
			}
			if paid := sim.CountPaid(w.Sim.Ledger(), sim.ByCallbackURL)[w.Hook.Server.URL]; (paid == 1) != tt.paid {
				t.Errorf("paid %d: want paid %v", paid, tt.paid)
			}
			if tt.paid {
				if got := w.Callback(); got.JSON.Data.TaskID != w.Sim.Ledger()[0].TaskID {
					t.Errorf("callback %s: want the task of the ledger", got.Body)
				}
			}
		})
	}
}

func TestGenerate_HoldsTheAnswerBack(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	begun := time.Now()
	w.Submit("[sim:delay=80ms]")
	if took := time.Since(begun); took < 80*time.Millisecond {
		t.Errorf("answer came after %v, want at least 80ms", took)
	}
}

func TestGenerate_LetsTheCallbackOvertakeItsAnswer(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("[sim:early]")
	select {
	case got := <-w.Hook.Calls:
		if got.JSON.Data.TaskID != id {
			t.Errorf("callback %s: want task %s", got.Body, id)
		}
	default:
		t.Error("the answer came before the callback")
	}
}

func TestScript_FunctionWinsOverDirectives(t *testing.T) {
	t.Parallel()
	seen := make(chan sim.Submission, 1)
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.Script = func(s sim.Submission) sim.Script {
			seen <- s
			return sim.Script{Code: 433}
		}
	})
	got := w.Post(simtest.GeneratePath, map[string]string{
		"prompt": "x [sim:duplicate=2]", "videoUrl": simtest.SourceURL, "callBackUrl": "http://cb.example/", "watermark": "wm",
	})
	if got.Code != 433 {
		t.Errorf("got %s, want 433", got.Raw)
	}
	want := sim.Submission{
		Seq: 1, Profile: kie.Name, Key: simtest.APIKey, Prompt: "x [sim:duplicate=2]", VideoURL: simtest.SourceURL, CallbackURL: "http://cb.example/",
		Watermark: "wm", Directives: sim.Script{Duplicates: 2},
	}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Errorf("submission (-want +got):\n%s", diff)
	}
}

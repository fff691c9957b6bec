package sim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestStart_RefusesWordsItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]simtest.Config{
		"errors":    {Set: profiles.Set{Kie: kie.Profile{Errors: "x"}}},
		"id":        {Set: profiles.Set{Kie: kie.Profile{CallbackID: "x"}}},
		"cancel":    {Set: profiles.Set{Fal: fal.Profile{Cancel: "x"}}},
		"source":    {Config: sim.Config{Source: "x"}},
		"transform": {Config: sim.Config{Transform: "x"}},
		"status":    {Config: sim.Config{ExpiredStatus: 7}},
		"limit":     {Set: profiles.Set{Kie: kie.Profile{SubmitLimit: sim.Limit{Window: time.Second}}}},
		"luma":      {Set: profiles.Set{Luma: luma.Profile{SubmitLimit: sim.Limit{Window: time.Second}}}},
		"address":   {Config: sim.Config{Addr: "256.0.0.1:0"}},
		"ledger":    {Config: sim.Config{LedgerPath: "/nowhere/at/all"}},
	} {
		if s, err := sim.Start(cfg.Config, cfg.List()...); err == nil {
			t.Errorf("%s: started", name)
			_ = s.Close()
		}
	}
}

func TestClose_EndsEverythingAndRemovesItsFolder(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	w := simtest.Setup(t, func(c *simtest.Config) { c.Kie.CallbackSpacing = time.Hour })
	w.Hook.Statuses <- 500
	w.Submit("waits for its second try")
	w.Callback()
	w.Submit("[sim:processing=1h]")
	w.Submit("[sim:late=1h]")
	body, contentType := simtest.Form(t, sim.TinyClip(), [2]string{"uploadPath", "a"})
	if got, err := w.Call(http.MethodPost, w.Sim.URL()+"/api/file-stream-upload", simtest.APIKey, body, contentType); err != nil || got.Code != 200 {
		t.Fatalf("upload: %s, %v", got.Raw, err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := w.Call(http.MethodPost, w.Sim.URL()+simtest.GeneratePath, simtest.APIKey, []byte(`{"prompt":"[sim:delay=1h]","videoUrl":"http://x/"}`), "application/json")
		held <- err
	}()
	w.Await("held submission", func() bool { return len(w.Sim.Ledger()) == 5 })
	if left, _ := filepath.Glob(filepath.Join(tmp, "refract-sim-*", "*")); len(left) != 1 {
		t.Errorf("folder holds %v, want the upload", left)
	}
	if err := w.Sim.Close(); err != nil { // It does not wait for the submission, which would take an hour.
		t.Errorf("close: %v", err)
	}
	if err := <-held; err == nil {
		t.Error("the held submission was answered")
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// goleak in TestMain sees to the goroutines.
}

func TestRun_ServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Sim.Run(ctx) }()
	if got := w.Get(w.Sim.URL() + "/sim/health"); got.Status != 200 {
		t.Errorf("health: status %d", got.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := w.Call(http.MethodGet, w.Sim.URL()+"/sim/health", simtest.APIKey, nil, ""); err == nil {
		t.Error("still serving")
	}
}

func TestLedger_SurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	withFile := func(c *simtest.Config) { c.LedgerPath = path }
	w := simtest.Setup(t, withFile)
	id := w.Submit("before")
	before := w.Sim.Ledger()
	if err := w.Sim.Close(); err != nil {
		t.Fatal(err)
	}
	w = simtest.Setup(t, withFile)
	w.Submit("after")
	got := w.Sim.Ledger()
	if len(got) != 2 || got[0].TaskID != id || got[0].Seq != 1 || got[1].Seq != 2 || !got[0].Time.Equal(before[0].Time) {
		t.Errorf("ledger %+v: want the entry of task %s, then the new one", got, id)
	}
}

func TestLedger_CountsPaidSubmissionsPerKey(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Submit("a")
	w.Submit("a")
	w.Submit("b")
	w.Post(simtest.GeneratePath, w.Request("[sim:code=500]"))
	entries := w.Sim.Ledger()
	if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, sim.CountPaid(entries, sim.ByPrompt)); diff != "" {
		t.Errorf("by prompt (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{simtest.SourceURL: 3}, sim.CountPaid(entries, sim.ByVideoURL)); diff != "" {
		t.Errorf("by video (-want +got):\n%s", diff)
	}
}

func TestInspection_ShowsEverythingOverHTTP(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	_, urls := w.Result("duplicate")
	w.Get(urls[0])
	w.Await("two deliveries", func() bool { return len(w.Sim.Deliveries()) == 2 })
	show := func(what string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(w.Get(w.Sim.URL()+"/sim/"+what).Raw), into); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var book sim.LedgerSummary
	var deliveries []sim.Delivery
	var downloads []sim.Download
	var limits sim.Limits
	var table []sim.Directive
	show("ledger", &book)
	show("deliveries", &deliveries)
	show("downloads", &downloads)
	show("limits", &limits)
	show("directives", &table)
	if book.Paid != 1 || len(book.Entries) != 1 || book.Credits != 999 || book.PaidByVideoURL[simtest.SourceURL] != 1 || book.PaidByProfile["kie"] != 1 {
		t.Errorf("ledger %+v", book)
	}
	if len(deliveries) != 2 || len(downloads) != 1 || limits.PeakInFlight != 1 || len(table) != len(directives(t)) {
		t.Errorf("deliveries %v, downloads %v, limits %v, %d directives", deliveries, downloads, limits, len(table))
	}
}

func TestURL_IsThePublicOneWhenConfigured(t *testing.T) {
	t.Parallel()
	s, err := sim.Start(sim.Config{PublicURL: "http://sim.example:9/"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.URL(); got != "http://sim.example:9" {
		t.Errorf("URL %s", got)
	}
	all, err := sim.Start(sim.Config{Addr: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if got := all.URL(); !strings.HasPrefix(got, "http://127.0.0.1:") {
		t.Errorf("URL %s: want one that can be dialled", got)
	}
}

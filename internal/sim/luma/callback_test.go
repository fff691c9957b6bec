package luma_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestLumaCallback_ReportsEveryChangeUnsigned(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	g := w.Modified("[sim:processing=20ms]")
	for _, state := range []string{"dreaming", "completed"} {
		got := w.Callback()
		if told := simtest.ParseGeneration(t, got.Body); told.ID != g.ID || told.State != state {
			t.Errorf("got %s, want %s of %s", got.Body, state, g.ID)
		}
		for name := range got.Header {
			if strings.HasPrefix(name, "X-Webhook") {
				t.Errorf("header %s: want no signature", name)
			}
		}
		if state == "completed" {
			if diff := cmp.Diff(w.LumaGet(g.ID).Raw, got.Body); diff != "" {
				t.Errorf("differs from GET (-get +callback):\n%s", diff)
			}
		}
	}
}

func TestLumaCallback_RetriesUntil200(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for _, status := range []int{204, 500, 302, 503, 503} { // Four for dreaming, which is given up; one for completed.
		w.Hook.Statuses <- status
	}
	g := w.Modified("p")
	w.Await("six tries", func() bool { return len(w.Sim.Deliveries()) == 6 })
	var got []string
	for _, d := range w.Sim.Deliveries() {
		got = append(got, fmt.Sprint(d.Kind, " ", d.Attempt, " ", d.Status))
		if d.Profile != luma.Name || d.TaskID != g.ID {
			t.Errorf("delivery %+v: want profile and task", d)
		}
	}
	want := []string{"progress 1 204", "progress 2 500", "progress 3 302", "progress 4 503", "genuine 1 503", "genuine 2 200"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
}

func TestLumaCallback_KeepsToItsOwnSpacingAndTimeout(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) {
		c.Kie.CallbackAttempts, c.Kie.CallbackSpacing, c.Kie.CallbackTimeout = 9, time.Hour, time.Hour // Of kie.ai.
		c.Luma.CallbackAttempts, c.Luma.CallbackSpacing, c.Luma.CallbackTimeout = 2, 0, 20*time.Millisecond
	})
	w.Stall()
	g := w.Modified("p")
	w.Await("four tries", func() bool { return len(w.Sim.Deliveries()) == 4 })
	list := w.Sim.Deliveries()
	for _, d := range list {
		if d.Status != 0 || !strings.Contains(d.Error, "deadline exceeded") {
			t.Errorf("delivery %+v: want a timeout", d)
		}
	}
	if gap := list[1].Time.Sub(list[0].Time); gap < 100*time.Millisecond {
		t.Errorf("second try came after %v, want the default of 100ms or more", gap)
	}
	if got := simtest.ParseGeneration(t, w.LumaGet(g.ID).Raw); got.State != "completed" {
		t.Errorf("state %s, want completed though no callback was accepted", got.State)
	}
}

func TestLumaCallback_SendsTheScriptedOnes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		want      []string // kind and state, in order
	}{
		{"fail", []string{"progress dreaming", "genuine failed"}},
		{"duplicate=2", []string{"progress dreaming", "genuine completed", "duplicate completed", "duplicate completed"}},
		{"conflict", []string{"progress dreaming", "genuine completed", "conflict failed"}},
		{"fail,conflict", []string{"progress dreaming", "genuine failed", "conflict completed"}},
		{"regress", []string{"progress dreaming", "genuine completed", "regress dreaming"}},
		{"regress,conflict", []string{"progress dreaming", "genuine completed", "regress dreaming", "conflict failed"}},
		{"forge-urls", []string{"progress dreaming", "forged completed", "genuine completed"}},
		{"forge-code", []string{"progress dreaming", "forged failed", "genuine completed"}},
		{"forge-code=200,fail", []string{"progress dreaming", "forged completed", "genuine failed"}},
		{"forge-code=200,never", []string{"forged completed"}},
		{"undeliverable", []string{
			"progress dreaming", "progress dreaming", "progress dreaming", "progress dreaming",
			"genuine completed", "genuine completed", "genuine completed", "genuine completed",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			w.Modified("[sim:" + tt.directive + "]")
			w.Await("callbacks", func() bool { return len(w.Sim.Deliveries()) >= len(tt.want) })
			var got []string
			for _, d := range w.Sim.Deliveries() {
				var body simtest.Generation
				if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(d.Kind, " ", body.State))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("callbacks (-want +got):\n%s", diff)
			}
			if tt.directive == "undeliverable" && len(w.Hook.Calls) != 0 {
				t.Errorf("%d callbacks came", len(w.Hook.Calls))
			}
		})
	}
}

func TestLumaCallback_BendsTheBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive, want string
		stored          bool // whether GET has the video
	}{
		{"null-data", `"assets":null`, true},
		{"empty-callback", `"assets":{"video":null,`, true},
		{"empty-results", `"assets":{"video":null,`, false},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			g := w.Modified("[sim:" + tt.directive + "]")
			w.Callback()
			if got := w.Callback(); !strings.Contains(got.Body, `"state":"completed"`) || !strings.Contains(got.Body, tt.want) {
				t.Errorf("body %s: want completed and %s", got.Body, tt.want)
			}
			if got := w.Reached(w.LumaGet, g.ID, "completed"); (got.Assets.Video != nil) != tt.stored {
				t.Errorf("GET has assets %+v, want a video %v", got.Assets, tt.stored)
			}
		})
	}
}

func TestLumaCallback_ForgedOneNamesAForeignFile(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	g := w.Modified("[sim:forge-urls]")
	w.Callback()
	if got := w.Get(*w.NextGeneration().Assets.Video); got.Raw != string(sim.ForgedClip(g.ID)) {
		t.Errorf("forged link serves %d bytes, want the forged clip", len(got.Raw))
	}
	if got := w.Sim.Downloads(); len(got) != 1 || !got[0].Forged || got[0].Profile != luma.Name {
		t.Errorf("downloads %+v: want the forged one", got)
	}
}

func TestLumaCallback_ComesEarlyLateOrNever(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Reached(w.LumaGet, w.Modified("[sim:never]").ID, "completed")
	early := w.Modified("[sim:early]")
	if len(w.Hook.Calls) != 2 {
		t.Fatalf("%d callbacks before the answer, want dreaming and completed", len(w.Hook.Calls))
	}
	for range 2 {
		if got := w.NextGeneration(); got.ID != early.ID {
			t.Errorf("callback of %s, want the ones of %s alone", got.ID, early.ID)
		}
	}
	begun := time.Now()
	late := w.Modified("[sim:late=200ms]")
	w.Reached(w.LumaGet, late.ID, "completed")
	w.Callback()
	if got := w.NextGeneration(); got.ID != late.ID || time.Since(begun) < 200*time.Millisecond {
		t.Errorf("callback %s came %v after the submission, want 200ms after the end at least", got.State, time.Since(begun))
	}
}

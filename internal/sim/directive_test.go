package sim_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// directives returns the directives of all profiles.
func directives(t testing.TB) []sim.Directive {
	t.Helper()
	all, err := sim.Directives(profiles.Set{}.List()...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParseDirectives_ReadsWhatAPromptAsksFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		prompt string
		want   sim.Script
	}{
		{"no directive [simple] [sim]", sim.Script{}},
		{"[sim:late=2s,code=500]", sim.Script{Late: 2 * time.Second, Code: 500}},
		{"a [sim:never] b [sim: stale , duplicate=2 ] c", sim.Script{Never: true, Stale: time.Hour, Duplicates: 2}},
		{"[sim:gone=403,cut,slow=1s]", sim.Script{Link: sim.LinkGone, LinkStatus: 403, CutDownload: sim.CutHalf, SlowDownload: time.Second}},
		{"[sim:processing=0s]", sim.Script{Processing: 1}},
		{"[sim:fail=422,reason=too long]", sim.Script{Outcome: sim.OutcomeGenerateFailed, FailureCode: 422, FailureMessage: "too long"}},
		{"[sim:fail=content_moderated]", sim.Script{Outcome: sim.OutcomeGenerateFailed, FailureName: "content_moderated"}},
		{"[sim:queued=1s,regress]", sim.Script{Queued: time.Second, Regress: true}},
		{"[sim:long-length,loris=1s,redirect=http://127.0.0.2/x?y=z]", sim.Script{LongLength: 1000, Loris: time.Second, Redirect: "http://127.0.0.2/x?y=z"}},
		{"[sim:half-result,endless]", sim.Script{HalfResult: true, Endless: true}},
		{"[sim:drop-after,early]", sim.Script{Answer: sim.AnswerDropAfter, Early: true}},
	}
	for _, tt := range tests {
		got, err := sim.ParseDirectives(tt.prompt, directives(t))
		if err != nil {
			t.Errorf("%q: %v", tt.prompt, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.prompt, diff)
		}
	}
}

func TestParseDirectives_RefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"", "nonsense", "never=1", "late", "late=x", "late=-1s", "late=25h", "code", "code=0", "code=1000", "duplicate=0", "reason", "expired=1", "cut=0", "results=17", "fail=Bad", "fail=1000", "once=404", "regress=1",
	} {
		if got, err := sim.ParseDirectives("[sim:"+word+"]", directives(t)); err == nil {
			t.Errorf("%q: got %+v, want an error", word, got)
		}
	}
}

func TestDirectives_AreAllDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("profiles/profiles.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range directives(t) {
		marks := ""
		for _, p := range []struct{ name, mark string }{{kie.Name, "k"}, {luma.Name, "l"}, {lumaagents.Name, "a"}, {fal.Name, "f"}} {
			mark := "-"
			if slices.Contains(d.Profiles, p.name) {
				mark = p.mark
			}
			marks += mark
		}
		if row := fmt.Sprintf("//\t  %-29s%s  %s", d.Usage, marks, d.Effect); !strings.Contains(string(doc), row+"\n") {
			t.Errorf("not in the table of the package comment: %s", row)
		}
	}
}

func FuzzParseDirectives(f *testing.F) {
	for _, seed := range []string{"", "[sim:never]", "[sim:late=2s,code=500]", "[sim:=,=]", "[sim:cut=9999999999999999999]"} {
		f.Add(seed)
	}
	known := directives(f)
	f.Fuzz(func(t *testing.T, prompt string) {
		if got, err := sim.ParseDirectives(prompt, known); err != nil && got != (sim.Script{}) {
			t.Errorf("%q: an error and a script %+v", prompt, got)
		}
	})
}

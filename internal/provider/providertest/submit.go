package providertest

import (
	"cmp"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

func (s Subject) submitCases(caps provider.Capabilities) []testCase {
	cases := []testCase{
		{name: "a request arrives as it was made", run: func(r *rig) { r.arrives(r.submission()) }},
		{name: "a request without options gets the defaults", run: func(r *rig) {
			full := r.submission()
			r.arrives(provider.Submission{Prompt: full.Prompt, SourceURI: full.SourceURI, CallbackURL: full.CallbackURL})
		}},
	}
	if len(caps.Strengths)+len(caps.Models) > 0 {
		cases = append(cases, testCase{name: "every strength and model is taken", run: (*rig).takesEveryChoice})
	}
	if caps.MaxPrompt > 0 {
		cases = append(cases, testCase{name: "the longest prompt is taken", run: func(r *rig) {
			s := r.submission()
			s.Prompt = strings.Repeat("é", caps.MaxPrompt)
			r.arrives(s)
		}})
	}
	return cases
}

func (r *rig) takesEveryChoice() {
	for _, strength := range r.p.Capabilities().Strengths {
		s := r.submission()
		s.Strength = strength
		r.arrives(s)
	}
	for _, model := range r.p.Capabilities().Models {
		s := r.submission()
		s.Model = model
		r.arrives(s)
	}
}

// arrives submits a request and wants the ledger to have every field, with defaults for those that it leaves out.
func (r *rig) arrives(s provider.Submission) {
	r.Helper()
	before := len(r.sim.Ledger())
	id, err := r.p.Submit(r.Context(), s)
	if err != nil {
		r.Fatalf("Submit: %v", err)
	}
	entries := r.sim.Ledger()[before:]
	if len(entries) != 1 {
		r.Fatalf("%d requests arrived, want 1", len(entries))
	}
	e := entries[0]
	if e.TaskID != id || e.Key != apiKey || !e.Paid {
		r.Errorf("Submit returned %q, the ledger has %+v", id, e)
	}
	want, caps := s, r.p.Capabilities()
	want.Strength, want.Model = cmp.Or(s.Strength, caps.Strength), cmp.Or(s.Model, caps.Model)
	got := provider.Submission{
		Prompt: e.Prompt, SourceURI: e.VideoURL, Watermark: e.Watermark, Strength: e.Strength, Model: e.Model,
		FirstFrameURI: e.FirstFrameURL, CallbackURL: e.CallbackURL,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		r.Errorf("request (-want +got):\n%s", diff)
	}
}

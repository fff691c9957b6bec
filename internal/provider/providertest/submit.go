package providertest

import (
	"encoding/json"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
)

// submitCases has the cases of each offering of the provider.
func (s Subject) submitCases(offerings []*catalog.Offering) (cases []testCase) {
	for _, o := range offerings {
		add := func(name string, run func(*rig)) {
			cases = append(cases, testCase{name: o.Model + ": " + name, run: run})
		}
		add("a request arrives as it was made", func(r *rig) { r.arrives(o, r.request(o)) })
		add("a request without options gets the defaults", func(r *rig) {
			full := r.request(o)
			r.arrives(o, catalog.Request{Prompt: full.Prompt, SourceURI: full.SourceURI})
		})
		if len(o.Strengths()) > 0 {
			add("every strength is taken", func(r *rig) {
				for _, strength := range o.Strengths() {
					request := r.request(o)
					request.Strength = strength
					r.arrives(o, request)
				}
			})
		}
		if o.Prompt != nil && o.Prompt.MaxCharacters > 0 {
			add("the longest prompt is taken", func(r *rig) {
				request := r.request(o)
				request.Prompt = strings.Repeat("é", o.Prompt.MaxCharacters)
				r.arrives(o, request)
			})
		}
	}
	return cases
}

// arrived is a request as the ledger has it.
type arrived struct {
	Prompt, SourceURI, Watermark, Strength, Model, FirstFrameURI, CallbackURL string
}

// arrives submits a request and wants the ledger to have every field, with defaults for those that it leaves out.
func (r *rig) arrives(o *catalog.Offering, request catalog.Request) {
	r.Helper()
	before := len(r.sim.Ledger())
	s := r.submissionOf(o, request)
	receipt, err := r.p.Submit(r.Context(), s)
	if err != nil {
		r.Fatalf("Submit: %v", err)
	}
	entries := r.sim.Ledger()[before:]
	if len(entries) != 1 {
		r.Fatalf("%d requests arrived, want 1", len(entries))
	}
	e := entries[0]
	if e.TaskID != receipt.TaskID || e.Key != apiKey || !e.Paid {
		r.Errorf("Submit returned %q, the ledger has %+v", receipt.TaskID, e)
	}
	want := arrived{
		Prompt: request.Prompt, SourceURI: request.SourceURI, Watermark: request.Watermark, Strength: request.Strength,
		FirstFrameURI: request.FirstFrameURI, CallbackURL: s.CallbackURL,
	}
	if o.Strength != nil {
		want.Strength = o.Strength.Values[request.Strength]
		if request.Strength == "" {
			want.Strength = o.Strength.Values[o.Strength.Default]
		}
	}
	if e.Model != "" { // Some APIs have one model.
		want.Model = o.Remote
	}
	got := arrived{
		Prompt: e.Prompt, SourceURI: e.VideoURL, Watermark: e.Watermark, Strength: e.Strength, Model: e.Model,
		FirstFrameURI: e.FirstFrameURL, CallbackURL: e.CallbackURL,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		r.Errorf("request (-want +got):\n%s", diff)
	}
	if e.Input != nil { // Some APIs take more than the ledger has fields for.
		if diff := gocmp.Diff(asJSON(r, s.Inputs), asJSON(r, e.Input)); diff != "" {
			r.Errorf("inputs (-want +got):\n%s", diff)
		}
	}
}

// asJSON returns a value as the decoder of JSON makes it.
func asJSON(r *rig, value any) (decoded any) {
	r.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &decoded)
	}
	if err != nil {
		r.Fatal(err)
	}
	return decoded
}

// submissionOf returns what a request asks of the provider.
func (r *rig) submissionOf(o *catalog.Offering, request catalog.Request) provider.Submission {
	s := provider.Submission{Remote: o.Remote, Inputs: o.Inputs(request)}
	if r.p.Capabilities().Callbacks != provider.NoCallbacks {
		s.CallbackURL = r.hook
	}
	return s
}

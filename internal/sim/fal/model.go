package fal

import (
	"fmt"
	"slices"

	"github.com/refract-video/refract/internal/sim"
)

// model is what the simulator knows of one model. Each takes its source in video_url.
type model struct {
	// required are the required inputs without the source.
	required []string
	// values are the values of the inputs that take only some.
	values map[string][]string
	// measured says that the answer describes the video: width, height, fps, duration and frames.
	measured bool
}

// strengths are the values of mode and of edit_strength at Luma's models.
var strengths = []string{
	"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
}

// models are the known models. The pages of Luma's models document their inputs, except those of v3.2 that users report:
// edit_strength. The required prompts of the others are inferred. A recording of Grok's answer has the measures, one of
// Kling's has not.
var models = map[string]model{
	"fal-ai/luma-dream-machine/ray-2/modify":       {values: map[string][]string{"mode": strengths}},
	"fal-ai/luma-dream-machine/ray-2-flash/modify": {values: map[string][]string{"mode": strengths}},
	"luma/agent/ray/v3.2/video-to-video": {required: []string{"prompt"}, values: map[string][]string{
		"resolution": {"540p", "720p", "1080p"}, "duration": {"5s", "10s"}, "edit_strength": strengths,
	}},
	"fal-ai/kling-video/o1/video-to-video/edit":          {required: []string{"prompt"}},
	"fal-ai/kling-video/o3/standard/video-to-video/edit": {required: []string{"prompt"}},
	"fal-ai/kling-video/o3/pro/video-to-video/edit":      {required: []string{"prompt"}},
	"decart/lucy-edit/fast":                              {required: []string{"prompt"}},
	"xai/grok-imagine-video/edit-video":                  {required: []string{"prompt"}, measured: true},
}

// check returns what is wrong with an input, or nil. A model finds that when it runs, so that the queue accepts it first.
// The types are those of the library with which fal's models check their inputs; which of its versions is not known.
func (m model) check(input map[string]any) *sim.BadInput {
	for _, field := range append([]string{"video_url"}, m.required...) {
		if text(input, field) == "" {
			return &sim.BadInput{Field: field, Type: "missing", Message: "Field required"}
		}
	}
	if !sim.IsURI(text(input, "video_url")) {
		return &sim.BadInput{Field: "video_url", Type: "url_parsing", Message: "Input should be a valid URL"}
	}
	for field, values := range m.values {
		if given, ok := input[field]; ok && !slices.Contains(values, fmt.Sprint(given)) {
			return &sim.BadInput{Field: field, Type: "literal_error", Message: fmt.Sprintf("Input should be one of %v", values)}
		}
	}
	return nil
}

// text returns an input, or "" when it is missing or no string.
func text(input map[string]any, field string) string {
	s, _ := input[field].(string)
	return s
}

package kie

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/sim"
)

// form is how a model takes its sources.
type form int

const (
	formText    form = iota // A URL.
	formList                // A list of URLs.
	formObjects             // A list of objects with a url. The name of the URL in them is inferred.
)

// marketModel is what the simulator knows of a model of the market.
type marketModel struct {
	source   string // The input that holds the sources.
	form     form
	most     int      // The largest number of sources.
	required []string // The other inputs that are required.
	inputs   []string // All inputs, for a model that refuses others.
}

// marketModels are the models that modify a video, as the provider's registry of 2026-08-19 documents them.
var marketModels = map[string]marketModel{
	"wan/2-7-videoedit":     {source: "video_url", most: 1},
	"happyhorse/video-edit": {source: "video_url", most: 1, required: []string{"prompt"}},
	"kling-3.0-omni/transformation": {
		source: "video_urls", form: formList, most: 1, required: []string{"prompt"},
		inputs: []string{"prompt", "video_urls", "resolution", "aspect_ratio", "audio", "image_urls", "elements"},
	},
	"gemini-omni-video":      {source: "video_list", form: formObjects, most: 1, required: []string{"prompt", "duration"}},
	"wan/2-6-video-to-video": {source: "video_urls", form: formList, most: 3, required: []string{"prompt"}},
}

// jobRequest is the body of createTask.
type jobRequest struct {
	Model       string          `json:"model"`
	CallBackURL string          `json:"callBackUrl"`
	Input       json.RawMessage `json:"input"`
}

// createTask is POST /api/v1/jobs/createTask.
func (p *protocol) createTask(w http.ResponseWriter, r *http.Request) {
	var req jobRequest
	flaw := p.decode(w, r, sim.MaxJSON, &req)
	var input map[string]any
	if flaw == nil && (json.Unmarshal(req.Input, &input) != nil || input == nil) {
		flaw = sim.Refuse(http.StatusUnprocessableEntity, "input is required")
	}
	source := sourceOf(req.Model, input)
	sub := sim.Submission{
		Model: req.Model, VideoURL: source, CallbackURL: req.CallBackURL, Input: req.Input, BadInput: unreachable(source),
	}
	sub.Prompt, _ = input["prompt"].(string)
	p.api.Submit(w, r, sub, cmp.Or(flaw, p.checkWithdrawn(req.Model), p.checkJob(req, input)))
}

// isJob reports whether a job is one of the market.
func isJob(j *sim.Job) bool { return j.Submission.Model != "" }

// checkJob refuses a model that there is not, and inputs that are not in the form of the model.
func (p *protocol) checkJob(req jobRequest, input map[string]any) *sim.Refusal {
	refuse := func(format string, args ...any) *sim.Refusal {
		return sim.Refuse(http.StatusUnprocessableEntity, format, args...)
	}
	model, known := marketModels[req.Model]
	family, version, named := strings.Cut(req.Model, "/")
	switch {
	case req.CallBackURL != "" && !sim.IsURI(req.CallBackURL):
		return refuse("callBackUrl is not a valid URL")
	case !known && (p.cfg.OnlyKnownModels || !named || family == "" || version == ""):
		return refuse("The model name you specified is not supported")
	case !known:
		return nil
	}
	for _, field := range model.required {
		if text, ok := input[field].(string); !ok || text == "" {
			return refuse("%s is required", field)
		}
	}
	if n := len(sources(input[model.source], model.form)); n < 1 || n > model.most {
		return refuse("%s is required, with at most %d videos", model.source, model.most)
	}
	for field := range input {
		if model.inputs != nil && !slices.Contains(model.inputs, field) {
			return refuse("%s is not allowed", field)
		}
	}
	return nil
}

// sourceOf returns the first source of a job, also for a model that is not known.
func sourceOf(name string, input map[string]any) string {
	if model, known := marketModels[name]; known {
		return cmp.Or(append(sources(input[model.source], model.form), "")...)
	}
	for _, field := range []string{"video_url", "video_urls", "video_list", "reference_video_urls"} {
		for _, f := range []form{formText, formList, formObjects} {
			if found := sources(input[field], f); len(found) > 0 {
				return found[0]
			}
		}
	}
	return ""
}

// sources returns the sources in an input, or none where it is not in that form.
func sources(value any, f form) (found []string) {
	list, _ := value.([]any)
	if f == formText {
		list = []any{value}
	}
	for _, element := range list {
		if f == formObjects {
			object, _ := element.(map[string]any)
			element = object["url"]
		}
		text, ok := element.(string)
		if !ok || text == "" {
			return nil
		}
		found = append(found, text)
	}
	return found
}

// unreachable returns why the market can't fetch a source, or nil. It takes the job all the same, and fails it later.
func unreachable(source string) *sim.BadInput {
	u, err := url.Parse(source)
	if err == nil && u.Host != "" && !strings.HasSuffix(u.Hostname(), ".invalid") {
		return nil
	}
	return &sim.BadInput{Message: "The video could not be downloaded"}
}

package sim

import (
	"cmp"
	"net/http"
	"slices"
)

// lumaURL is how the API wraps the address of a file.
type lumaURL struct {
	URL string `json:"url"`
}

// lumaRequest is the body of modify, which a Generation repeats.
type lumaRequest struct {
	GenerationType string   `json:"generation_type"`
	Model          string   `json:"model"`
	Mode           string   `json:"mode"`
	Prompt         string   `json:"prompt,omitempty"`
	Media          *lumaURL `json:"media"`
	FirstFrame     *lumaURL `json:"first_frame,omitempty"`
	CallbackURL    string   `json:"callback_url,omitempty"`
}

// modify is POST /generations/video/modify.
func (l *luma) modify(w http.ResponseWriter, r *http.Request) {
	var req lumaRequest
	badBody := readJSON(w, r, maxJSON, &req)
	sub := Submission{Prompt: req.Prompt, CallbackURL: req.CallbackURL, Model: req.Model, Strength: req.Mode}
	if req.Media != nil {
		sub.VideoURL = req.Media.URL
	}
	if req.FirstFrame != nil {
		sub.FirstFrameURL = req.FirstFrame.URL
	}
	l.sim.submit(w, r, l, sub, cmp.Or(badBody, l.check(req)))
}

func (l *luma) check(req lumaRequest) *refusal {
	const bad = http.StatusUnprocessableEntity
	switch {
	case req.GenerationType != "" && req.GenerationType != "modify_video":
		return refuse(bad, "generation_type: want modify_video")
	case req.Media == nil || req.Media.URL == "":
		return refuse(bad, "media.url: required")
	case !isURI(req.Media.URL):
		return refuse(bad, "media.url: not a valid URL")
	case req.Model != "ray-2" && req.Model != "ray-flash-2":
		return refuse(bad, "model: want ray-2 or ray-flash-2")
	case !slices.Contains(lumaStrengths, req.Mode):
		return refuse(bad, "mode: want one of %v", lumaStrengths)
	case req.FirstFrame != nil && !isURI(req.FirstFrame.URL):
		return refuse(bad, "first_frame.url: not a valid URL")
	case req.CallbackURL != "" && !isURI(req.CallbackURL):
		return refuse(bad, "callback_url: not a valid URL")
	}
	return nil
}

// created tells the Generation as it was made: queued, whatever became of it since.
func (l *luma) created(_ http.ResponseWriter, j *job) (status int, body []byte) {
	return http.StatusCreated, toJSON(l.generation(j, verdict{state: queued}))
}

// remove is DELETE /generations/{id}. What it does to a running generation is not documented; here the record is gone
// at once, while the generation ends in its time, calls back and stays paid.
func (l *luma) remove(w http.ResponseWriter, r *http.Request) {
	entry := newEntry(r, ProfileLuma, ResultDeleted, http.StatusNoContent)
	key, no := l.sim.enter(r, l)
	entry.Key = key
	if no == nil {
		j := l.sim.jobs.find(ProfileLuma, r.PathValue("id"))
		if j == nil || !l.sim.jobs.forget(j) {
			no = l.scripted(http.StatusNotFound)
		} else {
			entry.TaskID = j.id
		}
	}
	if no != nil {
		entry.Result, entry.Code = ResultRefused, no.code
	}
	l.sim.record(entry)
	if no != nil {
		l.refuse(w, no)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

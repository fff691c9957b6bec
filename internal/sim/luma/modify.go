package luma

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// fileURL is how the API wraps the address of a file.
type fileURL struct {
	URL string `json:"url"`
}

// request is the body of modify, which a Generation repeats.
type request struct {
	GenerationType string   `json:"generation_type"`
	Model          string   `json:"model"`
	Mode           string   `json:"mode"`
	Prompt         string   `json:"prompt,omitempty"`
	Media          *fileURL `json:"media"`
	FirstFrame     *fileURL `json:"first_frame,omitempty"`
	CallbackURL    string   `json:"callback_url,omitempty"`
}

// modify is POST /generations/video/modify.
func (p *protocol) modify(w http.ResponseWriter, r *http.Request) {
	var req request
	badBody := sim.ReadJSON(w, r, sim.MaxJSON, &req)
	sub := sim.Submission{Prompt: req.Prompt, CallbackURL: req.CallbackURL, Model: req.Model, Strength: req.Mode}
	if req.Media != nil {
		sub.VideoURL = req.Media.URL
	}
	if req.FirstFrame != nil {
		sub.FirstFrameURL = req.FirstFrame.URL
	}
	p.Submit(w, r, sub, cmp.Or(badBody, check(req)))
}

func check(req request) *sim.Refusal {
	const bad = http.StatusUnprocessableEntity
	switch {
	case req.GenerationType != "" && req.GenerationType != "modify_video":
		return sim.Refuse(bad, "generation_type: want modify_video")
	case req.Media == nil || req.Media.URL == "":
		return sim.Refuse(bad, "media.url: required")
	case !sim.IsURI(req.Media.URL):
		return sim.Refuse(bad, "media.url: not a valid URL")
	case req.Model != "ray-2" && req.Model != "ray-flash-2":
		return sim.Refuse(bad, "model: want ray-2 or ray-flash-2")
	case !slices.Contains(lumalabs.Strengths, req.Mode):
		return sim.Refuse(bad, "mode: want one of %v", lumalabs.Strengths)
	case req.FirstFrame != nil && !sim.IsURI(req.FirstFrame.URL):
		return sim.Refuse(bad, "first_frame.url: not a valid URL")
	case req.CallbackURL != "" && !sim.IsURI(req.CallbackURL):
		return sim.Refuse(bad, "callback_url: not a valid URL")
	}
	return nil
}

// Created returns the Generation as it was made: queued, whatever became of it since.
func (p *protocol) Created(_ http.ResponseWriter, j *sim.Job) (status int, body []byte) {
	return http.StatusCreated, sim.JSON(newGeneration(j, sim.Status{State: sim.StateQueued}))
}

// remove is DELETE /generations/{id}. What it does to a running generation is not documented; here the record is gone
// at once, while the generation ends in its time, calls back and stays paid.
func (p *protocol) remove(w http.ResponseWriter, r *http.Request) {
	no := p.Serve(r, sim.ResultDeleted, http.StatusNoContent, func(e *sim.Entry) *sim.Refusal {
		j := p.Find(r.PathValue("id"))
		if j == nil || !p.Forget(j) {
			return p.Refusal(http.StatusNotFound)
		}
		e.TaskID = j.ID
		return nil
	})
	if no != nil {
		p.Refuse(w, no)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

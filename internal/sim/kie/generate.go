package kie

import (
	"cmp"
	"net/http"
	"unicode"

	"github.com/refract-video/refract/internal/sim"
)

// request is the body of generate; the echo spells watermark in another way and is sorted by name.
type request struct {
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	CallBackURL string `json:"callBackUrl"`
	Watermark   string `json:"watermark"`
}

// generate is POST /api/v1/modify/generate.
func (p *protocol) generate(w http.ResponseWriter, r *http.Request) {
	var req request
	badBody := p.decode(w, r, sim.MaxJSON, &req)
	p.api.Submit(w, r, sim.Submission{
		Prompt: req.Prompt, VideoURL: req.VideoURL, CallbackURL: req.CallBackURL, Watermark: req.Watermark,
	}, cmp.Or(badBody, p.checkWithdrawn(modifyModel), p.checkRequest(req)))
}

// Created returns the task id, at the market twice.
func (p *protocol) Created(_ http.ResponseWriter, j *sim.Job) (status int, body []byte) {
	data := map[string]string{"taskId": j.ID}
	if isJob(j) && !p.cfg.OmitRecordID {
		data["recordId"] = j.ID
	}
	return http.StatusOK, sim.JSON(p.success(data))
}

func (p *protocol) checkRequest(req request) *sim.Refusal {
	switch {
	case req.Prompt == "":
		return sim.Refuse(http.StatusUnprocessableEntity, "prompt is required")
	case req.VideoURL == "":
		return sim.Refuse(http.StatusUnprocessableEntity, "videoUrl is required")
	case !sim.IsURI(req.VideoURL):
		return sim.Refuse(http.StatusUnprocessableEntity, "videoUrl is not a valid URL")
	case req.CallBackURL != "" && !sim.IsURI(req.CallBackURL):
		return sim.Refuse(http.StatusUnprocessableEntity, "callBackUrl is not a valid URL")
	}
	for _, c := range req.Prompt {
		if p.cfg.RejectNonASCII && c > unicode.MaxASCII {
			return sim.Refuse(http.StatusUnprocessableEntity, "Only English prompts are supported")
		}
	}
	return nil
}

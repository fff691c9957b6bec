package lumaagents

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// request is what the simulator reads of the body of POST /generations.
type request struct {
	Model  string `json:"model"`
	Type   string `json:"type"`
	Prompt string `json:"prompt"`
	Source *media `json:"source"`
	Video  struct {
		Resolution string `json:"resolution"`
		Duration   string `json:"duration"`
		HDR        bool   `json:"hdr"`
		EXRExport  bool   `json:"exr_export"`
		StartFrame *media `json:"start_frame"`
		Edit       struct {
			Strength        string  `json:"strength"`
			AutoControls    bool    `json:"auto_controls"`
			Controls        any     `json:"controls"`
			Keyframes       []media `json:"keyframes"`
			KeyframeIndexes []int   `json:"keyframe_indexes"`
		} `json:"edit"`
	} `json:"video"`
}

// media is a file: exactly one of a URL, base64 data and an earlier generation.
type media struct {
	URL          string `json:"url"`
	Data         string `json:"data"`
	GenerationID string `json:"generation_id"`
	MediaType    string `json:"media_type"`
}

// maxBody bounds the body of POST, and with it the base64 data in it.
const maxBody = 32 << 20

// create is POST /generations.
func (p *protocol) create(w http.ResponseWriter, r *http.Request) {
	var req request
	flaw := sim.ReadJSON(w, r, maxBody, &req)
	flaw = cmp.Or(flaw, checkFields(req), checkCombination(req))
	sub := sim.Submission{Prompt: req.Prompt, Model: req.Model, Strength: req.Video.Edit.Strength}
	if frame := req.Video.StartFrame; frame != nil {
		sub.FirstFrameURL = frame.URL
	}
	if flaw == nil {
		sub.VideoURL, flaw = p.source(*req.Source)
	}
	p.Submit(w, r, sub, flaw)
}

// checkFields refuses what is wrong by itself.
func checkFields(req request) *sim.Refusal {
	const bad = http.StatusBadRequest
	video, edit := req.Video, req.Video.Edit
	switch {
	case req.Prompt == "" || utf8.RuneCountInString(req.Prompt) > 6000:
		return sim.Refuse(bad, "prompt: want 1 to 6000 characters")
	case !slices.Contains([]string{"ray-3.2", "uni-1", "uni-1-max"}, req.Model):
		return sim.Refuse(bad, "model: want ray-3.2, uni-1 or uni-1-max")
	case !slices.Contains([]string{"", "image", "image_edit", "video", "video_edit", "video_reframe"}, req.Type):
		return sim.Refuse(bad, "type: unknown")
	case edit.Strength != "" && !slices.Contains(lumalabs.Strengths, edit.Strength):
		return sim.Refuse(bad, "video.edit.strength: want one of %v", lumalabs.Strengths)
	case !slices.Contains([]string{"", "540p", "720p", "1080p"}, video.Resolution):
		return sim.Refuse(bad, "video.resolution: want 540p, 720p or 1080p")
	case !slices.Contains([]string{"", "5s", "10s"}, video.Duration):
		return sim.Refuse(bad, "video.duration: want 5s or 10s")
	case len(edit.Keyframes) > 64:
		return sim.Refuse(bad, "video.edit.keyframes: want at most 64")
	}
	return nil
}

// checkCombination refuses what does not go together.
func checkCombination(req request) *sim.Refusal {
	const bad = http.StatusUnprocessableEntity
	video, edit := req.Video, req.Video.Edit
	switch {
	case req.Model != "ray-3.2" || req.Type != "video_edit":
		return sim.Refuse(bad, "type %q with model %q: the simulator has video_edit with ray-3.2 alone", req.Type, req.Model)
	case req.Source == nil || req.Source.parts() != 1:
		return sim.Refuse(bad, "source: want exactly one of url, data and generation_id")
	case req.Source.GenerationID == "" && !strings.HasPrefix(req.Source.MediaType, "video/"):
		return sim.Refuse(bad, "source.media_type: want a video type")
	case video.EXRExport && !video.HDR:
		return sim.Refuse(bad, "video.exr_export: needs hdr")
	case edit.AutoControls && edit.Controls != nil:
		return sim.Refuse(bad, "video.edit: want auto_controls or controls, not both")
	case len(edit.Keyframes) != len(edit.KeyframeIndexes):
		return sim.Refuse(bad, "video.edit.keyframe_indexes: want one for each keyframe")
	case len(edit.Keyframes) > 0 && video.StartFrame != nil:
		return sim.Refuse(bad, "video: want start_frame or edit.keyframes, not both")
	}
	return nil
}

func (m media) parts() int {
	n := 0
	for _, part := range []string{m.URL, m.Data, m.GenerationID} {
		if part != "" {
			n++
		}
	}
	return n
}

// source returns a URL of the input. It hosts what came as data or as an earlier generation.
func (p *protocol) source(m media) (string, *sim.Refusal) {
	const bad = http.StatusUnprocessableEntity
	switch {
	case m.GenerationID != "":
		j := p.Find(m.GenerationID)
		if j == nil || !j.Status().Good() {
			return "", sim.Refuse(bad, "source.generation_id: not a completed generation")
		}
		return p.host(j.File()), nil
	case m.Data != "":
		f, err := p.Save(base64.NewDecoder(base64.StdEncoding, strings.NewReader(m.Data)))
		if errors.Is(err, sim.ErrTooLarge) {
			return "", sim.Refuse(http.StatusRequestEntityTooLarge, "source.data: too large")
		}
		if err != nil {
			return "", sim.Refuse(bad, "source.data: not valid base64")
		}
		return p.host(f), nil
	case !sim.IsURI(m.URL):
		return "", sim.Refuse(bad, "source.url: not a valid URL")
	default:
		return m.URL, nil
	}
}

func (p *protocol) host(f sim.File) string { return p.Host(sim.RandomHex()+".mp4", f, "", 0) }

// Created returns the generation as it was made: queued, whatever became of it since.
func (p *protocol) Created(w http.ResponseWriter, j *sim.Job) (status int, body []byte) {
	if n := p.submitLimit.N; n >= 0 {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(n))
	}
	return http.StatusCreated, sim.JSON(p.newGeneration(j, sim.Status{State: sim.StateQueued}))
}

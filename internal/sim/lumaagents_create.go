package sim

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lumaAgentsRequest is what the simulator reads of the body of POST /generations.
type lumaAgentsRequest struct {
	Model  string           `json:"model"`
	Type   string           `json:"type"`
	Prompt string           `json:"prompt"`
	Source *lumaAgentsMedia `json:"source"`
	Video  struct {
		Resolution string           `json:"resolution"`
		Duration   string           `json:"duration"`
		HDR        bool             `json:"hdr"`
		EXRExport  bool             `json:"exr_export"`
		StartFrame *lumaAgentsMedia `json:"start_frame"`
		Edit       struct {
			Strength        string            `json:"strength"`
			AutoControls    bool              `json:"auto_controls"`
			Controls        any               `json:"controls"`
			Keyframes       []lumaAgentsMedia `json:"keyframes"`
			KeyframeIndexes []int             `json:"keyframe_indexes"`
		} `json:"edit"`
	} `json:"video"`
}

// lumaAgentsMedia is a file: exactly one of a URL, base64 data and an earlier generation.
type lumaAgentsMedia struct {
	URL          string `json:"url"`
	Data         string `json:"data"`
	GenerationID string `json:"generation_id"`
	MediaType    string `json:"media_type"`
}

// maxLumaAgentsBody bounds the body of POST, and with it the base64 data in it.
const maxLumaAgentsBody = 32 << 20

// create is POST /generations.
func (l *lumaAgents) create(w http.ResponseWriter, r *http.Request) {
	var req lumaAgentsRequest
	flaw := readJSON(w, r, maxLumaAgentsBody, &req)
	flaw = cmp.Or(flaw, l.checkFields(req), l.checkCombination(req))
	sub := Submission{Prompt: req.Prompt, Model: req.Model, Strength: req.Video.Edit.Strength}
	if frame := req.Video.StartFrame; frame != nil {
		sub.FirstFrameURL = frame.URL
	}
	if flaw == nil {
		sub.VideoURL, flaw = l.source(*req.Source)
	}
	l.sim.submit(w, r, l, sub, flaw)
}

// checkFields refuses what is wrong by itself.
func (l *lumaAgents) checkFields(req lumaAgentsRequest) *refusal {
	const bad = http.StatusBadRequest
	video, edit := req.Video, req.Video.Edit
	switch {
	case req.Prompt == "" || utf8.RuneCountInString(req.Prompt) > 6000:
		return refuse(bad, "prompt: want 1 to 6000 characters")
	case !slices.Contains([]string{"ray-3.2", "uni-1", "uni-1-max"}, req.Model):
		return refuse(bad, "model: want ray-3.2, uni-1 or uni-1-max")
	case !slices.Contains([]string{"", "image", "image_edit", "video", "video_edit", "video_reframe"}, req.Type):
		return refuse(bad, "type: unknown")
	case edit.Strength != "" && !slices.Contains(lumaStrengths, edit.Strength):
		return refuse(bad, "video.edit.strength: want one of %v", lumaStrengths)
	case !slices.Contains([]string{"", "540p", "720p", "1080p"}, video.Resolution):
		return refuse(bad, "video.resolution: want 540p, 720p or 1080p")
	case !slices.Contains([]string{"", "5s", "10s"}, video.Duration):
		return refuse(bad, "video.duration: want 5s or 10s")
	case len(edit.Keyframes) > 64:
		return refuse(bad, "video.edit.keyframes: want at most 64")
	}
	return nil
}

// checkCombination refuses what does not go together.
func (l *lumaAgents) checkCombination(req lumaAgentsRequest) *refusal {
	const bad = http.StatusUnprocessableEntity
	video, edit := req.Video, req.Video.Edit
	switch {
	case req.Model != "ray-3.2" || req.Type != "video_edit":
		return refuse(bad, "type %q with model %q: the simulator has video_edit with ray-3.2 alone", req.Type, req.Model)
	case req.Source == nil || req.Source.parts() != 1:
		return refuse(bad, "source: want exactly one of url, data and generation_id")
	case req.Source.GenerationID == "" && !strings.HasPrefix(req.Source.MediaType, "video/"):
		return refuse(bad, "source.media_type: want a video type")
	case video.EXRExport && !video.HDR:
		return refuse(bad, "video.exr_export: needs hdr")
	case edit.AutoControls && edit.Controls != nil:
		return refuse(bad, "video.edit: want auto_controls or controls, not both")
	case len(edit.Keyframes) != len(edit.KeyframeIndexes):
		return refuse(bad, "video.edit.keyframe_indexes: want one for each keyframe")
	case len(edit.Keyframes) > 0 && video.StartFrame != nil:
		return refuse(bad, "video: want start_frame or edit.keyframes, not both")
	}
	return nil
}

func (m lumaAgentsMedia) parts() int {
	n := 0
	for _, part := range []string{m.URL, m.Data, m.GenerationID} {
		if part != "" {
			n++
		}
	}
	return n
}

// source returns a URL of the input; what came as data or as an earlier generation gets one here.
func (l *lumaAgents) source(m lumaAgentsMedia) (string, *refusal) {
	const bad = http.StatusUnprocessableEntity
	switch {
	case m.GenerationID != "":
		j := l.sim.jobs.find(ProfileLumaAgents, m.GenerationID)
		if j == nil || !j.verdict().good() {
			return "", refuse(bad, "source.generation_id: not a completed generation")
		}
		return l.sim.host.add("/files/", link{content: j.verdict().file.numbered(j.id, 0), ttl: l.terms.linkTTL}), nil
	case m.Data != "":
		path, err := save(l.sim.dir, base64.NewDecoder(base64.StdEncoding, strings.NewReader(m.Data)), l.sim.cfg.MaxFile)
		if errors.Is(err, errTooLarge) {
			return "", refuse(http.StatusRequestEntityTooLarge, "source.data: too large")
		}
		if err != nil {
			return "", refuse(bad, "source.data: not valid base64")
		}
		return l.sim.host.add("/files/", link{content: content{path: path}, ttl: l.terms.linkTTL}), nil
	case !isURI(m.URL):
		return "", refuse(bad, "source.url: not a valid URL")
	default:
		return m.URL, nil
	}
}

// created tells the generation as it was made: queued, whatever became of it since.
func (l *lumaAgents) created(w http.ResponseWriter, j *job) (status int, body []byte) {
	if n := l.terms.submits.limit.N; n >= 0 {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(n))
	}
	return http.StatusCreated, toJSON(l.generation(j, verdict{state: queued}))
}

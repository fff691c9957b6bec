package fal

import (
	"net/http"
	"path"

	"github.com/refract-video/refract/internal/sim"
)

// result is GET /{owner}/{app}/requests/{id}: the output of the model.
func (p *protocol) result(h http.Header, r *http.Request) (int, any, *sim.Refusal) {
	j := p.find(r)
	if j == nil {
		return 0, nil, noRequest()
	}
	setRequestID(h, j)
	v := j.Shown()
	switch {
	case v.Ended.IsZero():
		return 0, nil, sim.Refuse(http.StatusBadRequest, "Request is still in progress")
	case v.Good():
		h.Set("X-Fal-Billable-Units", "1")
		return http.StatusOK, newOutput(j, v.Results), nil
	default:
		f := newFailure(j, v, 0)
		f.setHeaders(h, j)
		return f.status, f.body(), nil
	}
}

// output of a model.
type output struct {
	Video any `json:"video"` // null without a result.
}

// file describes a result. Some models measure it.
type file struct {
	URL         string `json:"url"`
	ContentType string `json:"content_type"`
	FileName    string `json:"file_name"`
	FileSize    int64  `json:"file_size"`
	*measures
}

type measures struct {
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FPS       float64 `json:"fps"`
	Duration  float64 `json:"duration"`
	NumFrames int     `json:"num_frames"`
}

// newOutput returns the output with the first of several links.
func newOutput(j *sim.Job, links []string) output {
	if len(links) == 0 {
		return output{}
	}
	f := file{URL: links[0], ContentType: "video/mp4", FileName: path.Base(links[0])}
	content := j.File()
	if size, mediaType, err := content.Sniff(); err == nil {
		f.FileSize, f.ContentType = size, mediaType
	}
	if models[j.Submission.Model].measured && content.Embedded() {
		f.measures = &measures{Width: 160, Height: 90, FPS: 12, Duration: 1, NumFrames: 12} // The embedded clip.
	}
	return output{Video: j.Script.Shape.Write(links[:1], f)}
}

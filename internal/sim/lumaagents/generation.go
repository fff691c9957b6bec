package lumaagents

import (
	"cmp"
	"net/http"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// generation is the body of every answer.
type generation struct {
	ID            string  `json:"id"`
	Type          string  `json:"type"`
	Model         string  `json:"model"`
	State         string  `json:"state"`
	CreatedAt     string  `json:"created_at"`
	Output        any     `json:"output"`
	FailureCode   *string `json:"failure_code"`
	FailureReason *string `json:"failure_reason"`
}

type output struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// render returns the body of an answer about a job.
func (p *protocol) render(j *sim.Job, s sim.Status) any { return p.newGeneration(j, s) }

// newGeneration returns the generation of a job with status v, with new links if it is completed.
func (p *protocol) newGeneration(j *sim.Job, v sim.Status) generation {
	g := generation{
		ID: j.ID, Type: "video_edit", Model: j.Submission.Model, CreatedAt: lumalabs.FormatTime(j.Created), Output: []output{},
	}
	switch v.State {
	case sim.StateQueued:
		g.State = "queued"
	case sim.StateGenerating:
		g.State = "processing"
	case sim.StateSucceeded, sim.StateCallbackFailed:
		g.State = "completed"
		links, outputs := p.FreshLinks(j), []output{}
		for _, url := range links {
			outputs = append(outputs, output{Type: "video", URL: url})
		}
		g.Output = j.Script.Shape.Write(links, outputs)
	case sim.StateCreateFailed, sim.StateGenerateFailed:
		g.State = "failed"
		code := failureName(j.Script, v.Code)
		g.FailureCode, g.FailureReason = &code, &v.Message
	}
	return g
}

// failureName returns the failure_code of a script, or else one that matches the engine's code.
func failureName(script sim.Script, code int) string {
	if code == http.StatusUnprocessableEntity {
		return cmp.Or(script.FailureName, "invalid_request")
	}
	return cmp.Or(script.FailureName, "generation_failed")
}

package lumaagents

import (
	"cmp"
	"net/http"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// generation is what every answer is about.
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

// render is the body of an answer about a job.
func (p *protocol) render(j *sim.Job, s sim.Status) any { return p.newGeneration(j, s) }

// newGeneration returns a job that stands at v, with fresh links when it is completed.
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

// failureName is the failure_code that a script wants, or that fits the engine's code.
func failureName(script sim.Script, code int) string {
	if code == http.StatusUnprocessableEntity {
		return cmp.Or(script.FailureName, "invalid_request")
	}
	return cmp.Or(script.FailureName, "generation_failed")
}

package sim

import (
	"cmp"
	"net/http"
)

// lumaAgentsGeneration is what every answer is about.
type lumaAgentsGeneration struct {
	ID            string  `json:"id"`
	Type          string  `json:"type"`
	Model         string  `json:"model"`
	State         string  `json:"state"`
	CreatedAt     string  `json:"created_at"`
	Output        any     `json:"output"`
	FailureCode   *string `json:"failure_code"`
	FailureReason *string `json:"failure_reason"`
}

type lumaAgentsOutput struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// generation renders a job that stands at v, with fresh links when it is completed.
func (l *lumaAgents) generation(j *job, v verdict) lumaAgentsGeneration {
	g := lumaAgentsGeneration{
		ID: j.id, Type: "video_edit", Model: j.sub.Model, CreatedAt: lumaTime(j.created), Output: []lumaAgentsOutput{},
	}
	switch v.state {
	case queued:
		g.State = "queued"
	case generating:
		g.State = "processing"
	case succeeded, callbackFailed:
		g.State = "completed"
		links, outputs := l.sim.links(j, v.file), []lumaAgentsOutput{}
		for _, url := range links {
			outputs = append(outputs, lumaAgentsOutput{Type: "video", URL: url})
		}
		g.Output = j.script.Shape.write(links, outputs)
	case createFailed, generateFailed:
		g.State = "failed"
		code := failureName(j.script, v.code)
		g.FailureCode, g.FailureReason = &code, &v.message
	}
	return g
}

// failureName is the failure_code that a script wants, or that fits the engine's code.
func failureName(script Script, code int) string {
	if code == http.StatusUnprocessableEntity {
		return cmp.Or(script.FailureName, "invalid_request")
	}
	return cmp.Or(script.FailureName, "generation_failed")
}

// get is GET /generations/{id}.
func (l *lumaAgents) get(w http.ResponseWriter, r *http.Request) {
	if no := l.sim.question(r, l); no != nil {
		l.refuse(w, no)
		return
	}
	j := l.sim.jobs.find(ProfileLumaAgents, r.PathValue("id"))
	if j == nil || j.hidden(0) {
		l.refuse(w, l.scripted(http.StatusNotFound))
		return
	}
	l.sim.write(w, http.StatusOK, toJSON(l.generation(j, j.shown())))
}

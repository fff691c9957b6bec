package luma

import (
	"net/http"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// generation is what every answer and every callback is about.
type generation struct {
	ID             string  `json:"id"`
	GenerationType string  `json:"generation_type"`
	State          string  `json:"state"`
	FailureReason  *string `json:"failure_reason"`
	CreatedAt      string  `json:"created_at"`
	Model          string  `json:"model"`
	Assets         *assets `json:"assets"`
	Request        request `json:"request"`
}

type assets struct {
	Video         any     `json:"video"`
	Image         *string `json:"image"`
	ProgressVideo *string `json:"progress_video"`
}

// render is the body of an answer about a job.
func render(j *sim.Job, v sim.Status) any { return newGeneration(j, v) }

// newGeneration returns a job that stands at v.
func newGeneration(j *sim.Job, v sim.Status) generation {
	g := generation{
		ID: j.ID, GenerationType: "video", CreatedAt: lumalabs.FormatTime(j.Created), Model: j.Submission.Model,
		Request: request{
			GenerationType: "modify_video", Model: j.Submission.Model, Mode: j.Submission.Strength, Prompt: j.Submission.Prompt,
			Media: &fileURL{j.Submission.VideoURL}, CallbackURL: j.Submission.CallbackURL,
		},
	}
	if j.Submission.FirstFrameURL != "" {
		g.Request.FirstFrame = &fileURL{j.Submission.FirstFrameURL}
	}
	switch v.State {
	case sim.StateQueued:
		g.State = "queued"
	case sim.StateGenerating:
		g.State = "dreaming"
	case sim.StateSucceeded, sim.StateCallbackFailed: // Luma does not say that it gave a callback up.
		g.State, g.Assets = "completed", &assets{}
		if len(v.Results) > 0 {
			g.Assets.Video = j.Script.Shape.Write(v.Results[:1], v.Results[0])
		}
	case sim.StateCreateFailed, sim.StateGenerateFailed:
		g.State, g.FailureReason = "failed", &v.Message
	}
	return g
}

// Callback implements [sim.Protocol]: the body is the generation as a query shows it.
func (p *protocol) Callback(j *sim.Job, claim sim.Claim) sim.Message {
	g := newGeneration(j, claim.Status)
	if j.Script.NullData {
		g.Assets = nil
	}
	return sim.UnsignedMessage(sim.JSON(g))
}

// page is the answer of a list. Count is the length of the page.
type page struct {
	Generations []generation `json:"generations"`
	Count       int          `json:"count"`
	HasMore     bool         `json:"has_more"`
	Limit       int          `json:"limit"`
	Offset      int          `json:"offset"`
}

// list is GET /generations?limit=&offset=, newest first. The bounds of limit are not documented: 1 to 100, and 10 when
// it is left out.
func (p *protocol) list(r *http.Request) (any, *sim.Refusal) {
	limit, err := queryNumber(r, "limit", 10, 1, 100)
	offset, err2 := queryNumber(r, "offset", 0, 0, 1<<30)
	if err != nil || err2 != nil {
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "limit: want 1 to 100; offset: want 0 or more")
	}
	all := p.Jobs()
	begin := min(offset, len(all))
	end := min(begin+limit, len(all))
	out := page{Generations: []generation{}, Count: end - begin, HasMore: end < len(all), Limit: limit, Offset: offset}
	for _, j := range all[begin:end] {
		out.Generations = append(out.Generations, newGeneration(j, j.Shown()))
	}
	return out, nil
}

// queryNumber reads a number from the query of a URL.
func queryNumber(r *http.Request, name string, def, low, high int) (int, error) {
	n := def
	err := sim.OptionalNumber(r.URL.Query().Get(name), def, low, high, &n)
	return n, err
}

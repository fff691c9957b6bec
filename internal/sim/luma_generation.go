package sim

import (
	"net/http"
)

// lumaGeneration is what every answer and every callback is about.
type lumaGeneration struct {
	ID             string      `json:"id"`
	GenerationType string      `json:"generation_type"`
	State          string      `json:"state"`
	FailureReason  *string     `json:"failure_reason"`
	CreatedAt      string      `json:"created_at"`
	Model          string      `json:"model"`
	Assets         *lumaAssets `json:"assets"`
	Request        lumaRequest `json:"request"`
}

type lumaAssets struct {
	Video         any     `json:"video"`
	Image         *string `json:"image"`
	ProgressVideo *string `json:"progress_video"`
}

// generation renders a job that stands at v.
func (l *luma) generation(j *job, v verdict) lumaGeneration {
	g := lumaGeneration{
		ID: j.id, GenerationType: "video", CreatedAt: lumaTime(j.created), Model: j.sub.Model,
		Request: lumaRequest{
			GenerationType: "modify_video", Model: j.sub.Model, Mode: j.sub.Strength, Prompt: j.sub.Prompt,
			Media: &lumaURL{j.sub.VideoURL}, CallbackURL: j.sub.CallbackURL,
		},
	}
	if j.sub.FirstFrameURL != "" {
		g.Request.FirstFrame = &lumaURL{j.sub.FirstFrameURL}
	}
	switch v.state {
	case queued:
		g.State = "queued"
	case generating:
		g.State = "dreaming"
	case succeeded, callbackFailed: // Luma does not say that it gave a callback up.
		g.State, g.Assets = "completed", &lumaAssets{}
		if len(v.results) > 0 {
			g.Assets.Video = j.script.Shape.write(v.results[:1], v.results[0])
		}
	case createFailed, generateFailed:
		g.State, g.FailureReason = "failed", &v.message
	}
	return g
}

// callback renders the Generation as a callback tells it.
func (l *luma) callback(j *job, v variation) message {
	g := l.generation(j, l.sim.claim(j, v))
	if j.script.NullData {
		g.Assets = nil
	}
	return plainMessage(toJSON(g))
}

// get is GET /generations/{id}.
func (l *luma) get(w http.ResponseWriter, r *http.Request) {
	if no := l.sim.question(r, l); no != nil {
		l.refuse(w, no)
		return
	}
	j := l.sim.jobs.find(ProfileLuma, r.PathValue("id"))
	if j == nil || j.hidden(0) {
		l.refuse(w, l.scripted(http.StatusNotFound))
		return
	}
	l.sim.write(w, http.StatusOK, toJSON(l.generation(j, j.shown())))
}

// lumaPage is the answer of a list. Count is the length of the page.
type lumaPage struct {
	Generations []lumaGeneration `json:"generations"`
	Count       int              `json:"count"`
	HasMore     bool             `json:"has_more"`
	Limit       int              `json:"limit"`
	Offset      int              `json:"offset"`
}

// list is GET /generations?limit=&offset=, newest first. The bounds of limit are not documented: 1 to 100, and 10 when
// it is left out.
func (l *luma) list(w http.ResponseWriter, r *http.Request) {
	if no := l.sim.question(r, l); no != nil {
		l.refuse(w, no)
		return
	}
	limit, err := queryNumber(r, "limit", 10, 1, 100)
	offset, err2 := queryNumber(r, "offset", 0, 0, 1<<30)
	if err != nil || err2 != nil {
		l.refuse(w, refuse(http.StatusUnprocessableEntity, "limit: want 1 to 100; offset: want 0 or more"))
		return
	}
	all := l.sim.jobs.list(ProfileLuma)
	begin := min(offset, len(all))
	end := min(begin+limit, len(all))
	page := lumaPage{Generations: []lumaGeneration{}, Count: end - begin, HasMore: end < len(all), Limit: limit, Offset: offset}
	for _, j := range all[begin:end] {
		page.Generations = append(page.Generations, l.generation(j, j.shown()))
	}
	l.sim.write(w, http.StatusOK, toJSON(page))
}

// queryNumber reads a number from the query of a URL.
func queryNumber(r *http.Request, name string, def, low, high int) (int, error) {
	n := def
	err := optional(r.URL.Query().Get(name), def, low, high, &n)
	return n, err
}

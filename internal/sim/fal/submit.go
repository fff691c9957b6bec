package fal

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// submit is POST /{model id}?fal_webhook=URL. The body is the input of the model.
func (p *protocol) submit(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	var input map[string]any
	flaw := sim.ReadJSON(w, r, sim.MaxJSON, &raw)
	if flaw == nil && json.Unmarshal(raw, &input) != nil {
		flaw = sim.Refuse(http.StatusUnprocessableEntity, "The body is not a JSON object")
	}
	name := r.PathValue("model")
	known, found := models[name]
	if strings.Count(name, "/") < 1 || p.control.Withdrawn(name) || (!found && p.cfg.OnlyKnownModels) {
		flaw = p.Refusal(codeWithdrawn)
	}
	sub := sim.Submission{
		Model: name, Prompt: text(input, "prompt"), VideoURL: text(input, "video_url"), CallbackURL: r.URL.Query().Get("fal_webhook"),
		Strength:      cmp.Or(text(input, "mode"), text(input, "edit_strength")),
		FirstFrameURL: cmp.Or(text(input, "image_url"), text(input, "start_image_url")),
		Input:         raw, BadInput: known.check(input),
	}
	if sub.CallbackURL != "" && !sim.IsURI(sub.CallbackURL) {
		flaw = cmp.Or(flaw, sim.Refuse(http.StatusUnprocessableEntity, "fal_webhook is not a valid URL"))
	}
	p.api.Submit(w, r, sub, cmp.Or(flaw, readHeaders(r.Header, &sub), p.checkQueue(r)))
}

// readHeaders takes the headers that have a meaning. fal does not document what it answers to unreadable ones.
func readHeaders(h http.Header, sub *sim.Submission) *sim.Refusal {
	sub.Header = http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Fal-") || strings.HasPrefix(name, "X-App-Fal-") {
			sub.Header[name] = values
		}
	}
	if life := h.Get("X-Fal-Object-Lifecycle-Preference"); life != "" {
		var preference struct {
			Seconds int64 `json:"expiration_duration_seconds"`
		}
		if json.Unmarshal([]byte(life), &preference) != nil || preference.Seconds < 0 {
			return sim.Refuse(http.StatusUnprocessableEntity, "X-Fal-Object-Lifecycle-Preference: want expiration_duration_seconds")
		}
		sub.LinkTTL = time.Duration(preference.Seconds) * time.Second
	}
	if limit := h.Get("X-Fal-Request-Timeout"); limit != "" {
		seconds, err := strconv.ParseFloat(limit, 64)
		if err != nil || !(seconds > 0 && seconds < 1e6) {
			return sim.Refuse(http.StatusUnprocessableEntity, "X-Fal-Request-Timeout: want a number of seconds")
		}
		sub.StartTimeout = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

// checkQueue refuses a submission when more requests of its key wait than it allows.
func (p *protocol) checkQueue(r *http.Request) *sim.Refusal {
	limit := r.URL.Query().Get("fal_max_queue_length")
	if limit == "" {
		return nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 {
		return sim.Refuse(http.StatusUnprocessableEntity, "fal_max_queue_length: want a number")
	}
	key, no := p.api.Authenticate(r)
	if no == nil && p.api.QueueLength(key) > n {
		return sim.Refuse(http.StatusTooManyRequests, "Queue is too long")
	}
	return nil
}

// created is the answer to a submission. The JavaScript client expects a status in it.
type created struct {
	Status string `json:"status"`
	urls
	QueuePosition    int    `json:"queue_position"`
	GatewayRequestID string `json:"gateway_request_id"`
}

// Created implements [sim.Protocol].
func (p *protocol) Created(w http.ResponseWriter, j *sim.Job) (status int, body []byte) {
	setRequestID(w.Header(), j)
	return http.StatusOK, sim.JSON(created{
		Status: "IN_QUEUE", urls: p.urls(j), QueuePosition: p.api.QueuePosition(j), GatewayRequestID: j.ID,
	})
}

func setRequestID(h http.Header, j *sim.Job) { h.Set("X-Fal-Request-Id", j.ID) }

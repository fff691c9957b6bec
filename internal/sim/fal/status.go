package fal

import (
	"io"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// noRequest refuses a query about a request that does not exist. fal does not document its text.
func noRequest() *sim.Refusal { return sim.Refuse(http.StatusNotFound, "Request not found") }

// status of a request.
type status struct {
	Status string `json:"status"`
	urls
	QueuePosition *int     `json:"queue_position,omitempty"`
	Logs          []log    `json:"logs"` // null when the query does not ask for them.
	Metrics       *metrics `json:"metrics,omitempty"`
	Error         string   `json:"error,omitempty"`
	ErrorType     string   `json:"error_type,omitempty"`
}

type log struct {
	Message   string `json:"message"`
	Level     string `json:"level"`
	Source    string `json:"source"`
	Timestamp string `json:"timestamp"`
}

type metrics struct {
	InferenceTime float64 `json:"inference_time"` // In seconds.
}

// status is GET /{owner}/{app}/requests/{id}/status?logs=1.
func (p *protocol) status(h http.Header, r *http.Request) (int, any, *sim.Refusal) {
	j := p.find(r)
	if j == nil {
		return 0, nil, noRequest()
	}
	setRequestID(h, j)
	s := p.statusOf(j, r)
	if s.Status == statusCompleted {
		return http.StatusOK, s, nil
	}
	return http.StatusAccepted, s, nil
}

// statusCompleted is the status of a request that ended.
const statusCompleted = "COMPLETED"

// statusOf returns the status of a request, as a query wants it.
func (p *protocol) statusOf(j *sim.Job, r *http.Request) status {
	s, v := status{urls: p.urls(j)}, j.Shown()
	if v.State == sim.StateQueued {
		position := p.api.QueuePosition(j)
		s.Status, s.QueuePosition = "IN_QUEUE", &position
		return s
	}
	if r.URL.Query().Get("logs") == "1" {
		s.Logs = []log{{
			Message: "Generating", Level: "INFO", Source: "USER", Timestamp: j.Created.UTC().Format("2006-01-02T15:04:05.000000Z"),
		}}
	}
	if v.Ended.IsZero() {
		s.Status = "IN_PROGRESS"
		return s
	}
	s.Status, s.Metrics = statusCompleted, &metrics{InferenceTime: v.Ended.Sub(j.Created).Seconds()}
	if !v.Good() {
		f := newFailure(j, v, 0)
		s.Error, s.ErrorType = f.message, f.name
	}
	return s
}

// streamPause bounds the wait for a change that no event reports, such as the end of a lag.
const streamPause = 100 * time.Millisecond

// stream is GET /{owner}/{app}/requests/{id}/status/stream: each change of the status as a server-sent event, until the end
// of the request.
func (p *protocol) stream(w http.ResponseWriter, r *http.Request) {
	no := p.api.Admit(r)
	j := p.find(r)
	if no == nil && j == nil {
		no = noRequest()
	}
	if no != nil {
		p.Refuse(w, no)
		return
	}
	setRequestID(w.Header(), j)
	w.Header().Set("Content-Type", "text/event-stream")
	for last := ""; ; {
		changed := p.api.Changed()
		s := p.statusOf(j, r)
		if event := "data: " + string(sim.JSON(s)) + "\n\n"; event != last {
			last = event
			if _, err := io.WriteString(w, event); err != nil { //nolint:gosec // JSON, for a test client.
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
		if s.Status == statusCompleted {
			return
		}
		select {
		case <-changed:
		case <-time.After(streamPause):
		case <-r.Context().Done():
			return
		}
	}
}

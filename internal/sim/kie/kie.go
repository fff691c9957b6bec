package kie

import (
	"encoding/json"
	"net/http"

	"github.com/refract-video/refract/internal/sim"
)

// protocol is the wire format of kie.ai.
type protocol struct {
	cfg     Profile
	api     *sim.API
	control *Control
}

func (p *protocol) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/modify/generate", p.generate)
	mux.HandleFunc("GET /api/v1/modify/record-info", p.api.Query(p.recordInfo))
	mux.HandleFunc("POST /api/v1/jobs/createTask", p.createTask)
	mux.HandleFunc("GET /api/v1/jobs/recordInfo", p.api.Query(p.jobInfo))
	mux.HandleFunc("POST /api/v1/common/download-url", p.downloadURL)
	mux.HandleFunc("GET /api/v1/chat/credit", p.credit)
	mux.HandleFunc("POST /api/file-stream-upload", p.uploadStream)
	mux.HandleFunc("POST /api/file-url-upload", p.uploadURL)
	mux.HandleFunc("POST /api/file-base64-upload", p.uploadBase64)
	p.control.register(mux)
}

// NewID returns 32 hexadecimal characters, as in all of kie.ai's examples for Luma and all recordings of the market.
func (p *protocol) NewID() string { return p.cfg.IDPrefix + sim.RandomHex() }

// messages has the messages of the codes that a script can request.
var messages = map[int]string{
	400: "Missing or invalid parameter",
	401: "You do not have access permissions",
	402: "The current credits are insufficient. Please top up.",
	404: "Not Found",
	408: "Upstream is currently experiencing service issues. No result has been returned for over 10 minutes.",
	422: "Validation error",
	429: "Your call frequency is too high. Please try again later.",
	433: "Request limit: sub-key usage exceeds its limit",
	455: "Service unavailable: the system is currently undergoing maintenance",
	500: "Server exception, please try again later or contact customer service",
	501: "Generation failed",
	505: "The requested feature is currently disabled",
}

func (p *protocol) Refusal(code int) *sim.Refusal {
	if msg, ok := messages[code]; ok {
		return sim.Refuse(code, "%s", msg)
	}
	return sim.Refuse(code, "Unexpected error %d", code)
}

// envelope is the frame of every answer. Its data key is missing for 401, null for other errors. The text is in Msg or Message.
type envelope struct {
	Code    int     `json:"code,omitzero"`
	Msg     *string `json:"msg,omitempty"`
	Message *string `json:"message,omitempty"`
	Data    any     `json:"data,omitzero"`
}

// say returns an envelope with a text.
func (p *protocol) say(code int, text string, data any) envelope {
	if p.cfg.SayMessage {
		return envelope{Code: code, Message: &text, Data: data}
	}
	return envelope{Code: code, Msg: &text, Data: data}
}

// success is an envelope with code 200.
func (p *protocol) success(data any) envelope { return p.say(http.StatusOK, "success", data) }

// accept answers 200 with data.
func (p *protocol) accept(w http.ResponseWriter, data any) {
	p.api.Write(w, http.StatusOK, sim.JSON(p.success(data)))
}

// Refuse answers with an error: in the body, in the HTTP status, or in both, as configured.
func (p *protocol) Refuse(w http.ResponseWriter, no *sim.Refusal) {
	body := p.say(no.Code, no.Message, null)
	if no.Code == http.StatusUnauthorized {
		body.Data = nil
	}
	status := no.Code
	if !sim.StatusOK(status) {
		status = http.StatusInternalServerError
	}
	switch p.cfg.Errors {
	case ErrorsInBody:
		status = http.StatusOK
	case ErrorsInStatus:
		body = p.say(0, no.Message, nil)
	case ErrorsInBoth:
	}
	p.api.Write(w, status, sim.JSON(body))
}

// null is a value that is null.
var null = json.RawMessage("null")

// decode reads a bounded JSON body. The code of every error is 422.
func (p *protocol) decode(w http.ResponseWriter, r *http.Request, limit int64, into any) *sim.Refusal {
	no := sim.ReadJSON(w, r, limit, into)
	if no != nil {
		no.Code = http.StatusUnprocessableEntity
	}
	return no
}

package sim

import (
	"encoding/json"
	"net/http"
)

// kie speaks the wire format of kie.ai: its Luma Modify API, its common API and its upload API.
type kie struct {
	sim   *Server
	terms *terms
}

func (k *kie) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/modify/generate", k.generate)
	mux.HandleFunc("GET /api/v1/modify/record-info", k.recordInfo)
	mux.HandleFunc("POST /api/v1/common/download-url", k.downloadURL)
	mux.HandleFunc("GET /api/v1/chat/credit", k.credit)
	mux.HandleFunc("POST /api/file-stream-upload", k.uploadStream)
	mux.HandleFunc("POST /api/file-url-upload", k.uploadURL)
	mux.HandleFunc("POST /api/file-base64-upload", k.uploadBase64)
}

func (k *kie) rules() *terms { return k.terms }

// newID returns 32 hexadecimal characters, as in all of kie.ai's examples for Luma.
func (k *kie) newID() string { return randomHex() }

// kieMessages are the texts of codes that a script asks for.
var kieMessages = map[int]string{
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

func (k *kie) scripted(code int) *refusal {
	if msg, ok := kieMessages[code]; ok {
		return refuse(code, "%s", msg)
	}
	return refuse(code, "Unexpected error %d", code)
}

// kieEnvelope is the frame of every answer. Its data key is missing for 401, null for other errors.
type kieEnvelope struct {
	Code int    `json:"code,omitzero"`
	Msg  string `json:"msg"`
	Data any    `json:"data,omitzero"`
}

// success renders an envelope with code 200.
func (k *kie) success(data any) []byte {
	return toJSON(kieEnvelope{Code: http.StatusOK, Msg: "success", Data: data})
}

// accept answers 200 with data.
func (k *kie) accept(w http.ResponseWriter, data any) { k.sim.write(w, http.StatusOK, k.success(data)) }

// refuse answers an error in the configured transport.
func (k *kie) refuse(w http.ResponseWriter, no *refusal) {
	body := kieEnvelope{Code: no.code, Msg: no.msg, Data: json.RawMessage("null")}
	if no.code == http.StatusUnauthorized {
		body.Data = nil
	}
	status := no.code
	if !statusOK(status) {
		status = http.StatusInternalServerError
	}
	switch k.sim.cfg.Errors {
	case ErrorsInBody:
		status = http.StatusOK
	case ErrorsInStatus:
		body = kieEnvelope{Msg: no.msg}
	case ErrorsInBoth:
	}
	k.sim.write(w, status, toJSON(body))
}

// decode reads a bounded JSON body; whatever is wrong with it is a 422.
func (k *kie) decode(w http.ResponseWriter, r *http.Request, limit int64, into any) *refusal {
	no := readJSON(w, r, limit, into)
	if no != nil {
		no.code = http.StatusUnprocessableEntity
	}
	return no
}

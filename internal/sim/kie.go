package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxJSON bounds every JSON body except that of a base64 upload.
const maxJSON = 1 << 20

// kie speaks the wire format of kie.ai: its Luma Modify API, its common API and its upload API.
type kie struct{ sim *Server }

func (k *kie) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v1/modify/generate", k.generate)
	mux.HandleFunc("GET /api/v1/modify/record-info", k.recordInfo)
	mux.HandleFunc("POST /api/v1/common/download-url", k.downloadURL)
	mux.HandleFunc("GET /api/v1/chat/credit", k.credit)
	mux.HandleFunc("POST /api/file-stream-upload", k.uploadStream)
	mux.HandleFunc("POST /api/file-url-upload", k.uploadURL)
	mux.HandleFunc("POST /api/file-base64-upload", k.uploadBase64)
}

// kieRefusal is an answer other than 200.
type kieRefusal struct {
	code int
	msg  string
}

func refuse(code int, format string, args ...any) *kieRefusal {
	return &kieRefusal{code: code, msg: fmt.Sprintf(format, args...)}
}

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

// scripted is the refusal that a script asks for by its code.
func scripted(code int) *kieRefusal {
	if msg, ok := kieMessages[code]; ok {
		return refuse(code, "%s", msg)
	}
	return refuse(code, "Unexpected error %d", code)
}

// bearer returns the key of a request, and a refusal unless it is a good one.
func (k *kie) bearer(r *http.Request) (string, *kieRefusal) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || key == "" {
		return key, scripted(http.StatusUnauthorized)
	}
	if known := k.sim.cfg.APIKeys; len(known) > 0 && !slices.Contains(known, key) {
		return key, scripted(http.StatusUnauthorized)
	}
	return key, nil
}

// kieEnvelope is the frame of every answer. Its data key is missing for 401, null for other errors.
type kieEnvelope struct {
	Code int    `json:"code,omitzero"`
	Msg  string `json:"msg"`
	Data any    `json:"data,omitzero"`
}

// accept answers 200 with data.
func (k *kie) accept(w http.ResponseWriter, data any) {
	k.write(w, http.StatusOK, kieJSON(kieEnvelope{Code: http.StatusOK, Msg: "success", Data: data}))
}

// refuse answers an error in the configured transport.
func (k *kie) refuse(w http.ResponseWriter, no *kieRefusal) {
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
	k.write(w, status, kieJSON(body))
}

func (k *kie) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		k.sim.cfg.Logger.Debug("write answer", "error", err)
	}
}

// kieJSON encodes v without escaping "&" in URLs, as the provider does.
func kieJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`{"code":500,"msg":"encode answer"}`) // Unreachable: only our own types come here.
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// decode reads a bounded JSON body.
func (k *kie) decode(w http.ResponseWriter, r *http.Request, limit int64, into any) *kieRefusal {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return refuse(http.StatusUnprocessableEntity, "The body is larger than %d bytes", big.Limit)
	case err != nil:
		return refuse(http.StatusUnprocessableEntity, "The body could not be read")
	case json.Unmarshal(raw, into) != nil:
		return refuse(http.StatusUnprocessableEntity, "The body is not valid JSON")
	}
	return nil
}

package simtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
)

// FalModel is a model of fal.
const FalModel = "fal-ai/luma-dream-machine/ray-2/modify"

// FalRequest is an answer of fal's queue about a request. Each call fills its own fields.
type FalRequest struct {
	Status           string  `json:"status"`
	RequestID        string  `json:"request_id"`
	GatewayRequestID string  `json:"gateway_request_id"`
	ResponseURL      string  `json:"response_url"`
	StatusURL        string  `json:"status_url"`
	CancelURL        string  `json:"cancel_url"`
	QueuePosition    *int    `json:"queue_position"`
	Logs             []any   `json:"logs"`
	Metrics          Object  `json:"metrics"`
	Error            string  `json:"error"`
	ErrorType        string  `json:"error_type"`
	Video            *Object `json:"video"`
	Success          *bool   `json:"success"`
}

// FalCall sends a request with the scheme of fal and the valid key. The body may be nil.
func (w *Fixture) FalCall(method, address string, header http.Header, body any) Answer {
	w.Helper()
	var text []byte
	if body != nil {
		text = sim.JSON(body)
	}
	req, err := http.NewRequestWithContext(w.Context(), method, address, bytes.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.Header.Set("Authorization", "Key "+APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.HTTP.Do(req)
	if err != nil {
		w.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, address, err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
}

// FalGet queries fal.
func (w *Fixture) FalGet(address string) Answer {
	w.Helper()
	return w.FalCall(http.MethodGet, address, nil, nil)
}

// FalInput is a valid input of a model of fal.
func (w *Fixture) FalInput(prompt string) Object {
	return Object{"prompt": prompt, "video_url": SourceURL}
}

// FalPost sends an input to a model, with more parameters of the query.
func (w *Fixture) FalPost(model, query string, header http.Header, input any) Answer {
	w.Helper()
	hook := "?fal_webhook=" + url.QueryEscape(w.Hook.Server.URL+"/cb?token=a&b=c")
	return w.FalCall(http.MethodPost, w.Sim.BaseURL(fal.Name)+"/"+model+hook+query, header, input)
}

// Queued submits a prompt to a model of fal and returns the answer.
func (w *Fixture) Queued(model, prompt string) FalRequest {
	w.Helper()
	return w.QueuedInput(model, w.FalInput(prompt), nil)
}

// QueuedInput submits an input to a model of fal and returns the answer.
func (w *Fixture) QueuedInput(model string, input Object, header http.Header) FalRequest {
	w.Helper()
	got := w.FalPost(model, "", header, input)
	request := ParseFal(w, got)
	if got.Status != 200 || request.RequestID == "" {
		w.Fatalf("submit: status %d, %s", got.Status, got.Raw)
	}
	return request
}

// ParseFal decodes an answer of fal.
func ParseFal(w *Fixture, got Answer) FalRequest {
	w.Helper()
	var request FalRequest
	if err := json.Unmarshal([]byte(got.Raw), &request); err != nil {
		w.Fatalf("answer %s: %v", got.Raw, err)
	}
	return request
}

// FalReached waits until a request has a status, and returns the answer with it.
func (w *Fixture) FalReached(request FalRequest, status string) FalRequest {
	w.Helper()
	var now FalRequest
	w.Await(request.RequestID+" "+status, func() bool {
		now = ParseFal(w, w.FalGet(request.StatusURL))
		return now.Status == status
	})
	return now
}

// Package fal simulates the queue of fal.ai. A request moves from IN_QUEUE over IN_PROGRESS to COMPLETED, which is also the
// state of a request that failed. Results are read by a call of their own. One webhook comes at the end of a request. Its
// signature is ED25519, and covers the body; the keys are published. Result links live for 7 d, and are never renewed.
//
// fal has several hosts, for which the simulator has paths: /fal is queue.fal.run, and /fal-rest is rest.fal.ai, which has the
// key set and the uploads. The key set is also served below /fal.
//
// The queue takes nearly every input. A missing or wrong one, a source that can't be fetched, and a file that ffmpeg can't
// read let the request complete with an error.
//
// # What is left out
//
// fal sends no webhooks to private addresses, whereas the simulator mostly runs on one. fal keeps results for an hour, or
// less when they are large; here they are kept. X-Fal-Store-IO, X-Fal-No-Retry and X-Fal-Queue-Priority stand in the
// ledger and change nothing. A failed or canceled request stays paid in the ledger.
//
// # Control
//
// [Control] changes the API while it runs. The same calls exist over HTTP:
//
//	GET    /sim/fal                     the present state
//	POST   /sim/fal/rotate-key          a new key signs, and the oldest leaves the key set
//	PUT    /sim/fal/key-set?down=B      the key set is answered 503, or again 200
//	PUT    /sim/fal/unknown-key?on=B    webhooks are signed with a key that was never in the key set, or again well
//	PUT    /sim/fal/withdrawn/MODEL     the model is withdrawn
//	DELETE /sim/fal/withdrawn/MODEL     it is back
package fal

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
)

const (
	// queuePath is the path of the queue.
	queuePath = "/fal"
	// RestPath is the path of the host that serves the key set and the uploads, below the address of the simulator.
	RestPath = "/fal-rest"
	// KeySetPath is the path of the key set, below either host.
	KeySetPath = "/.well-known/jwks.json"
)

const (
	maintenanceCode = http.StatusServiceUnavailable
	// codeWithdrawn refuses a model that is withdrawn or unknown. That fal answers "Application not found" is reported; no
	// page of fal documents the status or the form of the answer.
	codeWithdrawn = http.StatusNotFound
	codeCanceled  = 499 // As fal has it, for client_cancelled.
)

// protocol is the wire format of the API.
type protocol struct {
	cfg     Profile
	api     *sim.API
	control *Control
	uploads *uploads
}

// Register implements [sim.Protocol].
func (p *protocol) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+queuePath+"/{model...}", p.submit)
	mux.HandleFunc("GET "+queuePath+"/{owner}/{app}/requests/{id}/status", p.api.QueryStatus(p.status))
	mux.HandleFunc("GET "+queuePath+"/{owner}/{app}/requests/{id}", p.api.QueryStatus(p.result))
	mux.HandleFunc("GET "+queuePath+"/{owner}/{app}/requests/{id}/status/stream", p.stream)
	mux.HandleFunc("PUT "+queuePath+"/{owner}/{app}/requests/{id}/cancel", p.cancel)
	p.uploads.register(mux)
	for _, host := range []string{queuePath, RestPath} {
		mux.HandleFunc("GET "+host+KeySetPath, p.keySet)
	}
	p.control.register(mux)
}

// NewID implements [sim.Protocol].
func (*protocol) NewID() string { return uuid.NewString() }

// Refusal implements [sim.Protocol]. The engine asks for 402 when the account is empty, which fal answers 403.
func (*protocol) Refusal(code int) *sim.Refusal {
	switch code {
	case http.StatusUnauthorized:
		return sim.Refuse(code, "Authentication is required to access this application")
	case http.StatusPaymentRequired:
		return sim.Refuse(http.StatusForbidden, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.")
	case http.StatusForbidden:
		return sim.Refuse(code, "Access denied")
	case codeWithdrawn:
		return sim.Refuse(code, "Application not found")
	case http.StatusTooManyRequests:
		return sim.Refuse(code, "Too many requests")
	case http.StatusServiceUnavailable:
		return sim.Refuse(code, "Service unavailable")
	default:
		return sim.Refuse(code, "Error %d", code)
	}
}

// Refuse implements [sim.Protocol]: the HTTP status is the code, and "detail" the reason.
func (p *protocol) Refuse(w http.ResponseWriter, no *sim.Refusal) {
	status := no.Code
	if !sim.StatusOK(status) {
		status = http.StatusInternalServerError
	}
	no.SetRetryAfter(w.Header())
	p.api.Write(w, status, sim.JSON(map[string]string{"detail": no.Message}))
}

// application returns the first two parts of a model id. Calls about a request name only these.
func application(model string) string {
	parts := strings.SplitN(model, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// urls are the addresses of a request, which every answer about it repeats.
type urls struct {
	RequestID   string `json:"request_id"`
	ResponseURL string `json:"response_url"`
	StatusURL   string `json:"status_url"`
	CancelURL   string `json:"cancel_url"`
}

func (p *protocol) urls(j *sim.Job) urls {
	base := fmt.Sprintf("%s/%s/requests/%s", p.api.URL(), application(j.Submission.Model), j.ID)
	return urls{RequestID: j.ID, ResponseURL: base, StatusURL: base + "/status", CancelURL: base + "/cancel"}
}

// find returns the job that a request is about, or nil.
func (p *protocol) find(r *http.Request) *sim.Job {
	j := p.api.Find(r.PathValue("id"))
	if j == nil || j.Hidden(0) || application(j.Submission.Model) != r.PathValue("owner")+"/"+r.PathValue("app") {
		return nil
	}
	return j
}

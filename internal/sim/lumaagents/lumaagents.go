// Package lumaagents simulates the Luma Agents API. A job moves from queued over processing to completed or failed. The API
// sends no callbacks. Result links are presigned and live for an hour; each query gives out new ones.
//
// A source that can't be fetched fails the generation with failure_code invalid_request, a file that ffmpeg can't read with
// generation_failed.
package lumaagents

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// path is where the API begins; on Luma's own host it is /v1.
const path = "/luma-agents/v1"

// protocol is the wire format of the API.
type protocol struct {
	lumalabs.Protocol
	submitLimit sim.Limit
}

// Register implements [sim.Protocol].
func (p *protocol) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+path+"/generations", traced(p.create))
	mux.HandleFunc("GET "+path+"/generations/{id}", traced(p.Get(p.render)))
}

// traced sets the headers that every answer carries.
func traced(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if id == "" {
			id = uuid.NewString()
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-API-Version", "2026-04-01")
		next(w, r)
	}
}

// Callback implements [sim.Protocol]. The engine never calls it: the API has no field for a callback URL.
func (*protocol) Callback(*sim.Job, sim.Claim) sim.Message { return sim.UnsignedMessage(nil) }

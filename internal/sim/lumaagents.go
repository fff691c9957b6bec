package sim

import (
	"net/http"

	"github.com/google/uuid"
)

// lumaAgentsPrefix is where the Agents API begins; on Luma's own host it is /v1.
const lumaAgentsPrefix = "/luma-agents/v1"

// lumaAgents speaks the wire format of the Luma Agents API: polling alone, and links that live for an hour.
type lumaAgents struct {
	sim   *Server
	terms *terms
}

func (l *lumaAgents) register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+lumaAgentsPrefix+"/generations", traced(l.create))
	mux.HandleFunc("GET "+lumaAgentsPrefix+"/generations/{id}", traced(l.get))
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

func (l *lumaAgents) rules() *terms              { return l.terms }
func (l *lumaAgents) newID() string              { return uuid.NewString() }
func (l *lumaAgents) scripted(code int) *refusal { return refuse(code, "%s", lumaMessage(code)) }

func (l *lumaAgents) refuse(w http.ResponseWriter, no *refusal) { l.sim.refuseDetail(w, no) }

// callback is never sent: the API has no field for a callback URL.
func (l *lumaAgents) callback(*job, variation) message { return plainMessage(nil) }

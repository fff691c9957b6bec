package sim

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// lumaPrefix is where the Dream Machine API begins, as on Luma's own host.
const lumaPrefix = "/dream-machine/v1"

// luma speaks the wire format of Luma's Dream Machine API, version 1: no envelope, real HTTP codes, unsigned callbacks.
type luma struct {
	sim   *Server
	terms *terms
}

func (l *luma) register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+lumaPrefix+"/generations/video/modify", l.modify)
	mux.HandleFunc("GET "+lumaPrefix+"/generations/{id}", l.get)
	mux.HandleFunc("GET "+lumaPrefix+"/generations", l.list)
	mux.HandleFunc("DELETE "+lumaPrefix+"/generations/{id}", l.remove)
	mux.HandleFunc("GET "+lumaPrefix+"/credits", l.credits)
	mux.HandleFunc("GET "+lumaPrefix+"/ping", l.ping)
}

func (l *luma) rules() *terms              { return l.terms }
func (l *luma) newID() string              { return uuid.NewString() }
func (l *luma) scripted(code int) *refusal { return refuse(code, "%s", lumaMessage(code)) }

func (l *luma) refuse(w http.ResponseWriter, no *refusal) { l.sim.refuseDetail(w, no) }

// lumaMessage is the text that both of Luma's APIs get for a code.
func lumaMessage(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return "Invalid API key"
	case http.StatusPaymentRequired:
		return "Insufficient credits"
	case http.StatusForbidden:
		return "Access denied"
	case http.StatusNotFound:
		return "Generation not found"
	case http.StatusTooManyRequests:
		return "Rate limit exceeded"
	case http.StatusServiceUnavailable:
		return "Service unavailable"
	default:
		return fmt.Sprintf("Error %d", code)
	}
}

// lumaStrengths are the values of mode in the Dream Machine API, and of strength in the Agents API.
var lumaStrengths = []string{
	"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
}

// lumaTime is how Luma writes a time.
func lumaTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// refuseDetail answers an error as both of Luma's APIs do: the HTTP status says what, "detail" says why.
func (s *Server) refuseDetail(w http.ResponseWriter, no *refusal) {
	status := no.code
	if !statusOK(status) {
		status = http.StatusInternalServerError
	}
	no.setRetryAfter(w.Header())
	s.write(w, status, toJSON(map[string]string{"detail": no.msg}))
}

// credits is GET /credits: the balance in US cents.
func (l *luma) credits(w http.ResponseWriter, r *http.Request) {
	if no := l.sim.question(r, l); no != nil {
		l.refuse(w, no)
		return
	}
	l.sim.write(w, http.StatusOK, toJSON(map[string]int{"credit_balance": l.sim.purse.balance()}))
}

// ping is GET /ping.
func (l *luma) ping(w http.ResponseWriter, r *http.Request) {
	if no := l.sim.question(r, l); no != nil {
		l.refuse(w, no)
		return
	}
	l.sim.write(w, http.StatusOK, toJSON(map[string]string{"message": "pong"}))
}

// Package lumalabs contains the common wire format of the two simulated APIs of Luma: no envelope, real HTTP codes with a
// "detail", UUIDs as ids.
package lumalabs

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
)

// MaintenanceCode is the status of answers during maintenance.
const MaintenanceCode = http.StatusServiceUnavailable

// Strengths are the values of mode in the Dream Machine API, and of strength in the Agents API.
var Strengths = []string{
	"adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3",
}

// Unlimited is a limit that counts calls per second and refuses none. Luma documents no limit for queries.
var Unlimited = sim.Limit{N: -1, Window: time.Second}

// FormatTime returns a time as Luma writes it.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Protocol is the common part of both wire formats.
type Protocol struct{ *sim.API }

// NewID implements [sim.Protocol].
func (Protocol) NewID() string { return uuid.NewString() }

// Refusal implements [sim.Protocol].
func (Protocol) Refusal(code int) *sim.Refusal { return sim.Refuse(code, "%s", message(code)) }

// Refuse implements [sim.Protocol]: the HTTP status is the code, and "detail" the reason.
func (p Protocol) Refuse(w http.ResponseWriter, no *sim.Refusal) {
	status := no.Code
	if !sim.StatusOK(status) {
		status = http.StatusInternalServerError
	}
	no.SetRetryAfter(w.Header())
	p.Write(w, status, sim.JSON(map[string]string{"detail": no.Message}))
}

// Get returns the handler of GET /generations/{id}, which answers with the result of render.
func (p Protocol) Get(render func(j *sim.Job, s sim.Status) any) http.HandlerFunc {
	return p.Query(func(r *http.Request) (any, *sim.Refusal) {
		j := p.Find(r.PathValue("id"))
		if j == nil || j.Hidden(0) {
			return nil, p.Refusal(http.StatusNotFound)
		}
		return render(j, j.Shown()), nil
	})
}

// message is the text of a code.
func message(code int) string {
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

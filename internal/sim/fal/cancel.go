package fal

import (
	"net/http"

	"github.com/refract-video/refract/internal/sim"
)

// cancel is PUT /{owner}/{app}/requests/{id}/cancel.
func (p *protocol) cancel(w http.ResponseWriter, r *http.Request) {
	outcome := ""
	no := p.api.Serve(r, sim.ResultCanceled, http.StatusAccepted, func(e *sim.Entry) *sim.Refusal {
		j := p.find(r)
		if j == nil {
			outcome = "NOT_FOUND"
			return sim.Refuse(http.StatusNotFound, "%s", outcome)
		}
		if e.TaskID = j.ID; !p.api.Cancel(j, p.cfg.CancelRunning) {
			outcome = "ALREADY_COMPLETED"
			return sim.Refuse(http.StatusBadRequest, "%s", outcome)
		}
		outcome = "CANCELLATION_REQUESTED"
		return nil
	})
	code := http.StatusAccepted
	switch {
	case outcome == "": // The key is wrong, or fal is under maintenance.
		p.Refuse(w, no)
		return
	case p.cfg.Cancel == CancelBySuccess:
		p.api.Write(w, http.StatusOK, sim.JSON(map[string]bool{"success": no == nil}))
		return
	case no != nil:
		code = no.Code
	}
	p.api.Write(w, code, sim.JSON(map[string]string{"status": outcome}))
}

package kie

import (
	"net/http"

	"github.com/refract-video/refract/internal/sim"
)

// modifyModel is the name under which [Control] withdraws Luma Modify.
const modifyModel = "modify/generate"

// Control changes a simulated kie.ai while it runs. It belongs to one simulator. Its methods may be called concurrently. A withdrawn model
// is refused with [Profile].WithdrawnCode.
type Control struct{ sim.Withdrawals }

// NewControl returns a control that has withdrawn nothing.
func NewControl() *Control { return &Control{} }

// State is the answer of the calls that control a simulated kie.ai over HTTP.
type State struct {
	Withdrawn []string `json:"withdrawn"`
}

// State returns the present state.
func (c *Control) State() State { return State{Withdrawn: c.WithdrawnModels()} }

// register adds the calls of the package comment.
func (c *Control) register(mux *http.ServeMux) {
	handle := func(pattern string, change func(model string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			change(r.PathValue("model"))
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(sim.JSON(c.State()))
		})
	}
	handle("GET /sim/kie", func(string) {})
	handle("PUT /sim/kie/withdrawn/{model...}", c.Withdraw)
	handle("DELETE /sim/kie/withdrawn/{model...}", c.Restore)
}

// checkWithdrawn refuses a model that was withdrawn.
func (p *protocol) checkWithdrawn(model string) *sim.Refusal {
	if p.control.Withdrawn(model) {
		return p.Refusal(p.cfg.WithdrawnCode)
	}
	return nil
}

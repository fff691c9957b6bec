package sim_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

func TestMaintenance_ClosesOneProfileForAWhile(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id := w.submit("before")
	dream, agents := w.modified("before"), w.edited("before")
	if got := w.post(generatePath, w.request("[sim:maintenance=1h]")); got.Code != 455 {
		t.Errorf("the call itself: got %s, want 455", got.raw)
	}
	if a, b := w.post(generatePath, w.request("p")).Code, w.info(id).Code; a != 455 || b != 455 {
		t.Errorf("kie: got %d and %d, want 455", a, b)
	}
	w.reached(w.lumaGet, dream.ID, "completed") // The others stay open.
	w.sim.SetMaintenance(luma.Name, time.Hour)
	w.sim.SetMaintenance(lumaagents.Name, time.Hour)
	for i, got := range []envelope{
		w.lumaGet(dream.ID), w.agentsGet(agents.ID), w.post(modifyPath, w.modifyRequest("p")), w.post(agentsPath, w.editRequest("p")),
	} {
		if got.status != 503 || got.raw != `{"detail":"Service unavailable"}` {
			t.Errorf("call %d: got status %d, %s; want 503", i, got.status, got.raw)
		}
	}
	for _, p := range w.sim.Profiles() {
		w.sim.SetMaintenance(p, 0)
		if got := w.paid(p); got != 1 {
			t.Errorf("%s: %d paid, want 1", p, got)
		}
	}
	w.finished(id, 1)
	w.reached(w.agentsGet, agents.ID, "completed")
}

func TestMaintenance_EndsByItself(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	if got := w.post(modifyPath, w.modifyRequest("[sim:maintenance=20ms]")); got.status != 503 {
		t.Errorf("got status %d, want 503", got.status)
	}
	deadline := time.After(hung)
	for w.post(modifyPath, w.modifyRequest("p")).status != 201 {
		select {
		case <-deadline:
			t.Fatal("still closed")
		default:
		}
	}
}

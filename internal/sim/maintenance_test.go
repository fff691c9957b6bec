package sim_test

import (
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestMaintenance_ClosesOneProfileForAWhile(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id := w.Submit("before")
	dream, agents, request := w.Modified("before"), w.Edited("before"), w.Queued(simtest.FalModel, "before")
	if got := w.Post(simtest.GeneratePath, w.Request("[sim:maintenance=1h]")); got.Code != 455 {
		t.Errorf("the call itself: got %s, want 455", got.Raw)
	}
	if a, b := w.Post(simtest.GeneratePath, w.Request("p")).Code, w.Info(id).Code; a != 455 || b != 455 {
		t.Errorf("kie: got %d and %d, want 455", a, b)
	}
	w.Reached(w.LumaGet, dream.ID, "completed") // The others stay open.
	w.Sim.SetMaintenance(luma.Name, time.Hour)
	w.Sim.SetMaintenance(lumaagents.Name, time.Hour)
	w.Sim.SetMaintenance(fal.Name, time.Hour)
	for i, got := range []simtest.Answer{
		w.LumaGet(dream.ID), w.AgentsGet(agents.ID), w.Post(simtest.ModifyPath, w.ModifyRequest("p")), w.Post(simtest.AgentsPath, w.EditRequest("p")),
		w.FalGet(request.StatusURL), w.FalPost(simtest.FalModel, "", nil, w.FalInput("p")),
	} {
		if got.Status != 503 || got.Raw != `{"detail":"Service unavailable"}` {
			t.Errorf("call %d: got status %d, %s; want 503", i, got.Status, got.Raw)
		}
	}
	for _, p := range w.Sim.Profiles() {
		w.Sim.SetMaintenance(p, 0)
		if got := w.Paid(p); got != 1 {
			t.Errorf("%s: %d paid, want 1", p, got)
		}
	}
	w.Finished(id, 1)
	w.Reached(w.AgentsGet, agents.ID, "completed")
}

func TestMaintenance_EndsByItself(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	if got := w.Post(simtest.ModifyPath, w.ModifyRequest("[sim:maintenance=20ms]")); got.Status != 503 {
		t.Errorf("got status %d, want 503", got.Status)
	}
	deadline := time.After(simtest.Hung)
	for w.Post(simtest.ModifyPath, w.ModifyRequest("p")).Status != 201 {
		select {
		case <-deadline:
			t.Fatal("still closed")
		default:
		}
	}
}

package simtest

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

// The paths of the two APIs of Luma below the address of the simulator.
const (
	ModifyPath = "/dream-machine/v1/generations/video/modify"
	AgentsPath = "/luma-agents/v1/generations"
)

// Object is a JSON object.
type Object = map[string]any

// Generation is an answer of either API of Luma. Each API fills its own fields.
type Generation struct {
	ID             string    `json:"id"`
	State          string    `json:"state"`
	Model          string    `json:"model"`
	CreatedAt      time.Time `json:"created_at"`
	FailureReason  *string   `json:"failure_reason"`
	GenerationType string    `json:"generation_type"`
	Assets         *struct {
		Video *string `json:"video"`
	} `json:"assets"`
	Type   string `json:"type"`
	Output []struct {
		Type string `json:"type"`
		URL  string `json:"url"`
	} `json:"output"`
	FailureCode *string `json:"failure_code"`
}

// ParseGeneration decodes a body of either API.
func ParseGeneration(t *testing.T, raw string) Generation {
	t.Helper()
	var g Generation
	if err := json.Unmarshal([]byte(raw), &g); err != nil {
		t.Fatalf("generation %s: %v", raw, err)
	}
	return g
}

// With returns a copy of an object with changed fields. A nil value removes the field.
func (w *Fixture) With(base, changes Object) Object {
	out := maps.Clone(base)
	for key, value := range changes {
		if out[key] = value; value == nil {
			delete(out, key)
		}
	}
	return out
}

// ModifyRequest returns a valid body for Dream Machine.
func (w *Fixture) ModifyRequest(prompt string) Object {
	return Object{
		"generation_type": "modify_video", "model": "ray-2", "mode": "flex_1", "prompt": prompt,
		"media": Object{"url": SourceURL}, "callback_url": w.Hook.Server.URL + "/cb?token=a&b=c",
	}
}

// EditRequest returns a valid body for Agents.
func (w *Fixture) EditRequest(prompt string) Object {
	return Object{
		"model": "ray-3.2", "type": "video_edit", "prompt": prompt,
		"source": Object{"url": SourceURL, "media_type": "video/mp4"},
		"video":  Object{"resolution": "720p", "edit": Object{"strength": "flex_1"}},
	}
}

// Create sends a valid submission to one of Luma's APIs and returns the generation.
func (w *Fixture) Create(path string, body Object) Generation {
	w.Helper()
	e := w.Post(path, body)
	g := ParseGeneration(w.T, e.Raw)
	if e.Status != 201 || g.ID == "" {
		w.Fatalf("create: got status %d, %s", e.Status, e.Raw)
	}
	return g
}

// Modified creates a Dream Machine generation for a prompt.
func (w *Fixture) Modified(prompt string) Generation {
	w.Helper()
	return w.Create(ModifyPath, w.ModifyRequest(prompt))
}

// Edited creates an Agents generation for a prompt.
func (w *Fixture) Edited(prompt string) Generation {
	w.Helper()
	return w.Create(AgentsPath, w.EditRequest(prompt))
}

// LumaGet queries a Dream Machine generation.
func (w *Fixture) LumaGet(id string) Answer {
	w.Helper()
	return w.Get(w.Sim.BaseURL(luma.Name) + "/generations/" + id)
}

// AgentsGet queries an Agents generation.
func (w *Fixture) AgentsGet(id string) Answer {
	w.Helper()
	return w.Get(w.Sim.BaseURL(lumaagents.Name) + "/generations/" + id)
}

// Reached waits until get shows a generation in a state, and returns the generation.
func (w *Fixture) Reached(get func(id string) Answer, id, state string) Generation {
	w.Helper()
	var g Generation
	w.Await(id+" "+state, func() bool {
		g = Generation{}
		return json.Unmarshal([]byte(get(id).Raw), &g) == nil && g.State == state
	})
	return g
}

// NextGeneration waits for the next callback of Dream Machine.
func (w *Fixture) NextGeneration() Generation {
	w.Helper()
	return ParseGeneration(w.T, w.Callback().Body)
}

// Paid counts the paid submissions of a profile.
func (w *Fixture) Paid(p string) int {
	return sim.CountPaid(w.Sim.Ledger(), sim.ByProfile)[p]
}

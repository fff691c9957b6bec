package sim_test

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
	modifyPath = "/dream-machine/v1/generations/video/modify"
	agentsPath = "/luma-agents/v1/generations"
)

// object is a JSON object in the making.
type object = map[string]any

// generation is what both APIs of Luma answer; each fills its own fields.
type generation struct {
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

// parseGeneration decodes a body of either API.
func parseGeneration(t *testing.T, raw string) generation {
	t.Helper()
	var g generation
	if err := json.Unmarshal([]byte(raw), &g); err != nil {
		t.Fatalf("generation %s: %v", raw, err)
	}
	return g
}

// with returns a copy of an object with other values; nil removes a field.
func (w *world) with(base, changes object) object {
	out := maps.Clone(base)
	for key, value := range changes {
		if out[key] = value; value == nil {
			delete(out, key)
		}
	}
	return out
}

// modifyRequest is a good body for Dream Machine.
func (w *world) modifyRequest(prompt string) object {
	return object{
		"generation_type": "modify_video", "model": "ray-2", "mode": "flex_1", "prompt": prompt,
		"media": object{"url": sourceURL}, "callback_url": w.hook.server.URL + "/cb?token=a&b=c",
	}
}

// editRequest is a good body for Agents.
func (w *world) editRequest(prompt string) object {
	return object{
		"model": "ray-3.2", "type": "video_edit", "prompt": prompt,
		"source": object{"url": sourceURL, "media_type": "video/mp4"},
		"video":  object{"resolution": "720p", "edit": object{"strength": "flex_1"}},
	}
}

// create sends a good submission to one of Luma's APIs and returns the generation.
func (w *world) create(path string, body object) generation {
	w.Helper()
	e := w.post(path, body)
	g := parseGeneration(w.T, e.raw)
	if e.status != 201 || g.ID == "" {
		w.Fatalf("create: got status %d, %s", e.status, e.raw)
	}
	return g
}

// modified creates a Dream Machine generation for a prompt, and edited one of Agents.
func (w *world) modified(prompt string) generation {
	w.Helper()
	return w.create(modifyPath, w.modifyRequest(prompt))
}

func (w *world) edited(prompt string) generation {
	w.Helper()
	return w.create(agentsPath, w.editRequest(prompt))
}

func (w *world) lumaGet(id string) envelope {
	w.Helper()
	return w.get(w.sim.BaseURL(luma.Name) + "/generations/" + id)
}

func (w *world) agentsGet(id string) envelope {
	w.Helper()
	return w.get(w.sim.BaseURL(lumaagents.Name) + "/generations/" + id)
}

// reached waits until a generation has a state, and returns it as get shows it then.
func (w *world) reached(get func(id string) envelope, id, state string) generation {
	w.Helper()
	var g generation
	w.await(id+" "+state, func() bool {
		g = generation{}
		return json.Unmarshal([]byte(get(id).raw), &g) == nil && g.State == state
	})
	return g
}

// told waits for the next callback of Dream Machine.
func (w *world) told() generation {
	w.Helper()
	return parseGeneration(w.T, w.callback().body)
}

// paid counts the paid submissions of a profile.
func (w *world) paid(p string) int {
	return sim.CountPaid(w.sim.Ledger(), sim.ByProfile)[p]
}

package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// routeModels are models with an offering for each rejection.
const routeModels = `
models:
  - name: acme/edit
    title: Acme Edit
    route: [far, luma, kie, luma-agents]
    offerings:
      - {provider: far, remote: acme/v1, default: true, source: {field: v}}
      - provider: luma
        remote: acme-1
        prompt: {field: prompt, max_characters: 10}
        source: {field: v}
        strength: {field: mode, values: {flex_1: f, flex_2: g}, default: flex_1}
        facts: {prompt: {source: a test, certainty: guess}}
      - provider: kie
        remote: acme/edit
        source: {field: v}
        watermark: {field: w}
        parameters: {type: object, additionalProperties: false, properties: {seed: {type: integer}}}
      - provider: luma-agents
        remote: acme-0
        source: {field: v}
        lifecycle: {retire: 2026-08-19, replaced_by: acme/edit-2}
        facts: {lifecycle: {source: a test, certainty: guess}}
  - name: acme/gone
    title: Acme Gone
    offerings:
      - provider: luma-agents
        remote: gone
        source: {field: v}
        lifecycle: {retire: 2026-01-01}
        facts: {lifecycle: {source: a test, certainty: guess}}
  - name: acme/far
    title: Acme Far
    offerings:
      - {provider: far, remote: far, source: {field: v}}
  - name: acme/closed
    title: Acme Closed
    offerings:
      - {provider: kie, remote: closed, source: {field: v}}
      - {provider: luma, remote: closed, source: {field: v}}
  - name: acme/half
    title: Acme Half
    offerings:
      - {provider: kie, remote: half, source: {field: v}}
      - {provider: luma, remote: half, source: {field: v}}
`

// named is an account of which nothing but the provider is asked.
type named struct {
	provider.Provider
	name string
}

func (p named) Name() string { return p.name }

// routeTime is the time of these tests.
var routeTime = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

// closedOfferings are pairs of a provider and a model that is closed there.
type closedOfferings [][2]string

func (c closedOfferings) Closures(context.Context) ([]admission.Closure, error) {
	closures := make([]admission.Closure, len(c))
	for i, o := range c {
		closures[i] = admission.Closure{Provider: o[0], Model: o[1], Reason: "the provider has no such model", Since: routeTime.Add(-time.Hour)}
	}
	return closures, nil
}

func (closedOfferings) CloseOffering(context.Context, string, string, string) error { return nil }

func (closedOfferings) OpenOffering(context.Context, string, string) error { return nil }

// routing returns verbs with these models in addition to those that are built in, of which acme/closed and acme/half at kie are closed, and with accounts
// at luma, kie and luma-agents. They have no store.
func routing(t *testing.T, own string) *lifecycle.Lifecycle {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	models, err := catalog.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	accounts := provider.Accounts{}
	for _, name := range []string{"luma", "kie", "luma-agents"} {
		accounts[name] = named{name: name}
	}
	verbs, err := lifecycle.New(lifecycle.Config{
		Accounts: accounts, Catalog: func() *catalog.Catalog { return models }, Route: []string{"kie", "luma"},
		Now: func() time.Time { return routeTime }, CheckSource: func(string) error { return nil },
		Offerings: closedOfferings{{"kie", "acme/closed"}, {"luma", "acme/closed"}, {"kie", "acme/half"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return verbs
}

// TestRoute_ARejectionHasTheReasonOfEachOffering has every rejection as its text.
func TestRoute_ARejectionHasTheReasonOfEachOffering(t *testing.T) {
	t.Parallel()
	verbs := routing(t, routeModels)
	const gone, noAccount = "model: provider luma-agents (acme/edit) was retired on 2026-08-19, and acme/edit-2 replaces it", "model: provider far (acme/edit) has no account here"
	closedAt := func(name string) string {
		return "model: provider " + name + " (acme/closed) has been closed since 2026-11-05T11:00:00Z: the provider has no such model"
	}
	for name, tc := range map[string]struct {
		change func(*task.Spec)
		want   []string
	}{
		"an unknown model": {
			func(s *task.Spec) { s.Model = "acme/none" },
			[]string{`model: unknown model "acme/none"; known are: acme/closed, acme/edit, acme/gone, acme/half, google/gemini-omni-video, happyhorse/video-edit, kling/3.0-omni-transformation, luma/ray-2-flash-modify, luma/ray-2-modify, luma/ray-3.2-edit, wan/2-6-video-to-video, wan/2-7-videoedit`},
		},
		"retired":    {func(s *task.Spec) { s.Model = "acme/gone" }, []string{"model: provider luma-agents (acme/gone) was retired on 2026-01-01"}},
		"no account": {func(s *task.Spec) { s.Model = "acme/far" }, []string{"model: provider far (acme/far) has no account here"}},
		"closed":     {func(s *task.Spec) { s.Model = "acme/closed" }, []string{closedAt("kie"), closedAt("luma")}},
		"a strength, and a watermark": {
			func(s *task.Spec) { s.Model, s.Strength, s.Watermark = "acme/edit", "flex_1", "w" },
			[]string{
				"watermark: provider luma (acme/edit) lacks the capability watermark",
				"strength: provider kie (acme/edit) lacks the capability strengths",
				noAccount, gone,
			},
		},
		"a strength that none has": {
			func(s *task.Spec) { s.Model, s.Strength = "acme/edit", "adhere_1" },
			[]string{
				`strength: provider luma (acme/edit) has no "adhere_1" (capability strengths: flex_1, flex_2)`,
				"strength: provider kie (acme/edit) lacks the capability strengths",
				noAccount, gone,
			},
		},
		"a first frame": {
			func(s *task.Spec) { s.Model, s.FirstFrameURI = "acme/edit", "https://h/f.png" },
			[]string{
				"first_frame_uri: provider luma (acme/edit) lacks the capability first_frame",
				"first_frame_uri: provider kie (acme/edit) lacks the capability first_frame",
				noAccount, gone,
			},
		},
		"a prompt too long, and parameters of another offering": {
			func(s *task.Spec) {
				s.Model, s.Prompt, s.Parameters = "acme/edit", strings.Repeat("x", 11), `{"seed":"one","size":1}`
			},
			[]string{
				"prompt: has 11 characters; provider luma (acme/edit) takes 10 (capability max_prompt)",
				"parameters.seed: provider kie (acme/edit): got string, want integer",
				noAccount, gone,
				"parameters.size: provider kie (acme/edit): there is no such parameter",
			},
		},
		"parameters that are no JSON": {
			func(s *task.Spec) { s.Model, s.Parameters, s.Watermark = "acme/edit", `not finite`, "w" },
			[]string{
				"watermark: provider luma (acme/edit) lacks the capability watermark",
				"parameters: must be a JSON object with finite numbers",
				noAccount, gone,
			},
		},
		"no model": {
			func(s *task.Spec) { s.Model, s.Strength, s.Watermark = "", "flex_1", "w" },
			[]string{
				"strength: provider kie (luma/ray-2-modify) lacks the capability strengths",
				"watermark: provider luma (luma/ray-2-modify) lacks the capability watermark",
			},
		},
		"a fallback without a provider": {
			func(s *task.Spec) { s.Fallbacks = []string{"kie"} },
			[]string{"fallback_providers: needs provider to be set: without it the service's route is taken"},
		},
		"a named provider without an account": {
			func(s *task.Spec) { s.Provider = "fal" },
			[]string{`provider: unknown provider "fal"; known are: kie, luma, luma-agents`},
		},
		"a fallback without an account": {
			func(s *task.Spec) { s.Provider, s.Fallbacks = "kie", []string{"fal"} },
			[]string{`fallback_providers[0]: unknown provider "fal"; known are: kie, luma, luma-agents`},
		},
		"a fallback twice": {
			func(s *task.Spec) { s.Provider, s.Fallbacks = "kie", []string{"kie"} },
			[]string{`fallback_providers[0]: names provider "kie" again`},
		},
		"a named provider without the model": {
			func(s *task.Spec) { s.Provider, s.Model = "kie", "acme/gone" },
			[]string{`model: provider kie has no "acme/gone" (capability models: acme/closed, acme/edit, acme/half, google/gemini-omni-video, happyhorse/video-edit, kling/3.0-omni-transformation, luma/ray-2-modify, wan/2-6-video-to-video, wan/2-7-videoedit)`},
		},
		"a named provider that is retired": {func(s *task.Spec) { s.Provider, s.Model = "luma-agents", "acme/edit" }, []string{gone}},
		"named providers that are closed": {
			func(s *task.Spec) { s.Provider, s.Fallbacks, s.Model = "luma", []string{"kie"}, "acme/closed" },
			[]string{closedAt("luma"), closedAt("kie")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := task.Spec{Prompt: "snow", SourceURI: "https://h/v.mp4"}
			tc.change(&spec)
			route, err := verbs.Route(spec)
			rejected, ok := errors.AsType[*lifecycle.FieldError](err)
			if !ok {
				t.Fatalf("got the route %v, %v, want a FieldError", route, err)
			}
			got := []string{rejected.Error()}
			for _, other := range rejected.Others {
				got = append(got, other.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoute_LeavesOutWhatCantRunTheTask(t *testing.T) {
	t.Parallel()
	verbs := routing(t, routeModels+`
  - name: luma/ray-2-modify
    route: [kie]
`)
	for name, tc := range map[string]struct {
		spec task.Spec
		want string
	}{
		"of a model":                    {task.Spec{Model: "acme/edit"}, "luma kie"},
		"with a strength":               {task.Spec{Model: "acme/edit", Strength: "flex_2"}, "luma"},
		"of a model by an operator":     {task.Spec{Model: "luma/ray-2-modify"}, "kie luma"},
		"of a provider's name":          {task.Spec{Model: "acme-1"}, "luma"},
		"without a model":               {task.Spec{}, "kie luma"},
		"named":                         {task.Spec{Provider: "luma", Fallbacks: []string{"kie"}}, "luma kie"},
		"named, with a model":           {task.Spec{Provider: "kie", Model: "acme/edit"}, "kie"},
		"named, and closed at one only": {task.Spec{Provider: "kie", Fallbacks: []string{"luma"}, Model: "acme/half"}, "luma"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			route, err := verbs.Route(tc.spec)
			if got := strings.Join(route, " "); got != tc.want || err != nil {
				t.Errorf("the route is %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestRoute_ARejectionIsBounded(t *testing.T) {
	t.Parallel()
	var own strings.Builder
	own.WriteString("models:\n  - name: acme/everywhere\n    title: Acme Everywhere\n    offerings:\n")
	for i := range 40 {
		fmt.Fprintf(&own, "      - {provider: p%d, remote: v%d, default: true, source: {field: v}}\n", i, i)
	}
	_, err := routing(t, own.String()).Route(task.Spec{Model: "acme/everywhere"})
	rejected, ok := errors.AsType[*lifecycle.FieldError](err)
	if !ok || len(rejected.Others) != 20 {
		t.Errorf("got %v, want a FieldError with 20 others", err)
	}
}

package promises_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/fal"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
)

// onlyFal configures a service with fal alone, which is asked about attempts only when a callback makes that necessary. The user of fal
// is configured, since a callback may come before the answer to its submission.
func onlyFal(control *simfal.Control) func(*server.Config, *e2etest.SimConfig) {
	return func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE = server.Upstream{}
		f.Fal.Upstream = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Poll: time.Hour, Limits: []string{"100/1s/100"}}
		f.Fal.UserIDs, c.Fal.UserID = []string{"refract-user"}, "refract-user"
		c.Fal.Control = control
	}
}

// TestPromise14_AProvenBodySettlesWithoutAQuestion runs tasks to their ends by their callbacks alone.
//
// It fails when a callback with a proven body is taken for a hint.
func TestPromise14_AProvenBodySettlesWithoutAQuestion(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, onlyFal(simfal.NewControl()))
	for directive, want := range map[string]refractv1.TaskState{
		"":                                    refractv1.TaskState_TASK_STATE_SUCCEEDED,
		"[sim:duplicate=2]":                   refractv1.TaskState_TASK_STATE_SUCCEEDED,
		"[sim:fail=content_policy_violation]": refractv1.TaskState_TASK_STATE_FAILED,
	} {
		t.Run(directive, func(t *testing.T) {
			if got := ts.End(t, ts.Submit(t, directive, e2etest.At(fal.Name)).GetId()); got.GetState() != want {
				t.Errorf("ended %v, want %v", got, want)
			}
			if n := ts.FalQueries(); n != 0 {
				t.Errorf("fal was asked %d times, want never", n)
			}
		})
	}
}

// TestPromise14_AnUnprovenBodyChangesNothing lets the provider's callback come with a signature that proves nothing. The callback is
// refused with the reason, and the task stays as it is.
//
// It fails when any of the checks of the signature is left out.
func TestPromise14_AnUnprovenBodyChangesNothing(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, onlyFal(simfal.NewControl()))
	for directive, verdict := range map[string]string{
		"bad-signature": "bad_signature", "no-signature": "bad_signature", "wrong-key": "bad_signature", "tampered": "bad_signature",
		"foreign-user": "bad_signature", "stale": "stale",
	} {
		t.Run(directive, func(t *testing.T) {
			id := ts.Submit(t, "[sim:"+directive+"]", e2etest.At(fal.Name)).GetId()
			e2etest.Eventually(t, "the callback is in the inbox", func() bool {
				return postgrestest.Value[bool](t, ts.Pool, `SELECT EXISTS (SELECT FROM callback JOIN attempt ON attempt.id = attempt_id
					WHERE task_id = $1 AND verdict = $2)`, id, verdict)
			})
			ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
			if got := ts.Get(t, id); got.GetState() != refractv1.TaskState_TASK_STATE_RUNNING {
				t.Errorf("the task is %v, want RUNNING", got.GetState())
			}
			if n := ts.FalQueries(); n != 0 {
				t.Errorf("fal was asked %d times, want never: the callback is refused", n)
			}
		})
	}
}

// TestPromise14_WithoutTheKeySetACallbackIsAHint makes the key set unreachable. The callback leads to a question, whose answer counts.
//
// It fails when a callback counts as forged because its key can't be fetched.
func TestPromise14_WithoutTheKeySetACallbackIsAHint(t *testing.T) {
	t.Parallel()
	control := simfal.NewControl()
	control.SetKeySetDown(true)
	ts := e2etest.Start(t, onlyFal(control))
	for range 2 {
		if got := ts.End(t, ts.Submit(t, "", e2etest.At(fal.Name)).GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Fatalf("ended %v, want SUCCEEDED", got)
		}
	}
	if ts.FalQueries() == 0 {
		t.Error("fal was never asked, although nothing proved its callbacks")
	}
	if n := ts.Metric(t, "refract_callbacks_total", `verdict="keys_unavailable"`); n < 2 {
		t.Errorf("%d callbacks are counted as without keys, want two", n)
	}
}

// TestCatalog_ANewModelRunsByAFileAlone sells a model through fal that the program does not know. Its parameters reach fal.
func TestCatalog_ANewModelRunsByAFileAlone(t *testing.T) {
	t.Parallel()
	file := e2etest.CatalogFile(t, `
models:
  - name: acme/edit
    title: Acme Edit
    description: Edits a clip.
    route: [fal]
    offerings:
      - provider: fal
        remote: acme/edit-1/pro
        prompt: {field: prompt, max_characters: 2000, required: true}
        source: {field: video_url, max_bytes: 100_000_000}
        parameters:
          type: object
          additionalProperties: false
          properties:
            resolution: {enum: [720p, 1080p]}
        facts:
          prompt: {source: the model's page, certainty: documented}
          source: {source: the model's page, certainty: documented}
`)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		onlyFal(simfal.NewControl())(f, c)
		f.Catalog = []string{file}
	})
	ofModel := func(resolution string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) {
			e2etest.WithParameters(map[string]any{"resolution": resolution})(r)
			r.Model = "acme/edit"
		}
	}
	req := e2etest.GoodRequest()
	ofModel("8k")(req)
	if _, err := ts.Tasks.SubmitTask(ts.Ctx(t), req); !slices.Contains(e2etest.RefusalOf(err).Fields, "parameters.resolution") {
		t.Errorf("SubmitTask = %v, want a violation of parameters.resolution", err)
	}
	if got := ts.End(t, ts.Submit(t, "", ofModel("720p")).GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", got)
	}
	i := slices.IndexFunc(ts.Sim.Ledger(), func(e sim.Entry) bool {
		return e.Model == "acme/edit-1/pro" && strings.Contains(string(e.Input), `"resolution":"720p"`)
	})
	if i < 0 {
		t.Errorf("the ledger lacks the model with its parameter: %+v", ts.Sim.Ledger())
	}
}

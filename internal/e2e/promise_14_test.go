package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/provider/fal"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
)

// onlyFal configures a service with fal alone, which is asked about attempts only when a callback makes that necessary. The user of fal
// is configured, since a callback may come before the answer to its submission.
func onlyFal(control *simfal.Control) func(*server.Config, *simConfig) {
	return func(f *server.Config, c *simConfig) {
		f.KIE = server.Upstream{}
		f.Fal.Upstream = server.Upstream{APIKeys: []redact.Secret{testAPIKey}, Poll: time.Hour}
		f.Fal.UserIDs, c.Fal.UserID = []string{"refract-user"}, "refract-user"
		c.Fal.Control = control
	}
}

// asked returns how many queries the simulator of fal got: about the status or for the result.
func (ts *testService) asked() int {
	n := 0
	for _, u := range ts.sim.Limits().Queries {
		if u.Profile == fal.Name {
			n += u.Accepted
		}
	}
	return n
}

// TestPromise14_AProvenBodySettlesWithoutAQuestion runs tasks to their ends by their callbacks alone.
//
// It fails when a callback with a proven body is taken for a hint.
func TestPromise14_AProvenBodySettlesWithoutAQuestion(t *testing.T) {
	t.Parallel()
	for directive, want := range map[string]refractv1.TaskState{
		"":                                    refractv1.TaskState_TASK_STATE_SUCCEEDED,
		"[sim:duplicate=2]":                   refractv1.TaskState_TASK_STATE_SUCCEEDED,
		"[sim:fail=content_policy_violation]": refractv1.TaskState_TASK_STATE_FAILED,
	} {
		t.Run(directive, func(t *testing.T) {
			t.Parallel()
			ts := startService(t, onlyFal(simfal.NewControl()))
			if got := ts.end(t, ts.submit(t, directive, at(fal.Name)).GetId()); got.GetState() != want {
				t.Errorf("ended %v, want %v", got, want)
			}
			if n := ts.asked(); n != 0 {
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
	for directive, verdict := range map[string]string{
		"bad-signature": "bad_signature", "no-signature": "bad_signature", "wrong-key": "bad_signature", "tampered": "bad_signature",
		"foreign-user": "bad_signature", "stale": "stale",
	} {
		t.Run(directive, func(t *testing.T) {
			t.Parallel()
			ts := startService(t, onlyFal(simfal.NewControl()))
			id := ts.submit(t, "[sim:"+directive+"]", at(fal.Name)).GetId()
			eventually(t, "the callback is in the inbox", func() bool {
				return ask[int](t, ts.pool, "SELECT count(*)::int FROM callback WHERE verdict = $1", verdict) > 0
			})
			ts.await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
			if got := ts.get(t, id); got.GetState() != refractv1.TaskState_TASK_STATE_RUNNING {
				t.Errorf("the task is %v, want RUNNING", got.GetState())
			}
			if n := ts.asked(); n != 0 {
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
	ts := startService(t, onlyFal(control))
	for range 2 {
		if got := ts.end(t, ts.submit(t, "", at(fal.Name)).GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
			t.Fatalf("ended %v, want SUCCEEDED", got)
		}
	}
	if ts.asked() == 0 {
		t.Error("fal was never asked, although nothing proved its callbacks")
	}
	if n := ts.metric(t, "refract_callbacks_total", `verdict="keys_unavailable"`); n < 2 {
		t.Errorf("%d callbacks are counted as without keys, want two", n)
	}
}

// TestCatalog_ANewModelRunsByAFileAlone sells a model through fal that the program does not know. Its parameters reach fal.
func TestCatalog_ANewModelRunsByAFileAlone(t *testing.T) {
	t.Parallel()
	file := catalogFile(t, `
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
	ts := startService(t, func(f *server.Config, c *simConfig) {
		onlyFal(simfal.NewControl())(f, c)
		f.Catalog = []string{file}
	})
	ofModel := func(resolution string) func(*refractv1.SubmitTaskRequest) {
		return func(r *refractv1.SubmitTaskRequest) {
			withParameters(map[string]any{"resolution": resolution})(r)
			r.Model = "acme/edit"
		}
	}
	req := goodRequest()
	ofModel("8k")(req)
	if _, err := ts.tasks.SubmitTask(ts.ctx(t), req); !slices.Contains(refusalOf(err).Fields, "parameters.resolution") {
		t.Errorf("SubmitTask = %v, want a violation of parameters.resolution", err)
	}
	if got := ts.end(t, ts.submit(t, "", ofModel("720p")).GetId()); got.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", got)
	}
	i := slices.IndexFunc(ts.sim.Ledger(), func(e sim.Entry) bool {
		return e.Model == "acme/edit-1/pro" && strings.Contains(string(e.Input), `"resolution":"720p"`)
	})
	if i < 0 {
		t.Errorf("the ledger lacks the model with its parameter: %+v", ts.sim.Ledger())
	}
}

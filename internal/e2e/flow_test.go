package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestService_ModifiesAVideo runs a task from end to end: submit, admission, provider, signed callback, save, download.
func TestService_ModifiesAVideo(t *testing.T) {
	t.Parallel()
	ts, gate := startBehindGate(t)
	task := ts.Submit(t, "")
	ts.Await(t, task.GetId(), e2etest.IsRunning)
	gate.Open.Store(true)

	var states []string
	var last *refractv1.TaskEvent
	for i, e := range ts.Await(t, task.GetId(), func(e *refractv1.TaskEvent) bool { return e2etest.Terminal(e.GetState()) }) {
		if e.GetRevision() != int64(i+1) {
			t.Errorf("event %d has revision %d, want no gap", i+1, e.GetRevision())
		}
		states, last = append(states, e.GetState().String()), e
	}
	want := []string{"TASK_STATE_QUEUED", "TASK_STATE_SUBMITTING", "TASK_STATE_RUNNING", "TASK_STATE_SAVING", "TASK_STATE_SUCCEEDED"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	entry := ts.Sim.Ledger()[0]
	clip := sim.ResultClip(entry.TaskID, 0)
	sum := sha256.Sum256(clip)
	if len(last.GetOutputs()) != 1 || last.GetOutputs()[0].GetSha256() != hex.EncodeToString(sum[:]) || last.GetOutputs()[0].GetSizeBytes() != int64(len(clip)) {
		t.Fatalf("outputs are %v, want one of %d bytes with SHA-256 %x", last.GetOutputs(), len(clip), sum)
	}
	status, header, body := e2etest.Request(t, http.MethodGet, last.GetOutputs()[0].GetDownloadUri(), "", "Authorization", "Bearer "+ts.Token, "Range", "bytes=100-199")
	if status != http.StatusPartialContent || !bytes.Equal(body, clip[100:200]) {
		t.Errorf("a range gave %d with %d bytes (%s), want 206 with bytes 100 to 199", status, len(body), header.Get("Content-Range"))
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt); paid[entry.Prompt] != 1 {
		t.Errorf("paid %d times, want once", paid[entry.Prompt])
	}
}

// startBehindGate starts the service behind a closed gate. Tasks stay in RUNNING until the test opens it.
func startBehindGate(t *testing.T) (*e2etest.Service, *e2etest.Gate) {
	t.Helper()
	gate := e2etest.StartGate(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Poll = time.Hour // No check ends the task.
		f.CallbackURL, c.Kie.CallbackAttempts = gate.URL, 20_000
	})
	gate.To(ts)
	return ts, gate
}

// TestService_SurvivesTheProvider runs one task through each of the provider's faults.
func TestService_SurvivesTheProvider(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	for _, tc := range []struct {
		directive string
		want      refractv1.TaskState
		reason    refractv1.FailureReason
		payment   refractv1.Payment
		paid      int
	}{
		{"[sim:duplicate=3]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:early]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:conflict]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:forge-urls]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:forge-code]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:prompt-object]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:empty-callback]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:once]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:expired]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:results=3]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:drop-after]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:truncate]", refractv1.TaskState_TASK_STATE_SUCCEEDED, 0, 0, 1},
		{"[sim:fail]", refractv1.TaskState_TASK_STATE_FAILED, refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, refractv1.Payment_PAYMENT_PAID, 1},
		{"[sim:create-fail]", refractv1.TaskState_TASK_STATE_FAILED, refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, refractv1.Payment_PAYMENT_PAID, 1},
		{"[sim:code=422]", refractv1.TaskState_TASK_STATE_FAILED, refractv1.FailureReason_FAILURE_REASON_INPUT_REJECTED, refractv1.Payment_PAYMENT_NONE, 0},
		{"[sim:code=413]", refractv1.TaskState_TASK_STATE_FAILED, refractv1.FailureReason_FAILURE_REASON_PROVIDER_REJECTED, refractv1.Payment_PAYMENT_NONE, 0},
		{"[sim:html-result]", refractv1.TaskState_TASK_STATE_FAILED, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID, refractv1.Payment_PAYMENT_PAID, 1},
	} {
		t.Run(tc.directive, func(t *testing.T) {
			t.Parallel()
			task := ts.Submit(t, tc.directive)
			last := ts.End(t, task.GetId())
			if last.GetState() != tc.want || last.GetFailure().GetReason() != tc.reason || last.GetFailure().GetPayment() != tc.payment {
				t.Errorf("ended %v, want %v with %v, %v", last, tc.want, tc.reason, tc.payment)
			}
			if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != tc.paid {
				t.Errorf("paid %d times, want %d", paid, tc.paid)
			}
			for _, d := range ts.Sim.Downloads() {
				if d.Forged {
					t.Errorf("a forged link was followed: %v", d)
				}
			}
		})
	}
}

package operation_test

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/e2e/receiver"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
)

var update = flag.Bool("update", false, "write the golden files")

// TestExplain_ShowsWhyATaskIsWhereItIs brings tasks of one service into eleven situations, one after the other, and compares what
// `refract explain` prints of each with a golden file. Ids, times and sizes are replaced. The program itself runs once.
func TestExplain_ShowsWhyATaskIsWhereItIs(t *testing.T) {
	t.Parallel()
	callbacks, hooks := e2etest.StartGate(t), e2etest.StartHooks(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		f.KIE.Poll = time.Hour // No check comes between.
		f.Luma = server.Upstream{APIKeys: []redact.Secret{e2etest.APIKey}, Poll: time.Hour}
		f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{"a-key-that-was-revoked"}}
		f.CallbackURL, c.Kie.CallbackAttempts = callbacks.URL, 20_000
		f.Tuning.Save, f.Tuning.Pause = output.Patience{Tries: 100}, time.Millisecond // A save fails after its tenth connection.
		f.KeepOutputs = 24 * time.Hour
	})
	callbacks.To(ts)
	e2etest.AwaitReady(t, ts, http.StatusOK)
	ops := ts.Operator(t)
	check := func(name, out string) {
		t.Helper()
		if strings.Contains(out, secretOfWebhook) {
			t.Errorf("%s: the page shows a secret:\n%s", name, out)
		}
		checkGolden(t, filepath.Join("testdata", "explain", name+".txt"), normalized(out))
	}
	explained := func(name, id string) {
		t.Helper()
		check(name, command(t, ts, ts.Token, "explain", id))
	}
	state := func(id string, want refractv1.TaskState) {
		t.Helper()
		ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == want })
	}
	cancel := func(id string) {
		t.Helper()
		if _, err := ts.Tasks.CancelTask(ts.Ctx(t), &refractv1.CancelTaskRequest{TaskId: id}); err != nil {
			t.Fatal(err)
		}
	}
	attemptIs := func(id, want string) {
		t.Helper()
		e2etest.Eventually(t, "the attempt to be "+want, func() bool {
			return postgrestest.Value[bool](t, ts.Pool, "SELECT bool_or(state = $2) FROM attempt WHERE task_id = $1", id, want)
		})
	}
	const running = refractv1.TaskState_TASK_STATE_RUNNING

	command(t, ts, ops.Token, "provider", "limit", "luma", "--rate=1/1h")
	state(ts.Submit(t, "[sim:processing=1h]", e2etest.At(luma.Name)).GetId(), running)
	behind := ts.Submit(t, "", e2etest.At(luma.Name)).GetId()
	ts.Waits(t, behind, refractv1.WaitingCause_WAITING_CAUSE_RATE_WINDOW)
	explained("rate_window", behind)
	cancel(behind)

	command(t, ts, ops.Token, "provider", "pause", "luma", "--reason=a price change")
	paused := ts.Submit(t, "", e2etest.At(luma.Name)).GetId()
	ts.Waits(t, paused, refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED)
	explained("provider_paused", paused)
	cancel(paused)

	closed := ts.Submit(t, "", e2etest.At(luma.Name), func(r *refractv1.SubmitTaskRequest) { r.Model = "luma/ray-2-modify" }).GetId()
	command(t, ts, ops.Token, "model", "close", "luma/ray-2-modify", "luma", "--reason=prices rose")
	ts.Waits(t, closed, refractv1.WaitingCause_WAITING_CAUSE_OFFERING_CLOSED)
	explained("offering_closed", closed)
	cancel(closed)

	normal := ts.Submit(t, "[sim:processing=1h]", e2etest.At(kie.Name)).GetId()
	state(normal, running)
	exit, out, errs := e2etest.Command(t, ts.GRPCAddr(), "explain", normal, "--token="+ts.Token)
	if exit != 0 {
		t.Fatalf("explain failed: %s", errs)
	}
	check("running", out)

	unknown := ts.Submit(t, "[sim:drop-after]", e2etest.At(kie.Name)).GetId()
	ts.Waits(t, unknown, refractv1.WaitingCause_WAITING_CAUSE_UNCONFIRMED_OUTCOME)
	explained("unknown_outcome", unknown)

	postgrestest.Exec(t, ts.Pool, `UPDATE attempt SET create_time = now() - interval '31 minutes', next_check_time = now() WHERE task_id = $1`, unknown)
	ts.End(t, unknown) // FAILED.
	canceled := ts.Submit(t, "", e2etest.At(kie.Name)).GetId()
	state(canceled, running)
	cancel(canceled)
	callbacks.Open.Store(true) // Now the results of both come, too late.
	for _, id := range []string{unknown, canceled} {
		attemptIs(id, "SUCCEEDED")
		e2etest.Eventually(t, "the late result to be saved", func() bool {
			return postgrestest.Value[bool](t, ts.Pool, "SELECT bool_or(saved) FROM attempt WHERE task_id = $1", id)
		})
	}
	postgrestest.Exec(t, ts.Pool, `UPDATE attempt SET create_time = (SELECT create_time FROM task WHERE id = task_id) WHERE task_id = $1`, unknown)
	explained("late_result", unknown)
	explained("canceled", canceled)

	rejected := ts.Submit(t, "[sim:code=422]", e2etest.At(kie.Name)).GetId()
	ts.End(t, rejected)
	explained("input_rejected", rejected)

	// The callbacks wait until the provider's answer is stored, so that the order is the same each time.
	accepted := func(prompt string, amend ...func(*refractv1.SubmitTaskRequest)) string {
		t.Helper()
		callbacks.Open.Store(false)
		id := ts.Submit(t, prompt, amend...).GetId()
		state(id, running)
		return id
	}
	hooks.Subscribe(t, ts, "acme", "own", e2etest.ForOwnURIs, func(r *refractv1.CreateWebhookEndpointRequest) {
		r.EventTypes = []refractv1.WebhookEventType{refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_RUNNING, refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SUCCEEDED}
	})
	moved := accepted("", e2etest.At(lumaagents.Name, kie.Name), e2etest.WithWebhookURI(hooks.URL("own?key="+secretOfWebhook)))
	delivered := func(n int) {
		t.Helper()
		e2etest.Eventually(t, "the events to be delivered", func() bool {
			return postgrestest.Value[bool](t, ts.Pool, "SELECT count(*) = $2 AND bool_and(state <> 'PENDING') FROM webhook_delivery WHERE task_id = $1", moved, n)
		})
	}
	delivered(1)
	hooks.Behave(func(receiver.Request) receiver.Behavior { return receiver.Status(http.StatusGone) })
	callbacks.Open.Store(true)
	ts.End(t, moved)
	delivered(2)
	explained("fallback", moved)

	failing := accepted("[sim:gone=503]", e2etest.At(kie.Name))
	callbacks.Open.Store(true)
	ts.Waits(t, failing, refractv1.WaitingCause_WAITING_CAUSE_DOWNLOAD_FAILING)
	explained("download_failing", failing)

	// The bucket goes after the send, which is recorded there first.
	bucket := strings.TrimPrefix(ts.BucketURL, "file://")
	unsaved := accepted("", e2etest.At(kie.Name))
	if err := os.Rename(bucket, bucket+".away"); err != nil {
		t.Fatal(err)
	}
	callbacks.Open.Store(true)
	ts.Waits(t, unsaved, e2etest.StorageUnavailable)
	e2etest.Eventually(t, "the save to fail", func() bool {
		return postgrestest.Value[bool](t, ts.Pool, "SELECT EXISTS (SELECT FROM save_trouble JOIN attempt ON attempt.id = attempt_id WHERE task_id = $1)", unsaved)
	})
	e2etest.Eventually(t, "the storage to count as missing", func() bool {
		return strings.HasSuffix(ts.Get(t, unsaved).GetWaiting().GetMessage(), "when the storage works again")
	})
	explained("storage_unavailable", unsaved)
	if err := os.Rename(bucket+".away", bucket); err != nil {
		t.Fatal(err)
	}
}

// What differs from one run to the next, and its replacements.
var volatile = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`provider_task_id=\S+`), "provider_task_id=ID"},
	{regexp.MustCompile(`[0-9-]{10}T[0-9:]{8}Z`), "TIME"},
	{regexp.MustCompile(`[0-9-]{10} [0-9:]{8} UTC`), "TIME"},
	{regexp.MustCompile(`TIME  \+\S+ +`), "TIME  +AFTER  "},
	{regexp.MustCompile(`\(in [^)]*\)|\([^)]* ago\)`), "(…)"},
	{regexp.MustCompile(` next_try_time=TIME`), ""}, // It may be over.
	{regexp.MustCompile(`duration=\S+`), "duration=D"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`size_bytes=\d+`), "size_bytes=N"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(`TIME .* repeated what was known\n .*\n`), ""}, // A provider that is answered slowly calls back again.
}

// secretOfWebhook stands for credentials in a URL.
const secretOfWebhook = "a-secret-of-the-caller"

func normalized(out string) string {
	for _, v := range volatile {
		out = v.pattern.ReplaceAllString(out, v.by)
	}
	return out
}

// checkGolden compares text with a golden file.
func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

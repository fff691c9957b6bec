package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestWatch_PrintsALineForEachEvent(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, serveFile(t, &fileServer{}))
	exit, out, errs := command(t, r, "watch", testID, "--after-revision=0")
	want := `     +0.0s  QUEUED      submitted
                        connection lost, resuming
     +1.0s  RUNNING     kie accepted attempt 1
     +2.0s  SUCCEEDED   1 output saved
`
	if diff := cmp.Diff(want, out); diff != "" || exit != 0 {
		t.Errorf("exit %d: %s, output (-want +got):\n%s", exit, errs, diff)
	}
}

func TestWatch_PrintsJSONLinesWithoutBookmarks(t *testing.T) {
	t.Parallel()
	end := newTask(4, failed)
	end.Failure = &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Message: "kie failed"}
	r := startRemote(t, &remote{
		get: func() (*refractv1.Task, error) { return end, nil },
		watch: []func(watchStream) error{
			sends(errDraining, snapshot(newTask(2, submitting)), bookmark(2), event(newEvent(3, running, "kie accepted attempt 1"))),
			sends(nil, bookmark(3), event(newEvent(4, failed, "kie failed"))),
		},
	})
	exit, out, errs := command(t, r, "watch", testID, "--json")
	lines := jsonLines(t, out)
	if exit != 1 || len(lines) != 3 || !strings.Contains(errs, "PROVIDER_FAILED: kie failed") {
		t.Fatalf("exit %d: %s\n%s", exit, errs, out)
	}
	want := map[string]any{"event": map[string]any{
		"revision": "3", "createTime": "2026-11-05T12:00:02Z", "state": "TASK_STATE_RUNNING", "message": "kie accepted attempt 1",
	}}
	if diff := cmp.Diff(want, lines[1]); diff != "" || lines[0]["task"] == nil {
		t.Errorf("the second line (-want +got):\n%s\nall:\n%s", diff, out)
	}
	if want := `{"event":{"revision":"3",`; !strings.HasPrefix(strings.Split(out, "\n")[1], want) {
		t.Errorf("the second line varies from %s…:\n%s", want, out)
	}
}

func TestWatch_DownloadsAResultThatIsThere(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, serveFile(t, &fileServer{}))
	r.watch = []func(watchStream) error{sends(nil, snapshot(newTask(3, succeeded)))}
	dir := t.TempDir()
	exit, out, errs := command(t, r, "watch", testID, "-o", dir)
	if want := "path    " + filepath.Join(dir, testID+".mp4") + "\n"; exit != 0 || !strings.Contains(out, want) {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
}

func TestWatch_TellsAtOnceThatThereIsNoTask(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{get: func() (*refractv1.Task, error) {
		return nil, refused(codes.NotFound, "no such task", reason("TASK_NOT_FOUND"))
	}})
	if exit, out, errs := command(t, r, "watch", testID); exit != 1 || out != "" || errs != "refract: no such task [TASK_NOT_FOUND]\n" {
		t.Errorf("exit %d, output %q, error %q", exit, out, errs)
	}
}

func TestAwait_SaysWhenTheTokenIsWithheld(t *testing.T) {
	t.Parallel()
	f := serveFile(t, &fileServer{})
	r, done := finishing(t, f)
	// It leads to this machine, and is no loopback address.
	elsewhere := strings.Replace(f.URL, "127.0.0.1", "0.0.0.0", 1)
	done.Outputs[0].DownloadUri = elsewhere
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--output="+t.TempDir(), "--token="+testToken)
	if exit != 0 || !strings.Contains(out, "the token is not sent to "+elsewhere) {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
	if diff := cmp.Diff([]string{""}, f.tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

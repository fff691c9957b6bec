package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestWatch_PrintsALineForEachEvent(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	exit, out, errs := command(t, r, "watch", clienttest.TaskID, "--after-revision=0")
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
	end := clienttest.NewTask(4, clienttest.Failed)
	end.Failure = &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Message: "kie failed"}
	r := clienttest.Start(t, &clienttest.Service{
		Get: func() (*refractv1.Task, error) { return end, nil },
		Watch: []func(clienttest.WatchStream) error{
			clienttest.Sends(clienttest.ErrDraining, clienttest.Snapshot(clienttest.NewTask(2, clienttest.Submitting)), clienttest.Bookmark(2), clienttest.Event(3, clienttest.Running, "kie accepted attempt 1")),
			clienttest.Sends(nil, clienttest.Bookmark(3), clienttest.Event(4, clienttest.Failed, "kie failed")),
		},
	})
	exit, out, errs := command(t, r, "watch", clienttest.TaskID, "--json")
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
	r, _ := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	r.Watch = []func(clienttest.WatchStream) error{clienttest.Sends(nil, clienttest.Snapshot(clienttest.NewTask(3, clienttest.Succeeded)))}
	dir := t.TempDir()
	exit, out, errs := command(t, r, "watch", clienttest.TaskID, "-o", dir)
	if want := "path    " + filepath.Join(dir, clienttest.TaskID+".mp4") + "\n"; exit != 0 || !strings.Contains(out, want) {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
}

func TestWatch_FailsAtOnceWithoutATask(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Get: func() (*refractv1.Task, error) {
		return nil, clienttest.Refused(codes.NotFound, "no such task", clienttest.Reason("TASK_NOT_FOUND"))
	}})
	if exit, out, errs := command(t, r, "watch", clienttest.TaskID); exit != 1 || out != "" || errs != "refract: no such task [TASK_NOT_FOUND]\n" {
		t.Errorf("exit %d, output %q, error %q", exit, out, errs)
	}
}

func TestAwait_SaysWhenTheTokenIsWithheld(t *testing.T) {
	t.Parallel()
	f := clienttest.ServeFile(t, &clienttest.FileServer{})
	r, done := finishing(t, f)
	// It leads to this machine, and is no loopback address.
	elsewhere := strings.Replace(f.URL, "127.0.0.1", "0.0.0.0", 1)
	done.Outputs[0].DownloadUri = elsewhere
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--output="+t.TempDir(), "--token="+clienttest.Token)
	if exit != 0 || !strings.Contains(out, "the token is not sent to "+elsewhere) {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
	if diff := cmp.Diff([]string{""}, f.Authorizations()); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

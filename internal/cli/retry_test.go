package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestRetry_IsCalledOnce(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{retry: func(*refractv1.RetryTaskRequest) (*refractv1.Task, error) { return nil, errDraining }})
	if exit, _, _ := command(t, r, "retry", testID); exit != 1 || r.calls["RetryTask"] != 1 {
		t.Errorf("exit %d after %d calls", exit, r.calls["RetryTask"])
	}
}

func TestRetry_WaitsFromTheRevisionThatItMade(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, serveFile(t, &fileServer{}))
	var asked *refractv1.RetryTaskRequest
	r.retry = func(req *refractv1.RetryTaskRequest) (*refractv1.Task, error) {
		asked = req
		return newTask(2, queued), nil
	}
	r.watch = []func(watchStream) error{sends(nil, event(newEvent(3, succeeded, "1 output saved")))}
	exit, out, errs := command(t, r, "retry", testID, "--new-attempt", "--wait", "-o", t.TempDir())
	if exit != 0 || !asked.GetNewAttempt() {
		t.Fatalf("exit %d: %s; asked %v", exit, errs, asked)
	}
	if diff := cmp.Diff([]*int64{new(int64(2))}, r.watched); diff != "" {
		t.Errorf("after_revision (-want +got):\n%s", diff)
	}
	if !strings.Contains(out, "QUEUED      revision 2\n     +2.0s  SUCCEEDED   1 output saved\npath  ") {
		t.Errorf("output:\n%s", out)
	}
}

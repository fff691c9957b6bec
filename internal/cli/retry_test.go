package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestRetry_IsCalledOnce(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Retry: func(*refractv1.RetryTaskRequest) (*refractv1.Task, error) { return nil, clienttest.ErrDraining }})
	if exit, _, _ := command(t, r, "retry", clienttest.TaskID); exit != 1 || r.Calls()["RetryTask"] != 1 {
		t.Errorf("exit %d after %d calls", exit, r.Calls()["RetryTask"])
	}
}

func TestRetry_WaitsFromTheRevisionThatItMade(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	var asked *refractv1.RetryTaskRequest
	r.Retry = func(req *refractv1.RetryTaskRequest) (*refractv1.Task, error) {
		asked = req
		return clienttest.NewTask(2, clienttest.Queued), nil
	}
	r.Watch = []func(clienttest.WatchStream) error{clienttest.Sends(nil, clienttest.Event(3, clienttest.Succeeded, "1 output saved"))}
	exit, out, errs := command(t, r, "retry", clienttest.TaskID, "--new-attempt", "--wait", "-o", t.TempDir())
	if exit != 0 || !asked.GetNewAttempt() {
		t.Fatalf("exit %d: %s; asked %v", exit, errs, asked)
	}
	if diff := cmp.Diff([]*int64{new(int64(2))}, r.AfterRevisions()); diff != "" {
		t.Errorf("after_revision (-want +got):\n%s", diff)
	}
	if !strings.Contains(out, "QUEUED      revision 2\n     +2.0s  SUCCEEDED   1 output saved\npath  ") {
		t.Errorf("output:\n%s", out)
	}
}

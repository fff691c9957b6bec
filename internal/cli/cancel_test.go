package cli

import (
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestCancel_PrintsTheTask(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Get: func() (*refractv1.Task, error) { return clienttest.NewTask(2, clienttest.Canceled), nil }})
	exit, out, errs := command(t, r, "cancel", clienttest.TaskID)
	if exit != 0 || !strings.Contains(out, "state       CANCELED (revision 2)\n") || r.Calls()["CancelTask"] != 1 {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
}

package cli

import (
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestCancel_PrintsTheTask(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{get: func() (*refractv1.Task, error) { return newTask(2, canceled), nil }})
	exit, out, errs := command(t, r, "cancel", testID)
	if exit != 0 || !strings.Contains(out, "state       CANCELED (revision 2)\n") || r.calls["CancelTask"] != 1 {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
}

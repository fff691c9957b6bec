package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestRestoreCheck_PrintsWhatWasForgottenAndWhatToDo(t *testing.T) {
	t.Parallel()
	at := timestamppb.New(time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC))
	closed := &refractv1.Admission{
		CloseReason: refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK, Message: "the database was set back", CloseTime: at,
	}
	attempt := func(request string, known bool) *refractv1.UnknownAttempt {
		a := &refractv1.UnknownAttempt{Tenant: "films", RequestId: request, Attempt: 1, Account: "kie", SendTime: at, TaskKnown: known}
		if known {
			a.TaskState = refractv1.TaskState_TASK_STATE_QUEUED
		}
		return a
	}
	known, lost := attempt("r1", true), attempt("r2\x1b[2J", false)
	known.ProviderTaskId = "p1"
	for name, tc := range map[string]struct {
		settle   bool
		attempts []*refractv1.UnknownAttempt
		state    *refractv1.Admission
		want     string
	}{
		"forgotten": {attempts: []*refractv1.UnknownAttempt{known, lost}, state: closed, want: `TENANT  REQUEST  ATTEMPT  ACCOUNT  SENT                  PROVIDER TASK       TASK NOW
films   r1       1        kie      2026-11-05T12:00:00Z  p1                  QUEUED
films   r2 [2J   1        kie      2026-11-05T12:00:00Z  no answer recorded  lost
1 attempts are of tasks that the database has: ` + "`refract restore-check --settle`" + ` takes them over
1 attempts are of tasks that are lost: when their callers submit them again with the same request id, they are taken over and nothing is paid
admission is closed since 2026-11-05T12:00:00Z (DATABASE_SET_BACK): the database was set back
`},
		"settled": {settle: true, state: closed, want: `the database knows everything that was sent to providers
admission is closed since 2026-11-05T12:00:00Z (DATABASE_SET_BACK): the database was set back
open it with ` + "`refract admission open`" + `
`},
		"open": {state: &refractv1.Admission{Open: true}, want: `the database knows everything that was sent to providers
admission is open
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			c := &RestoreCheck{Settle: tc.settle}
			err := showUnknown(&out, tc.attempts)
			if err == nil {
				err = c.advise(&out, tc.attempts, tc.state)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" || err != nil {
				t.Errorf("%v, output (-want +got):\n%s", err, diff)
			}
		})
	}
}

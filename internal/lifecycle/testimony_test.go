package lifecycle_test

import (
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// TestJudge_ATaskIsAtFaultOnlyWhereOthersAreAccepted has all that may be known when an account refuses what it is given.
func TestJudge_ATaskIsAtFaultOnlyWhereOthersAreAccepted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		testimony lifecycle.Testimony
		blame     task.Blame
		refusals  string // How often it was refused, where it ends.
	}{
		{"the first refusal", lifecycle.Testimony{}, task.BlameAccount, ""},
		{"nobody else was accepted", lifecycle.Testimony{Refused: 99}, task.BlameAccount, ""},
		{"others were accepted since", lifecycle.Testimony{Refused: 1, Accepted: true}, task.BlameTask, ""},
		{"others were accepted long after", lifecycle.Testimony{Refused: 7, Accepted: true}, task.BlameTask, ""},
		{"others are refused by now", lifecycle.Testimony{Refused: 2, Faults: 1}, task.BlameAccount, ""},
		{"again", lifecycle.Testimony{Refused: 2, Faults: 1, Accepted: true}, task.BlameTask, "3"},
		{"after a retry", lifecycle.Testimony{Refused: 3, Faults: 2, Accepted: true}, task.BlameTask, "4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			answer := &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked, Op: "upload", Code: 403}
			blame, fault := lifecycle.JudgeUpload(tc.testimony, answer)
			if blame != tc.blame || (fault != nil) != (tc.refusals != "") {
				t.Fatalf("held against %s, %v, want %s, and an end: %t", blame, fault, tc.blame, tc.refusals != "")
			}
			if fault != nil && (fault.Class != provider.Rejected || !strings.Contains(fault.Message, "refused "+tc.refusals+" times")) {
				t.Errorf("the fault is %+v, want a rejection after %s refusals", fault, tc.refusals)
			}
		})
	}
}

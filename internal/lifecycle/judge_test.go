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
		name     string
		history  task.RefusalHistory
		blame    task.Blame
		refusals string // How often it was refused, where it ends.
	}{
		{"the first refusal", task.RefusalHistory{}, task.BlameAccount, ""},
		{"no other task was accepted", task.RefusalHistory{Refusals: 99}, task.BlameAccount, ""},
		{"others were accepted since", task.RefusalHistory{Refusals: 1, OthersAccepted: true}, task.BlameTask, ""},
		{"others were accepted long after", task.RefusalHistory{Refusals: 7, OthersAccepted: true}, task.BlameTask, ""},
		{"others are refused by now", task.RefusalHistory{Refusals: 2, Faults: 1}, task.BlameAccount, ""},
		{"again", task.RefusalHistory{Refusals: 2, Faults: 1, OthersAccepted: true}, task.BlameTask, "3"},
		{"after a retry", task.RefusalHistory{Refusals: 3, Faults: 2, OthersAccepted: true}, task.BlameTask, "4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			answer := &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked, Op: "upload", Code: 403}
			blame, fault := new(lifecycle.Lifecycle).JudgeUpload(tc.history, answer)
			if blame != tc.blame || (fault != nil) != (tc.refusals != "") {
				t.Fatalf("held against %s, %v, want %s, and an end: %t", blame, fault, tc.blame, tc.refusals != "")
			}
			if fault != nil && (fault.Class != provider.Rejected || !strings.Contains(fault.Message, "refused "+tc.refusals+" times")) {
				t.Errorf("the fault is %+v, want a rejection after %s refusals", fault, tc.refusals)
			}
		})
	}
}

package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// maxFaults is how many refusals are held against a task before it ends. The refusal before them paused the account.
const maxFaults = 2

// judgment is what a refusal means for the account and its task.
type judgment struct {
	blame    task.Blame
	delay    time.Duration // How long the task is not admitted.
	refusals int           // How often the task was refused in all, if it is at fault; otherwise 0.
	reason   task.Reason   // Why the task ends, if it is at fault.
}

// pauses reports whether the account pauses.
func (j judgment) pauses() bool { return j.blame == task.BlameAccount || j.blame == task.BlameChance }

// judge decides whether an account or the task that it refused is held responsible. When the account refused the task before and
// has accepted other tasks since, the task waits longer. When the refusal also says that the account is blocked, it is held
// against the task: the account does not pause, and after maxFaults of them the task is at fault and ends.
//
// NOTE: a task is never at fault for a rate limit or a failed connection, because any task can meet those by chance; nor for an
// unknown outcome, because its attempt may have been paid for and is not followed by another.
func (r SubmissionRule) judge(h task.RefusalHistory, answer *provider.Error) judgment {
	switch {
	case r.Pause == nil:
		return judgment{}
	case r.Created != CreatedNo || !h.OthersAccepted:
		return judgment{blame: r.accountBlame()}
	case !r.Pause.Blocks:
		return judgment{blame: r.accountBlame(), delay: min(r.Pause.For<<min(h.Refusals, 10), r.Pause.Max)}
	case h.Faults+1 < maxFaults:
		return judgment{blame: task.BlameTask, delay: max(r.Pause.For, answer.RetryAfter)}
	}
	j := judgment{blame: task.BlameTask, refusals: h.Refusals + 1, reason: task.ProviderRejected}
	if answer.Pause == provider.PauseCredits {
		j.reason = task.InsufficientCredits // The task may cost more than is left, while other tasks cost less.
	}
	return j
}

// accountBlame returns the blame for a refusal that is held against the account.
func (r SubmissionRule) accountBlame() task.Blame {
	if r.Pause.Blocks {
		return task.BlameAccount
	}
	return task.BlameChance
}

// JudgeUpload decides, as for submissions, whether an account or an upload is held responsible when the account refuses the upload
// and says that it is blocked. When the upload is at fault, fault is the refusal with which the tasks end that wait for it.
func (*Lifecycle) JudgeUpload(h task.RefusalHistory, answer *provider.Error) (blame task.Blame, fault *provider.Error) {
	j := ruleFor(provider.AccountBlocked).judge(h, answer)
	if j.refusals == 0 {
		return j.blame, nil
	}
	return j.blame, &provider.Error{
		Class: provider.Rejected, Op: answer.Op, Code: answer.Code,
		Message: provider.TrimMessage(fmt.Sprintf("refused %d times while it accepted other tasks: %s", j.refusals, answer.Message)),
	}
}

// refusalHistory reads how the account of a refused attempt answered before, and nothing when no decision depends on it.
func (l *Lifecycle) refusalHistory(ctx context.Context, id task.AttemptID, got answer) (task.RefusalHistory, error) {
	s := answered{err: refusal(got.err)}
	r := s.rule()
	if r.Pause == nil || r.Created != CreatedNo {
		return task.RefusalHistory{}, nil
	}
	return l.store.RefusalHistory(ctx, id, !r.Pause.Blocks)
}

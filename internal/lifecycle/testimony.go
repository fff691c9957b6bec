package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Testimony is what other tasks say about an account that refuses a task.
type Testimony struct {
	Refused  int  // How often the account refused the task before, as if it were blocked, or for the sake of the account in any way.
	Faults   int  // How many of those are held against the task.
	Accepted bool // Whether the newest answer to others, of those admitted since the first of these refusals, was an acceptance.
}

// maxFaults is how many refusals are held against a task before it ends. The one that came before them paused the account.
const maxFaults = 2

// judgment is what an answer that accepts nothing means for the account and its task.
type judgment struct {
	blame    task.Blame
	delay    time.Duration // How long the task is kept from admission.
	refusals int           // How often the task was refused in all, where it is at fault; else 0.
	reason   task.Reason   // Why the task ends, where it is at fault.
}

// pauses reports whether the account pauses.
func (j judgment) pauses() bool { return j.blame == task.BlameAccount || j.blame == task.BlameChance }

// judge decides between an account and the task that it refused. A task that has been refused before, while the account
// accepted another task since, is contradicted by that: it waits longer, and where the account is said to be blocked, the
// refusal is held against the task. The account does not pause then, and after maxFaults the task is at fault.
//
// NOTE: a task is never at fault for a rate limit or a connection that did not come about, since any task can meet those by
// chance; nor for an unknown outcome, since its attempt may have been paid for and is not followed by another.
func (r SubmissionRule) judge(t Testimony, answer *provider.Error) judgment {
	switch {
	case r.Pause == nil:
		return judgment{}
	case r.Created != CreatedNo || !t.Accepted:
		return judgment{blame: r.accountBlame()}
	case !r.Pause.Blocks:
		return judgment{blame: r.accountBlame(), delay: min(r.Pause.For<<min(t.Refused, 10), r.Pause.Max)}
	case t.Faults+1 < maxFaults:
		return judgment{blame: task.BlameTask, delay: max(r.Pause.For, answer.RetryAfter)}
	}
	j := judgment{blame: task.BlameTask, refusals: t.Refused + 1, reason: task.ProviderRejected}
	if answer.Pause == provider.PauseCredits {
		j.reason = task.InsufficientCredits // It may cost more than is left, and others less.
	}
	return j
}

// accountBlame is how a refusal is held against the account.
func (r SubmissionRule) accountBlame() task.Blame {
	if r.Pause.Blocks {
		return task.BlameAccount
	}
	return task.BlameChance
}

// JudgeUpload decides as for submissions what it is held against that an account, which is blocked by what it says, refused an
// upload. It returns the refusal by which the tasks end that wait for the upload, once the upload is at fault.
func JudgeUpload(t Testimony, answer *provider.Error) (blame task.Blame, fault *provider.Error) {
	j := ruleFor(provider.AccountBlocked).judge(t, answer)
	if j.refusals == 0 {
		return j.blame, nil
	}
	return j.blame, &provider.Error{
		Class: provider.Rejected, Op: answer.Op, Code: answer.Code,
		Message: provider.TrimMessage(fmt.Sprintf("refused %d times while it accepted other tasks: %s", j.refusals, answer.Message)),
	}
}

// testimony reads what others say about the account of a refused attempt, and nothing where no decision depends on it.
func (l *Lifecycle) testimony(ctx context.Context, id task.AttemptID, got answer) (Testimony, error) {
	s := answered{err: refusal(got.err)}
	r := s.rule()
	if r.Pause == nil || r.Created != CreatedNo {
		return Testimony{}, nil
	}
	return l.store.Testimony(ctx, id, !r.Pause.Blocks)
}

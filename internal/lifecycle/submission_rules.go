package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Created is what an answer to a submission proves about money: whether the provider has created a task.
type Created string

// What answers prove.
const (
	CreatedYes     Created = "yes"
	CreatedNo      Created = "no"
	CreatedUnknown Created = "unknown"
)

// Accepted is the class of an answer that is no error: it names a provider task. No error has this class, so an error without a class
// does not count as an acceptance.
const Accepted provider.Class = -1

// submissionRules is the one table that says what each answer to a submission means: after which a task is sent again by itself, as a
// new attempt, and after which it is unknown whether a provider task was created. An answer that is not in it is Ambiguous.
var submissionRules = []SubmissionRule{
	{Accepted, CreatedYes, follow, nil},
	{provider.NotSent, CreatedNo, sendAgain, &Pause{For: 2 * time.Second, Max: time.Minute}},
	{provider.RateLimited, CreatedNo, sendAgain, &Pause{For: 5 * time.Second, Max: time.Minute}},
	{provider.AccountBlocked, CreatedNo, sendAgain, &Pause{For: 30 * time.Second, Max: time.Hour, Blocks: true}},
	{provider.Rejected, CreatedNo, moveOn, nil},
	{provider.ModelWithdrawn, CreatedNo, elsewhere, nil},
	{provider.GenerationFailed, CreatedYes, countFailure, nil},
	{provider.Ambiguous, CreatedUnknown, awaitCallback, brake},
	{provider.NotFound, CreatedUnknown, awaitCallback, brake},
	{provider.Unavailable, CreatedUnknown, awaitCallback, brake},
}

// brake keeps an outage from filling the in-flight cap of an account with attempts of unknown outcome. Each of them may be paid for,
// and holds its place while it waits for its callback.
var brake = &Pause{Reason: "unknown_outcomes", For: 5 * time.Second, Max: 5 * time.Minute, After: 3}

// SubmissionRule is the meaning of one class of answers to a submission.
type SubmissionRule struct {
	Class   provider.Class
	Created Created
	Effect  Effect
	Pause   *Pause // How the account pauses, or nil. It names no account.
}

// Effect is the effect of an answer on an attempt and its task, unless the task has ended meanwhile.
type Effect struct {
	Attempt   task.AttemptState
	Task      string // In words, for documents.
	SendAgain bool   // Whether a new attempt follows by itself.

	input func(answered) task.Input
}

// answered is a submission with its answer.
type answered struct {
	attempt    task.AttemptID
	receipt    provider.Receipt
	err        *provider.Error // Nil where it was accepted.
	inTransit  time.Duration   // How long the request may still arrive; 0 if the answer proves that it did.
	judgment   judgment
	caps       provider.Capabilities
	checkAfter time.Duration // When an accepted attempt is checked for the first time.
	known      []string      // The providers that have an account.
}

// The effects that answers have.
var (
	follow = Effect{
		Attempt: task.AttemptRunning, Task: "RUNNING",
		input: func(a answered) task.Input {
			return task.Accepted{Attempt: a.attempt, ProviderTaskID: a.receipt.TaskID, Handle: a.receipt.Handle, CheckAfter: a.checkAfter}
		},
	}
	sendAgain = Effect{
		Attempt: task.AttemptRefused, Task: "QUEUED", SendAgain: true,
		input: func(a answered) task.Input {
			refused := task.Refused{Attempt: a.attempt, Message: a.err.Error(), Blame: a.judgment.blame, Delay: a.judgment.delay}
			if a.err.Class == provider.NotSent {
				refused.Delay = max(refused.Delay, requeueDelay)
			}
			if n := a.judgment.refusals; n > 0 {
				refused.Reason, refused.Known = a.judgment.reason, a.known
				refused.Message = fmt.Sprintf("the provider refused this task's request %d times while it accepted others: %s", n, refused.Message)
			}
			return refused
		},
	}
	moveOn = Effect{
		Attempt: task.AttemptRefused, Task: "QUEUED at the next provider of its route, else FAILED", SendAgain: true,
		input: func(a answered) task.Input {
			return task.Refused{Attempt: a.attempt, Reason: rejection(a.err), Message: a.err.Error(), Known: a.known}
		},
	}
	elsewhere = Effect{
		Attempt: task.AttemptRefused, Task: "QUEUED at the next provider of its route, else at the same one, whose offering is closed", SendAgain: true,
		input: func(a answered) task.Input {
			return task.Refused{Attempt: a.attempt, Elsewhere: true, Message: a.err.Error(), Known: a.known}
		},
	}
	countFailure = Effect{
		Attempt: task.AttemptFailed, Task: "QUEUED within max_attempts, else FAILED", SendAgain: true,
		input: func(a answered) task.Input {
			return task.GenerationFailed{Attempt: a.attempt, Message: a.err.Error()}
		},
	}
	awaitCallback = Effect{
		Attempt: task.AttemptUnconfirmed, Task: "RUNNING until the callback comes or the wait for it ends",
		input: func(a answered) task.Input {
			wait := waitForCallback(a.caps)
			if errors.Is(a.err, errStopped) {
				wait = max(wait, a.inTransit) // The answer may still come to the process that sent it.
			}
			return task.Ambiguous{Attempt: a.attempt, CheckAfter: wait, InTransit: a.inTransit, Message: a.err.Error(), Blame: a.judgment.blame}
		},
	}
)

// rejection returns why a task fails that a provider rejected.
func rejection(err *provider.Error) task.Reason {
	if err.Input {
		return task.InputRejected
	}
	return task.ProviderRejected
}

// SubmissionRules returns the table, for documents and tests.
func SubmissionRules() []SubmissionRule { return slices.Clone(submissionRules) }

// ruleFor returns the rule of a class of answers.
func ruleFor(class provider.Class) SubmissionRule {
	if i := slices.IndexFunc(submissionRules, func(r SubmissionRule) bool { return r.Class == class }); i >= 0 {
		return submissionRules[i]
	}
	return ruleFor(provider.Ambiguous)
}

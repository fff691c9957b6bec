package task_test

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

// picture lists every change of state that any input can cause. X → X is an event that keeps the state. If you change
// it, change the picture in machine.go, too.
const picture = `
Admitted          QUEUED     → SUBMITTING
ProviderBlocked   QUEUED     → QUEUED
Unprepared        QUEUED     → QUEUED
Unprepared        QUEUED     → FAILED

Accepted          SUBMITTING → RUNNING
Accepted          RUNNING    → RUNNING
Ambiguous         SUBMITTING → RUNNING
Hinted            SUBMITTING → RUNNING
Hinted            RUNNING    → RUNNING
Refused           SUBMITTING → QUEUED
Refused           SUBMITTING → FAILED
Refused           RUNNING    → QUEUED
Refused           RUNNING    → FAILED

ResultReady       QUEUED     → SAVING
ResultReady       SUBMITTING → SAVING
ResultReady       RUNNING    → SAVING

# With one attempt at a time:
GenerationFailed  SUBMITTING → QUEUED
GenerationFailed  SUBMITTING → FAILED
GenerationFailed  RUNNING    → QUEUED
GenerationFailed  RUNNING    → FAILED
GenerationFailed  SAVING     → QUEUED
GenerationFailed  SAVING     → FAILED
GivenUp           RUNNING    → FAILED

# With several, of which another goes on or has a result:
Refused           SUBMITTING → SUBMITTING
Refused           SUBMITTING → RUNNING
Refused           SUBMITTING → SAVING
Refused           SUBMITTING → SUCCEEDED
Refused           RUNNING    → SUBMITTING
Refused           RUNNING    → RUNNING
Refused           RUNNING    → SAVING
Refused           RUNNING    → SUCCEEDED
Unprepared        QUEUED     → SUBMITTING
Unprepared        QUEUED     → RUNNING
Unprepared        QUEUED     → SAVING
Unprepared        QUEUED     → SUCCEEDED
SaveFailed        SAVING     → SUBMITTING
SaveFailed        SAVING     → RUNNING
GenerationFailed  SUBMITTING → SUBMITTING
GenerationFailed  SUBMITTING → RUNNING
GenerationFailed  SUBMITTING → SAVING
GenerationFailed  SUBMITTING → SUCCEEDED
GenerationFailed  RUNNING    → SUBMITTING
GenerationFailed  RUNNING    → RUNNING
GenerationFailed  RUNNING    → SAVING
GenerationFailed  RUNNING    → SUCCEEDED
GenerationFailed  SAVING     → SUBMITTING
GenerationFailed  SAVING     → RUNNING
GenerationFailed  SAVING     → SAVING
GenerationFailed  SAVING     → SUCCEEDED
GivenUp           SUBMITTING → SUBMITTING
GivenUp           SUBMITTING → RUNNING
GivenUp           SUBMITTING → FAILED
GivenUp           RUNNING    → SUBMITTING
GivenUp           RUNNING    → RUNNING
GivenUp           RUNNING    → SAVING
GivenUp           RUNNING    → SUCCEEDED

# A forgotten attempt leads on as its answer does:
TakenOver         QUEUED     → FAILED
TakenOver         QUEUED     → QUEUED
TakenOver         QUEUED     → RUNNING
TakenOver         QUEUED     → SAVING
TakenOver         QUEUED     → SUBMITTING
TakenOver         QUEUED     → SUCCEEDED
TakenOver         SUBMITTING → FAILED
TakenOver         SUBMITTING → QUEUED
TakenOver         SUBMITTING → RUNNING
TakenOver         SUBMITTING → SAVING
TakenOver         SUBMITTING → SUBMITTING
TakenOver         SUBMITTING → SUCCEEDED
TakenOver         RUNNING    → FAILED
TakenOver         RUNNING    → QUEUED
TakenOver         RUNNING    → RUNNING
TakenOver         RUNNING    → SAVING
TakenOver         RUNNING    → SUBMITTING
TakenOver         RUNNING    → SUCCEEDED

Saved             SAVING     → SUCCEEDED
SaveFailed        SAVING     → FAILED

CancelRequested   QUEUED     → CANCELED
CancelRequested   SUBMITTING → CANCELED
CancelRequested   RUNNING    → CANCELED
CancelRequested   SAVING     → CANCELED

DeadlinePassed    QUEUED     → FAILED
DeadlinePassed    SUBMITTING → FAILED
DeadlinePassed    RUNNING    → FAILED

RetryRequested    FAILED     → QUEUED
RetryRequested    FAILED     → SUBMITTING
RetryRequested    FAILED     → RUNNING
RetryRequested    FAILED     → SAVING
RetryRequested    FAILED     → SUCCEEDED
RetryRequested    CANCELED   → QUEUED
RetryRequested    CANCELED   → SUBMITTING
RetryRequested    CANCELED   → RUNNING
RetryRequested    CANCELED   → SAVING
RetryRequested    CANCELED   → SUCCEEDED
`

// TestApply_MatchesThePicture explores everything that can happen to a task of up to two attempts.
func TestApply_MatchesThePicture(t *testing.T) {
	t.Parallel()
	var want []string
	for line := range strings.Lines(strings.TrimSpace(picture)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "#" {
			want = append(want, strings.Join(fields, " "))
		}
	}
	got := explore(t)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transitions (-picture +machine):\n%s", diff)
	}
}

// explore visits every state of a task, as far as it decides about the future, breadth first. It returns the
// transitions that it saw.
func explore(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var queue []*task.Task
	visit := func(tk *task.Task) {
		if key := abstract(tk); !seen[key] {
			seen[key] = true
			queue = append(queue, tk)
		}
	}
	for maxAttempts := 1; maxAttempts <= 2; maxAttempts++ {
		visit(&newHistory(maxAttempts).task)
		visit(&newHistory(maxAttempts, "luma").task)
	}
	type transition struct {
		input    reflect.Type
		from, to task.State
	}
	transitions := map[transition]bool{}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, in := range inputsFor(from) {
			d, err := from.Apply(in)
			if err != nil || !d.Changed {
				continue
			}
			if d.Event != nil {
				transitions[transition{reflect.TypeOf(in), from.State, d.Task.State}] = true
			}
			visit(&d.Task)
		}
	}
	t.Logf("%d states of a task", len(seen))
	var all []string
	for tr := range transitions {
		all = append(all, fmt.Sprintf("%s %s → %s", tr.input.Name(), tr.from, tr.to))
	}
	slices.Sort(all)
	return all
}

// abstract returns a key of everything that decides about a task's future.
func abstract(t *task.Task) string {
	key := make([]byte, 0, 256) // The test spends most of its time here.
	for _, provider := range t.Route {
		key = append(append(key, provider...), ' ')
	}
	key = append(append(key, t.Provider...), ' ')
	key = append(append(key, t.State...), ' ')
	key = append(key, t.Result...)
	paid := 0
	for i := range t.Attempts {
		a := &t.Attempts[i]
		key = append(append(key, ' '), a.State...)
		key = strconv.AppendBool(append(key, '/'), a.Sent)
		key = strconv.AppendBool(append(key, '/'), a.Saved)
		key = strconv.AppendBool(append(key, '/'), a.ProviderTaskID != "")
		if a.State != task.AttemptRefused {
			paid++
		}
	}
	return string(strconv.AppendBool(append(key, ' '), paid < t.Allowance))
}

// outcomes are what a record can say about a forgotten attempt.
var outcomes = []task.Outcome{task.OutcomePending, task.OutcomeAccepted, task.OutcomeRefused, task.OutcomeFailed}

// inputsFor returns all inputs in all variants, about every attempt of the task.
func inputsFor(t *task.Task) []task.Input {
	inputs := []task.Input{
		task.ProviderBlocked{},
		task.Unprepared{Provider: t.Provider, Reason: task.InputUnreachable},
		task.CancelRequested{},
		task.DeadlinePassed{},
		task.RetryRequested{},
		task.RetryRequested{NewAttempt: true},
	}
	if n := len(t.Attempts); n < 2 {
		inputs = append(inputs, task.Admitted{Attempt: attemptID(n + 1), Account: t.Provider})
		for _, outcome := range outcomes {
			inputs = append(inputs, task.TakenOver{Attempt: attemptID(n + 1), Outcome: outcome, ProviderTaskID: "p"})
		}
	}
	for _, a := range t.Attempts {
		inputs = append(inputs,
			task.Sending{Attempt: a.ID},
			task.TakenOver{Attempt: a.ID},
			task.TakenOver{Attempt: a.ID, Outcome: task.OutcomeAccepted, ProviderTaskID: "p"},
			task.TakenOver{Attempt: a.ID, Outcome: task.OutcomeRefused},
			task.TakenOver{Attempt: a.ID, Outcome: task.OutcomeFailed},
			task.Accepted{Attempt: a.ID, ProviderTaskID: "p"},
			task.Refused{Attempt: a.ID},
			task.Refused{Attempt: a.ID, Reason: task.InputRejected},
			task.Ambiguous{Attempt: a.ID},
			task.Hinted{Attempt: a.ID, ProviderTaskID: "p"},
			task.Hinted{Attempt: a.ID, ProviderTaskID: "p", Proven: true},
			task.ResultReady{Attempt: a.ID, ProviderTaskID: "p"},
			task.GenerationFailed{Attempt: a.ID},
			task.GenerationFailed{Attempt: a.ID, Reason: task.ContentModerated},
			task.GenerationFailed{Attempt: a.ID, ProviderTaskID: "p"},
			task.GivenUp{Attempt: a.ID},
			task.Saved{Attempt: a.ID},
			task.SaveFailed{Attempt: a.ID, Reason: task.OutputInvalid},
		)
	}
	return inputs
}

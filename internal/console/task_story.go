package console

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// taskStep is a state on the way of a task.
type taskStep struct {
	Name    string // Such as "RUNNING".
	Phase   string // "done", "current", "skipped" or "ahead".
	Took    string // How long the task was in the state; empty if it was not.
	Meaning string
}

// stepMeanings say in a few words what a task does in each state.
var stepMeanings = map[refractv1.TaskState]string{
	refractv1.TaskState_TASK_STATE_QUEUED:     "waits for a provider",
	refractv1.TaskState_TASK_STATE_SUBMITTING: "is sent to the provider",
	refractv1.TaskState_TASK_STATE_RUNNING:    "the provider works",
	refractv1.TaskState_TASK_STATE_SAVING:     "the result is copied",
	refractv1.TaskState_TASK_STATE_SUCCEEDED:  "the result is saved",
	refractv1.TaskState_TASK_STATE_FAILED:     "ended without a result",
	refractv1.TaskState_TASK_STATE_CANCELED:   "ended by the caller",
}

// change is a change of state in a story.
type change struct {
	state refractv1.TaskState
	at    time.Time
}

// stateChangesOf returns the changes of state in a story, oldest first.
func stateChangesOf(e *refractv1.Explanation) []change {
	var changes []change
	for _, entry := range e.GetEntries() {
		state, ok := refractv1.TaskState_value["TASK_STATE_"+entry.GetFacts()["state"]]
		if ok && state != 0 && entry.GetFacts()["revision"] != "" {
			changes = append(changes, change{refractv1.TaskState(state), entry.GetTime().AsTime()})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	return changes
}

// taskSteps returns the states on the way of a task, each with the time that the task has spent in it so far.
func taskSteps(e *refractv1.Explanation, now time.Time) []taskStep {
	changes, state := stateChangesOf(e), e.GetTask().GetState()
	spent, visited := map[refractv1.TaskState]time.Duration{}, map[refractv1.TaskState]bool{state: true}
	for i, c := range changes {
		end := now
		if i+1 < len(changes) {
			end = changes[i+1].at
		}
		spent[c.state] += max(0, end.Sub(c.at))
		if c.state == refractv1.TaskState_TASK_STATE_QUEUED {
			clear(visited) // The way begins again.
			visited[state] = true
		}
		visited[c.state] = true
	}
	end := refractv1.TaskState_TASK_STATE_SUCCEEDED
	if terminal(state) {
		end = state
	}
	way := []refractv1.TaskState{
		refractv1.TaskState_TASK_STATE_QUEUED, refractv1.TaskState_TASK_STATE_SUBMITTING,
		refractv1.TaskState_TASK_STATE_RUNNING, refractv1.TaskState_TASK_STATE_SAVING, end,
	}
	steps := make([]taskStep, 0, len(way))
	for i, s := range way {
		step := taskStep{Name: stateName(s), Meaning: stepMeanings[s]}
		current := slices.Index(way, state)
		switch {
		case s == state:
			step.Phase = "current"
		case i > current:
			step.Phase = "ahead"
		case visited[s] || (s == refractv1.TaskState_TASK_STATE_SUBMITTING && visited[refractv1.TaskState_TASK_STATE_RUNNING]):
			step.Phase = "done"
		default:
			step.Phase = "skipped"
		}
		if d, ok := spent[s]; ok && !terminal(s) {
			step.Took = formatDuration(d)
		}
		if terminal(s) && s == state {
			step.Took = "after " + formatDuration(took(e.GetTask()))
		}
		steps = append(steps, step)
	}
	return steps
}

// PhaseText returns the phase for those who do not see the line.
func (s taskStep) PhaseText() string {
	switch s.Phase {
	case "current":
		return "now"
	case "ahead":
		return "not yet"
	default:
		return s.Phase
	}
}

// taskAttempt is an attempt of a task, as its story shows it.
type taskAttempt struct {
	Number                                      int32
	Account, State, ProviderTaskID, Model, Cost string
	At                                          age
}

// taskAttempts returns the attempts of a task, oldest first.
func taskAttempts(e *refractv1.Explanation) []taskAttempt {
	var attempts []taskAttempt
	for _, entry := range e.GetEntries() {
		facts := entry.GetFacts()
		if entry.GetKind() != refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_ATTEMPT {
			continue
		}
		attempts = append(attempts, taskAttempt{
			Number: entry.GetAttempt(), Account: facts["account"], State: facts["attempt_state"], ProviderTaskID: facts["provider_task_id"],
			Model: facts["remote_model"], Cost: strings.TrimSpace(facts["cost_amount"] + " " + facts["cost_unit"]), At: age{entry.GetTime()},
		})
	}
	return attempts
}

// Badge returns the kind of badge that fits the state of the attempt.
func (a taskAttempt) Badge() string {
	switch a.State {
	case "SUCCEEDED":
		return "OK"
	case "FAILED", "LOST":
		return "BAD"
	case "REFUSED":
		return ""
	case "UNCONFIRMED":
		return "WAIT"
	default:
		return "BUSY"
	}
}

// storyGroup is a part of a story that is about one attempt, or about the task itself.
type storyGroup struct {
	Attempt int32 // 0 for the task itself.
	Again   bool  // Whether an earlier part is about the same.
	LeftOut int32 // How many entries are missing before the part.
	Entries []storyEntry
}

// Heading returns what the part is about.
func (g storyGroup) Heading() string {
	heading := "The task"
	if g.Attempt > 0 {
		heading = fmt.Sprintf("Attempt %d", g.Attempt)
	}
	if g.Again {
		heading += ", continued"
	}
	return heading
}

// storyEntry is something that happened to a task.
type storyEntry struct {
	Kind    string
	At      age
	Offset  string // The time since the submission.
	Message string
	State   string // The state after it; empty if the entry is no change.
	// Revision is that of the change; empty if the entry is none.
	Revision string
	Tone     string // "bad" or "good" for what stands out.
	Facts    []parameter
	// Callback is the id of the callback that arrived; empty for none.
	Callback string
}

// kindNames are the kinds of entries in words.
var kindNames = map[refractv1.ExplanationEntryKind]string{
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_EVENT:    "Change",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_ATTEMPT:  "Attempt",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_ANSWER:   "Answer",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_CALLBACK: "Callback",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_CHECK:    "Check",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_SAVE:     "Saving",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_OUTPUT:   "Output",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_DELIVERY: "Webhook",
	refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_SOURCE:   "Source",
}

// story returns the story of a task in parts: one for each run of entries about the same attempt. Of a long story the middle is missing.
func story(e *refractv1.Explanation) []storyGroup {
	var groups []storyGroup
	seen := map[int32]bool{}
	for i, entry := range e.GetEntries() {
		left := e.GetEntriesLeftOut()
		if i != len(e.GetEntries())/2 {
			left = 0
		}
		last := len(groups) - 1
		if last < 0 || groups[last].Attempt != entry.GetAttempt() || left > 0 {
			groups = append(groups, storyGroup{Attempt: entry.GetAttempt(), Again: seen[entry.GetAttempt()], LeftOut: left})
			seen[entry.GetAttempt()] = true
			last++
		}
		groups[last].Entries = append(groups[last].Entries, newStoryEntry(entry, e.GetTask().GetCreateTime().AsTime()))
	}
	return groups
}

func newStoryEntry(entry *refractv1.ExplanationEntry, begin time.Time) storyEntry {
	facts := maps.Clone(entry.GetFacts())
	s := storyEntry{
		Kind: kindNames[entry.GetKind()], At: age{entry.GetTime()}, Offset: formatOffset(entry.GetTime().AsTime().Sub(begin)),
		Message: entry.GetMessage(), State: facts["state"], Revision: facts["revision"], Callback: facts["callback_id"],
	}
	switch s.State {
	case "FAILED":
		s.Tone = "bad"
	case "SUCCEEDED":
		s.Tone = "good"
	}
	if entry.GetKind() == refractv1.ExplanationEntryKind_EXPLANATION_ENTRY_KIND_SAVE {
		s.Tone = "bad" // Only tries that failed are entries of their own.
	}
	for _, shown := range []string{"state", "revision", "callback_id"} {
		delete(facts, shown)
	}
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if facts[name] != "" {
			s.Facts = append(s.Facts, parameter{strings.ReplaceAll(name, "_", " "), facts[name]})
		}
	}
	return s
}

// formatOffset returns a time since the submission, to hundredths of a second while these matter.
func formatOffset(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + strings.TrimPrefix(formatOffset(-d), "+")
	case d < time.Minute:
		return "+" + strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	default:
		return "+" + formatDuration(d)
	}
}

package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/task"
)

// timeline returns the entries of a record, oldest first, and how many are left out. Callback ids are for operators: they count the
// callbacks of all tenants.
func (r *Record) timeline(operator bool) (entries []Entry, leftOut int) {
	leftOut = r.Unread
	for _, subject := range [][]Entry{
		r.source(), r.events(), r.attempts(), r.callbacks(operator), r.saves(), r.outputs(), r.requests(),
	} {
		kept, cut := edges(subject)
		entries, leftOut = append(entries, kept...), leftOut+cut
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.order().Compare(b.order()) })
	for i, e := range entries {
		entries[i].Message = redact.Words(e.Message)
		maps.DeleteFunc(e.Facts, func(_, value string) bool { return value == "" })
		for name, value := range e.Facts {
			e.Facts[name] = redact.Words(value)
		}
	}
	return entries, leftOut
}

// order returns the time by which an entry is sorted.
func (e Entry) order() time.Time {
	if e.at.IsZero() {
		return e.Time
	}
	return e.at
}

// edges returns the first and the last entries of a subject, and how many are between them.
func edges(all []Entry) (kept []Entry, cut int) {
	if len(all) <= 2*Edge {
		return all, 0
	}
	return slices.Concat(all[:Edge], all[len(all)-Edge:]), len(all) - 2*Edge
}

// events returns the events. One that is the admission of an attempt, or the answer to its submission, is of that kind.
func (r *Record) events() []Entry {
	entries := make([]Entry, len(r.Events))
	admitted, answered := map[int]bool{}, map[int]bool{}
	var at time.Time
	for i, e := range r.Events {
		if e.CreateTime.After(at) {
			at = e.CreateTime // The time of an event is when its transaction began, so a later revision may have an earlier one.
		}
		entry := Entry{Time: e.CreateTime, at: at, Kind: KindEvent, Attempt: e.Attempt, Message: e.Message, Facts: map[string]string{
			"revision": strconv.FormatInt(e.Revision, 10), "state": string(e.State),
		}}
		if e.Failure != nil {
			entry.Facts["failure_reason"], entry.Facts["payment"] = string(e.Failure.Reason), string(e.Failure.Payment)
		}
		a := r.attempt(e.Attempt)
		switch {
		case a == nil:
		case e.State == task.Submitting && !admitted[a.Number]:
			entry.Kind, admitted[a.Number] = KindAttempt, true
			addAttempt(entry.Facts, a)
		case admitted[a.Number] && !answered[a.Number] && r.isAnswer(a, e):
			entry.Kind, answered[a.Number] = KindAnswer, true
		}
		entries[i] = entry
	}
	return entries
}

// attempt returns the attempt of a number, or nil.
func (r *Record) attempt(number int) *task.Attempt {
	if number < 1 || number > len(r.Task.Attempts) {
		return nil
	}
	return &r.Task.Attempts[number-1]
}

// isAnswer reports whether an event says what the provider answered to the submission of its attempt.
func (r *Record) isAnswer(a *task.Attempt, e task.Event) bool {
	if answer := r.Times[a.ID].Answer; answer.Before(e.CreateTime) {
		return false // It is of later, or the submission is under way.
	}
	switch e.State {
	case task.Running, task.Queued:
		return true
	case task.Failed:
		return e.Failure == nil || e.Failure.Reason != task.DeadlineExceeded
	default:
		return false // A callback was faster than the answer.
	}
}

// addAttempt adds what is known of an attempt now.
func addAttempt(facts map[string]string, a *task.Attempt) {
	facts["account"], facts["remote_model"] = a.Account, a.Remote
	facts["attempt_state"], facts["blame"] = string(a.State), string(a.Blame)
	facts["provider_task_id"], facts["hinted_task_id"] = a.ProviderTaskID, a.HintedTaskID
	facts["cost_amount"], facts["cost_unit"] = a.Cost.Amount, a.Cost.Unit
}

// attempts returns what happened to attempts without an event: a task that has ended gets none.
func (r *Record) attempts() (entries []Entry) {
	for i := range r.Task.Attempts {
		a := &r.Task.Attempts[i]
		times := r.Times[a.ID]
		if r.silent(a, times.Answer) && !times.Answer.Equal(times.Settle) {
			entries = append(entries, Entry{Time: times.Answer, Kind: KindAnswer, Attempt: a.Number, Message: answerMessage(a)})
		}
		if r.silent(a, times.Settle) && !r.settledByCallback(a, times.Settle) {
			message := fmt.Sprintf("%s finished attempt %d", a.Provider, a.Number)
			if a.State == task.AttemptFailed {
				message = fmt.Sprintf("%s reports that attempt %d failed: %s", a.Provider, a.Number, a.Message)
			}
			entries = append(entries, Entry{Time: times.Settle, Kind: KindCheck, Attempt: a.Number, Message: message})
		}
		if !times.LastCheck.IsZero() {
			entries = append(entries, checkEntry(a, times))
		}
	}
	return entries
}

// silent reports whether something happened to an attempt at a time of which no event says it. Events that were not read may have
// said it.
func (r *Record) silent(a *task.Attempt, at time.Time) bool {
	if at.IsZero() || at.After(r.Now) {
		return false
	}
	said := slices.ContainsFunc(r.Events, func(e task.Event) bool { return e.Attempt == a.Number && e.CreateTime.Equal(at) })
	return !said && (r.Unread == 0 || r.Task.State.Terminal() && at.After(r.Task.UpdateTime))
}

// settledByCallback reports whether a callback brought the verdict on an attempt. Both are written by one transaction.
func (r *Record) settledByCallback(a *task.Attempt, at time.Time) bool {
	return slices.ContainsFunc(r.Callbacks, func(c Callback) bool {
		return c.Attempt == a.Number && c.Verdict == lifecycle.Applied && c.Time.Equal(at)
	})
}

// answerMessage returns what the answer to a submission was.
func answerMessage(a *task.Attempt) string {
	switch {
	case a.State == task.AttemptRefused && !a.Sent:
		return fmt.Sprintf("attempt %d was not sent: %s", a.Number, a.Message)
	case a.State == task.AttemptRefused:
		return fmt.Sprintf("%s refused attempt %d: %s", a.Provider, a.Number, a.Message)
	case a.ProviderTaskID != "":
		return fmt.Sprintf("%s accepted attempt %d", a.Provider, a.Number)
	default:
		return fmt.Sprintf("outcome of attempt %d is unknown: %s", a.Number, a.Message)
	}
}

// checkEntry returns the last check of an attempt.
func checkEntry(a *task.Attempt, times Times) Entry {
	e := Entry{
		Time: times.LastCheck, Kind: KindCheck, Attempt: a.Number, Facts: map[string]string{},
		Message: fmt.Sprintf("attempt %d was checked with %s", a.Number, a.Provider),
	}
	if times.Checks > 1 {
		e.Message += fmt.Sprintf(", the last of %d times", times.Checks)
	}
	if times.Checks > 0 {
		e.Facts["checks"] = strconv.Itoa(times.Checks)
	}
	if !times.NextCheck.IsZero() {
		e.Facts["next_check_time"] = stamp(times.NextCheck)
	}
	return e
}

// verdicts are what the verdicts on callbacks mean.
var verdicts = map[lifecycle.Verdict]string{
	lifecycle.Applied:      "the callback of attempt %d settled it",
	lifecycle.Confirming:   "a callback of attempt %d arrived, and the provider is asked to confirm it",
	lifecycle.Duplicate:    "a callback of attempt %d repeated what was known",
	lifecycle.Conflict:     "a callback of attempt %d contradicts what is known, and changed nothing",
	lifecycle.Mismatch:     "a callback of attempt %d names another provider task, and was refused",
	lifecycle.BadSignature: "a callback of attempt %d has no valid signature, and was refused",
	lifecycle.Stale:        "a callback of attempt %d is too old, and was refused",
	lifecycle.Malformed:    "a callback of attempt %d can't be read, and was refused",
}

func (r *Record) callbacks(operator bool) []Entry {
	entries := make([]Entry, len(r.Callbacks))
	for i, c := range r.Callbacks {
		entries[i] = Entry{
			Time: c.Time, Kind: KindCallback, Attempt: c.Attempt, Message: fmt.Sprintf(cmp.Or(verdicts[c.Verdict], "a callback of attempt %d arrived"), c.Attempt),
			Facts: map[string]string{"verdict": string(c.Verdict), "provider_task_id": c.ProviderTaskID},
		}
		if operator {
			entries[i].Facts["callback_id"] = strconv.FormatInt(c.ID, 10)
		}
	}
	return entries
}

func (r *Record) saves() []Entry {
	entries := make([]Entry, len(r.Saves))
	for i, s := range r.Saves {
		entries[i] = Entry{
			Time: s.Time, Kind: KindSave, Attempt: s.Attempt, Message: fmt.Sprintf("the result of attempt %d was not saved: %s", s.Attempt, s.Message),
			Facts: map[string]string{"cause": string(s.Cause), "since_time": stamp(s.Since)},
		}
		if s.Until.After(r.Now) {
			entries[i].Facts["next_try_time"] = stamp(s.Until)
		}
	}
	return entries
}

func (r *Record) outputs() []Entry {
	entries := make([]Entry, len(r.Outputs))
	for i, o := range r.Outputs {
		entries[i] = Entry{
			Time: o.Time, Kind: KindOutput, Attempt: o.Attempt, Message: fmt.Sprintf("output %d was saved: %s, %d bytes", o.Index, o.ContentType, o.SizeBytes),
			Facts: map[string]string{"index": strconv.Itoa(o.Index), "content_type": o.ContentType, "size_bytes": strconv.FormatInt(o.SizeBytes, 10)},
		}
		if o.Duration > 0 {
			entries[i].Facts["duration"] = o.Duration.String()
		}
	}
	return entries
}

// requests returns the requests to webhook endpoints. A replica times them by its reading of the database's clock, which may be late by
// some milliseconds, so that a request could seem to come before its event.
func (r *Record) requests() []Entry {
	happened := map[int64]time.Time{}
	for _, e := range r.Events {
		happened[e.Revision] = e.CreateTime
	}
	entries := make([]Entry, len(r.Requests))
	for i, q := range r.Requests {
		answer := "without an answer"
		if q.Status > 0 {
			answer = fmt.Sprintf("answered %d", q.Status)
		}
		message := fmt.Sprintf("event %d (%s) was sent to a webhook endpoint, %s", q.Revision, q.TaskState, answer)
		switch {
		case q.Error == "":
		case q.Last && q.State == "FAILED":
			message += ": " + q.Error + "; it is not sent again"
		default:
			message += ": " + q.Error + "; it is sent again"
		}
		entries[i] = Entry{Time: q.Time, Kind: KindDelivery, Message: message, Facts: map[string]string{
			"endpoint_id": q.Endpoint, "revision": strconv.FormatInt(q.Revision, 10), "duration": q.Duration.String(),
		}}
		if event := happened[q.Revision]; event.After(q.Time) {
			entries[i].at = event
		}
		if q.Status > 0 {
			entries[i].Facts["http_status"] = strconv.Itoa(q.Status)
		}
		if q.Last {
			entries[i].Facts["delivery_state"] = q.State
		}
	}
	return entries
}

func (r *Record) source() []Entry {
	p := r.Source
	if p == nil {
		return nil
	}
	e := Entry{Time: p.Begin, Kind: KindSource, Message: "the source is being checked, or uploaded to " + r.Task.Provider, Facts: map[string]string{"account": p.Account}}
	if p.Tries > 0 {
		e.Message += fmt.Sprintf("; it failed %d times, the last time: %s", p.Tries, p.Message)
		e.Facts["tries"] = strconv.Itoa(p.Tries)
	}
	return []Entry{e}
}

// stamp returns a time as facts have it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

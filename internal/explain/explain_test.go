package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// noon is when the tasks of tests are submitted.
var noon = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// record returns the record of a task with one attempt at kie, whose events are a second apart.
func record(state task.State, attempt task.Attempt, events ...task.Event) Record {
	attempt.ID, attempt.Number, attempt.Provider, attempt.Account, attempt.Sent = "a1", 1, "kie", "kie", true
	r := Record{
		Now: after(3600), Times: map[task.AttemptID]Times{},
		Task: task.Task{
			ID: "t1", Tenant: "acme", State: state, Provider: "kie", Route: []string{"kie"}, Attempts: []task.Attempt{attempt},
			Revision: int64(len(events)), Allowance: 1, CreateTime: noon, UpdateTime: after(len(events) - 1),
		},
	}
	for i, e := range events {
		e.Revision, e.CreateTime = int64(i+1), after(i)
		r.Events = append(r.Events, e)
	}
	return r
}

var (
	submitted = task.Event{State: task.Queued, Message: "submitted"}
	admitted  = task.Event{State: task.Submitting, Attempt: 1, Message: "attempt 1 admitted to kie"}
	accepted  = task.Event{State: task.Running, Attempt: 1, Message: "kie accepted attempt 1"}
)

// lines returns entries as "kind: message".
func lines(entries []Entry) (all []string) {
	for _, e := range entries {
		all = append(all, string(e.Kind)+": "+e.Message)
	}
	return all
}

func TestTimeline_EachEventIsOnceInIt(t *testing.T) {
	t.Parallel()
	running := record(task.Running, task.Attempt{State: task.AttemptRunning, ProviderTaskID: "p1"}, submitted, admitted, accepted)
	running.Times["a1"] = Times{Answer: after(2)}

	overtaken := record(task.Saving, task.Attempt{State: task.AttemptSucceeded, ProviderTaskID: "p1"}, submitted, admitted,
		task.Event{State: task.Saving, Attempt: 1, Message: "kie finished attempt 1"})
	overtaken.Times["a1"] = Times{Answer: after(2), Settle: after(2)}
	overtaken.Callbacks = []Callback{{Attempt: 1, Verdict: lifecycle.Applied, Time: after(2)}}

	canceled := record(task.Canceled, task.Attempt{State: task.AttemptSucceeded, ProviderTaskID: "p1"}, submitted, admitted,
		task.Event{State: task.Canceled, Message: "canceled by the caller"})
	canceled.Times["a1"] = Times{Answer: after(3), Settle: after(9), LastCheck: after(9), Checks: 4}

	calledBack := record(task.Canceled, task.Attempt{State: task.AttemptSucceeded, ProviderTaskID: "p1"}, submitted, admitted, accepted,
		task.Event{State: task.Canceled, Message: "canceled by the caller"})
	calledBack.Times["a1"] = Times{Answer: after(2), Settle: after(9)}
	calledBack.Callbacks = []Callback{{Attempt: 1, Verdict: lifecycle.Applied, Time: after(9)}}

	inTransit := record(task.Running, task.Attempt{State: task.AttemptUnconfirmed}, submitted, admitted,
		task.Event{State: task.Running, Attempt: 1, Message: "outcome of attempt 1 is unknown"})
	inTransit.Times["a1"] = Times{Answer: inTransit.Now.Add(time.Minute)}

	late := record(task.Failed, task.Attempt{State: task.AttemptSubmitting}, submitted, admitted,
		task.Event{State: task.Failed, Attempt: 1, Message: "the deadline passed", Failure: &task.Failure{Reason: task.DeadlineExceeded}})
	late.Times["a1"] = Times{Answer: after(5)}
	late.Task.Attempts[0].State, late.Task.Attempts[0].Message = task.AttemptRefused, "busy"

	for name, tc := range map[string]struct {
		record Record
		want   []string
	}{
		"an answer is an event": {running, []string{"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "ANSWER: kie accepted attempt 1"}},
		"a callback overtakes the answer": {overtaken, []string{
			"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "EVENT: kie finished attempt 1", "CALLBACK: the callback of attempt 1 settled it",
		}},
		"what a canceled task does not say": {canceled, []string{
			"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "EVENT: canceled by the caller", "ANSWER: kie accepted attempt 1",
			"CHECK: kie finished attempt 1", "CHECK: attempt 1 was checked with kie, the last of 4 times",
		}},
		"a callback to a canceled task": {calledBack, []string{
			"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "ANSWER: kie accepted attempt 1", "EVENT: canceled by the caller",
			"CALLBACK: the callback of attempt 1 settled it",
		}},
		"a request that may still arrive": {inTransit, []string{
			"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "ANSWER: outcome of attempt 1 is unknown",
		}},
		"a deadline is no answer": {late, []string{
			"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "EVENT: the deadline passed", "ANSWER: kie refused attempt 1: busy",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, leftOut := tc.record.timeline(false)
			if got := lines(entries); !slices.Equal(got, tc.want) || leftOut != 0 {
				t.Errorf("%d left out, the timeline is\n%s\nwant\n%s", leftOut, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestTimeline_RevisionsStayInOrder(t *testing.T) {
	t.Parallel()
	r := record(task.Running, task.Attempt{State: task.AttemptRunning}, submitted, admitted, accepted)
	r.Events[1].CreateTime = noon.Add(-time.Millisecond) // Its transaction began before that of the submission.
	r.Times["a1"] = Times{Answer: after(2)}
	entries, _ := r.timeline(false)
	want := []string{"EVENT: submitted", "ATTEMPT: attempt 1 admitted to kie", "ANSWER: kie accepted attempt 1"}
	if got := lines(entries); !slices.Equal(got, want) {
		t.Errorf("the timeline is %q, want %q", got, want)
	}
}

func TestTimeline_ALongStoryIsBounded(t *testing.T) {
	t.Parallel()
	r := record(task.Running, task.Attempt{State: task.AttemptRunning}, submitted, admitted, accepted)
	for i := range 5 * Edge {
		r.Callbacks = append(r.Callbacks, Callback{ID: int64(i), Attempt: 1, Verdict: lifecycle.Duplicate, Time: after(10 + i)})
	}
	r.Unread = 7
	entries, leftOut := r.timeline(true)
	if want := 3 + 2*Edge; len(entries) != want || leftOut != 3*Edge+7 {
		t.Fatalf("%d entries, %d left out, want %d and %d", len(entries), leftOut, want, 3*Edge+7)
	}
	if first, last := entries[3].Facts["callback_id"], entries[len(entries)-1].Facts["callback_id"]; first != "0" || last != fmt.Sprint(5*Edge-1) {
		t.Errorf("the callbacks are %s to %s, want the first and the last", first, last)
	}
}

func TestTimeline_ARequestComesAfterItsEvent(t *testing.T) {
	t.Parallel()
	r := record(task.Running, task.Attempt{State: task.AttemptRunning}, submitted, admitted, accepted)
	last := r.Events[len(r.Events)-1]
	r.Requests = []Request{{Delivery: Delivery{Endpoint: "e1", Revision: last.Revision, State: "SUCCEEDED"}, Time: r.Events[0].CreateTime.Add(-time.Second), Last: true}}
	entries, _ := r.timeline(true)
	if got := entries[len(entries)-1].Kind; got != KindDelivery {
		t.Errorf("the last entry is a %s, want the request about the last event:\n%+v", got, entries)
	}
}

func TestTimeline_NoSecretIsInIt(t *testing.T) {
	t.Parallel()
	const link = "https://user:word@cdn.example.com/path-secret/a.mp4?sig=query-secret"
	r := record(task.Saving, task.Attempt{State: task.AttemptSucceeded, Message: link, ProviderTaskID: link, HintedTaskID: link}, submitted, admitted, accepted)
	for i := range r.Events {
		r.Events[i].Message += " " + link
	}
	r.Times["a1"] = Times{Answer: after(2), Settle: after(9), LastCheck: after(9)}
	r.Callbacks = []Callback{{Attempt: 1, ProviderTaskID: link, Verdict: lifecycle.Mismatch, Time: after(4)}}
	r.Saves = []FailedSave{{Attempt: 1, Time: after(5), SaveTrouble: task.SaveTrouble{Cause: task.WaitDownload, Message: "get " + link}}}
	r.Requests = []Request{{Delivery: Delivery{Endpoint: "e1", State: "FAILED"}, Time: after(6), Error: "post " + link, Last: true}}
	r.Source = &Preparation{Begin: noon, Tries: 1, Message: "probe " + link}
	r.Task.Spec = task.Spec{SourceURI: link, FirstFrameURI: link, WebhookURI: link}
	r.Task.Failure = &task.Failure{Message: link}

	entries, _ := r.timeline(true)
	shown := fmt.Sprintf("%+v %+v %+v", entries, redacted(r.Task).Spec, redacted(r.Task).Failure)
	for _, secret := range []string{"word", "path-secret", "query-secret"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is shown: %s", secret, shown)
		}
	}
	if n := strings.Count(shown, "cdn.example.com"); n < 10 {
		t.Errorf("the host is shown %d times, want in each entry", n)
	}
	if r.Task.Failure.Message != link {
		t.Error("the failure of the record was changed")
	}
}

func TestTimeline_OnlyOperatorsSeeCallbackIDs(t *testing.T) {
	t.Parallel()
	for _, operator := range []bool{false, true} {
		r := record(task.Running, task.Attempt{State: task.AttemptRunning}, submitted)
		r.Callbacks = []Callback{{ID: 4711, Attempt: 1, Verdict: lifecycle.Stale, Time: after(1)}}
		entries, _ := r.timeline(operator)
		if got := entries[1].Facts["callback_id"] != ""; got != operator {
			t.Errorf("operator %t sees the id: %t", operator, got)
		}
	}
}

func TestNext_SaysWhatComesAndWhen(t *testing.T) {
	t.Parallel()
	queued := func(w *task.Waiting) (Record, outlook) {
		return record(task.Queued, task.Attempt{}), outlook{waiting: w}
	}
	attempt := func(state task.State, a task.Attempt, next time.Time) Record {
		r := record(state, a)
		r.Times["a1"] = Times{NextCheck: next}
		return r
	}
	withDelivery := record(task.Succeeded, task.Attempt{})
	withDelivery.Deliveries = []Delivery{{Revision: 5, TaskState: task.Succeeded, Next: after(90)}, {Revision: 5}}
	withExpiry := record(task.Succeeded, task.Attempt{})
	withExpiry.Task.Outputs = []task.Output{{ExpireTime: after(80)}, {ExpireTime: after(70)}, {ExpireTime: after(60), Expired: true}}

	delayed, delayedOutlook := queued(&task.Waiting{Cause: task.WaitDelay, Until: after(5)})
	window, windowOutlook := queued(&task.Waiting{Cause: task.WaitRateWindow})
	for name, tc := range map[string]struct {
		record  Record
		outlook outlook
		want    string
		at      time.Time
	}{
		"queued after a delay":       {delayed, delayedOutlook, "the task is sent to kie again", after(5)},
		"queued behind a window":     {window, windowOutlook, "when its rate window permits another submission, unless its deadline passes before", time.Time{}},
		"submitting":                 {record(task.Submitting, task.Attempt{}), outlook{}, "kie answers the submission of attempt 1", time.Time{}},
		"running":                    {attempt(task.Running, task.Attempt{State: task.AttemptRunning}, after(9)), outlook{callsBack: true, usual: 5 * time.Minute}, "the callback of attempt 1 arrives, or kie is asked about it (such attempts usually take 5m)", after(9)},
		"running without callbacks":  {attempt(task.Running, task.Attempt{State: task.AttemptRunning}, after(9)), outlook{}, "kie is asked about attempt 1", after(9)},
		"unknown":                    {attempt(task.Running, task.Attempt{State: task.AttemptUnconfirmed}, after(9)), outlook{callsBack: true}, "without one the task fails with OUTCOME_UNKNOWN", after(9)},
		"saving":                     {record(task.Saving, task.Attempt{}), outlook{}, "the result is copied from kie", time.Time{}},
		"saving again":               {record(task.Saving, task.Attempt{}), outlook{waiting: &task.Waiting{Cause: task.WaitDownload, Until: after(7)}}, "saving the result is tried again", after(7)},
		"a delivery is pending":      {withDelivery, outlook{}, "event 5 (SUCCEEDED) is sent to a webhook endpoint, as are 1 other events", after(90)},
		"outputs expire":             {withExpiry, outlook{}, "the outputs are removed", after(70)},
		"succeeded for good":         {record(task.Succeeded, task.Attempt{}), outlook{}, "nothing: the task is done", time.Time{}},
		"canceled while it runs":     {attempt(task.Canceled, task.Attempt{State: task.AttemptRunning}, after(9)), outlook{}, "attempt 1, which is followed although the task has ended", after(9)},
		"canceled while it is saved": {record(task.Canceled, task.Attempt{State: task.AttemptSucceeded}), outlook{}, "the result of attempt 1 is saved, and kept for a retry", time.Time{}},
		"failed":                     {record(task.Failed, task.Attempt{State: task.AttemptRefused}), outlook{}, "nothing, unless the task is retried", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := tc.record.next(tc.outlook)
			if !strings.Contains(n.Message, tc.want) || !n.Time.Equal(tc.at) || n.Waiting != tc.outlook.waiting {
				t.Errorf("next is %+v, want %q at %v", n, tc.want, tc.at)
			}
		})
	}
}

// TestRetryAdvice_IsWhatARetryDoes applies a retry to tasks, and compares the advice with its effect.
func TestRetryAdvice_IsWhatARetryDoes(t *testing.T) {
	t.Parallel()
	priced := &catalog.Offering{Price: &catalog.Price{Amount: "0.35", Unit: catalog.PerOutputSecond, Currency: "USD"}}
	failed := func(reason task.Reason, a task.Attempt) task.Task {
		r := record(task.Failed, a)
		r.Task.Failure = &task.Failure{Reason: reason}
		return r.Task
	}
	for name, tc := range map[string]struct {
		task     task.Task
		offering *catalog.Offering
		want     Retry
		says     string
	}{
		"a saved result":     {failed(task.OutcomeUnknown, task.Attempt{State: task.AttemptSucceeded, Saved: true}), priced, Retry{true, task.PaymentNone, "", ""}, "which is saved, and costs nothing"},
		"a result":           {failed(task.OutputUnavailable, task.Attempt{State: task.AttemptSucceeded}), priced, Retry{true, task.PaymentNone, "", ""}, "saves the result of attempt 1, and costs nothing"},
		"an open attempt":    {record(task.Canceled, task.Attempt{State: task.AttemptRunning, ProviderTaskID: "p1"}).Task, priced, Retry{true, task.PaymentNone, "", ""}, "follows attempt 1"},
		"a lost attempt":     {failed(task.OutcomeUnknown, task.Attempt{State: task.AttemptLost, ProviderTaskID: "p1"}), priced, Retry{true, task.PaymentNone, "", ""}, "follows attempt 1"},
		"an unknown outcome": {failed(task.OutcomeUnknown, task.Attempt{State: task.AttemptLost}), priced, Retry{true, task.PaymentPaid, "0.35 USD per output second", ""}, "may have been paid for, too"},
		"a failure":          {failed(task.ProviderFailed, task.Attempt{State: task.AttemptFailed}), priced, Retry{true, task.PaymentPaid, "0.35 USD per output second", ""}, "it costs 0.35 USD per output second"},
		"an unknown price":   {failed(task.ProviderFailed, task.Attempt{State: task.AttemptFailed}), nil, Retry{true, task.PaymentPaid, "", ""}, "its price is unknown"},
		"no credits":         {failed(task.InsufficientCredits, task.Attempt{State: task.AttemptFailed}), priced, Retry{true, task.PaymentPaid, "0.35 USD per output second", ""}, "when the account has credits again"},
		"a bad input":        {failed(task.InputRejected, task.Attempt{State: task.AttemptRefused}), priced, Retry{false, task.PaymentPaid, "0.35 USD per output second", ""}, "submit a new task with another request"},
		"canceled":           {record(task.Canceled, task.Attempt{State: task.AttemptRefused}).Task, priced, Retry{true, task.PaymentPaid, "0.35 USD per output second", ""}, "makes another attempt at kie"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := tc.task.Apply(task.RetryRequested{})
			if err != nil {
				t.Fatal(err)
			}
			got := retryAdvice(&tc.task, d, tc.offering)
			if !strings.Contains(got.Message, tc.says) {
				t.Errorf("the message is %q, want %q in it", got.Message, tc.says)
			}
			got.Message = ""
			if *got != tc.want {
				t.Errorf("the advice is %+v, want %+v", *got, tc.want)
			}
		})
	}
}

func TestTraceID_OfAContext(t *testing.T) {
	t.Parallel()
	for parent, want := range map[string]string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": "4bf92f3577b34da6a3ce929d0e0e4736",
		"": "", "00-xyz": "", "\x00": "",
	} {
		if got := traceID(parent); got != want {
			t.Errorf("traceID(%q) = %q, want %q", parent, got, want)
		}
	}
}

func TestCandidate_IsStuckBeyondWhatIsUsual(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state task.State
		age   time.Duration
		usual time.Duration
		want  bool
	}{
		{task.Queued, 14 * time.Minute, 0, false},
		{task.Queued, 15 * time.Minute, 0, true},
		{task.Submitting, 59 * time.Second, 0, false},
		{task.Submitting, time.Minute, 0, true},
		{task.Saving, 9 * time.Minute, 0, false},
		{task.Saving, 10 * time.Minute, 0, true},
		{task.Running, 14 * time.Minute, 5 * time.Minute, false},
		{task.Running, 15 * time.Minute, 5 * time.Minute, true},
		{task.Running, 59 * time.Second, time.Second, false},
		{task.Running, 59 * time.Minute, 0, false},
		{task.Running, time.Hour, 0, true},
	} {
		if got := (Candidate{State: tc.state, Age: tc.age}).stuck(tc.usual); got != tc.want {
			t.Errorf("%s for %s, usually %s: stuck %t, want %t", tc.state, tc.age, tc.usual, got, tc.want)
		}
	}
}

func TestAdvice_EachCauseHasItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]task.WaitCause{}
	for _, cause := range []task.WaitCause{
		task.WaitStorage, task.WaitDownload, task.WaitLinks, task.WaitConfirmation, task.WaitSource, task.WaitDelay, task.WaitOffering,
		task.WaitProviderPaused, task.WaitTenantShare, task.WaitInFlightCap, task.WaitRateWindow, task.WaitAdmission,
	} {
		text := advice(&task.Task{State: task.Queued, Provider: "kie"}, &task.Waiting{Cause: cause})
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s have the same advice: %s", cause, other, text)
		}
		seen[text] = cause
	}
	for _, state := range []task.State{task.Submitting, task.Running, task.Saving} {
		if text := advice(&task.Task{State: state, Provider: "kie"}, nil); text == "" || seen[text] != "" {
			t.Errorf("the advice for %s is %q", state, text)
		}
	}
}

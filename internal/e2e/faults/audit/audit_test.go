package audit_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
)

// The ids of the run that the tests modify.
const (
	firstTask     = "00000000-0000-7000-8000-000000000001"
	secondTask    = "00000000-0000-7000-8000-000000000002"
	firstAttempt  = "0a000000-0000-7000-8000-000000000001"
	secondAttempt = "0a000000-0000-7000-8000-000000000002"
	thirdAttempt  = "0a000000-0000-7000-8000-000000000003"
)

// began is when the run began.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// callbackURL returns a callback URL that names an attempt.
func callbackURL(attempt string) string {
	id, err := hex.DecodeString(strings.ReplaceAll(attempt, "-", ""))
	if err != nil {
		return err.Error()
	}
	return "http://127.0.0.1:1/v1/callbacks/kie/" + base64.RawURLEncoding.EncodeToString(append(id, "sixteen bytes ok"...))
}

// good returns the facts of a correct run: the first task through kie, the second through
// luma-agents after a failure and a retry.
func good() *audit.Facts {
	saved := audit.Content{Size: 3, SHA256: "abc"}
	return &audit.Facts{
		Done:    []audit.Count{{Name: "kills", N: 7}},
		Submits: []audit.Submit{{"r1", firstTask, []string{"SUCCEEDED"}}, {"r1", firstTask, nil}, {"r2", secondTask, nil}},
		Watches: []audit.Watch{{TaskID: firstTask, Seen: []audit.Seen{{1, "QUEUED"}, {2, "SUCCEEDED"}}, Reconnects: 3, Ended: true}},
		Witnesses: []audit.Witness{{"replica-1", []audit.Stream{{began.Add(-time.Second), began.Add(time.Minute), []audit.Heard{
			{began.Add(-time.Second), "", 0},
			{began, firstTask, 1},
			{began, firstTask, 2},
			{began, secondTask, 1},
			{began, secondTask, 2},
			{began, secondTask, 3},
			{began, secondTask, 4},
			{began.Add(40 * time.Second), "", 0},
		}}}}},
		Limits:  map[string]audit.Limit{"kie": {2, time.Second, 2}, "luma-agents": {2, time.Second, 1}},
		Secrets: []string{"the-api-key"},
		Logs:    map[string]string{"one.log": `{"msg":"serving"}`},
		Original: map[audit.File]audit.Content{
			{ProviderTaskID: "p1"}: saved, {ProviderTaskID: "p3"}: saved,
		},
		Posts: []audit.Post{
			{Seq: 1, Profile: "kie", Result: "created", TaskID: "p1", Paid: true, Prompt: "one", CallbackURL: callbackURL(firstAttempt)},
			{Seq: 2, Profile: "luma-agents", Result: "created", TaskID: "p2", Paid: true, Prompt: "two"},
			{Seq: 3, Profile: "luma-agents", Result: "created", TaskID: "p3", Paid: true, Prompt: "two"},
		},
		Deliveries:  []audit.Delivery{{Profile: "kie", TaskID: "p1", Kind: "genuine", URL: callbackURL(firstAttempt), Status: 200}},
		Downloads:   []audit.Download{{Path: "/results/0123456789abcdef0123456789abcdef.mp4", TaskID: "p1"}},
		Arrivals:    []audit.Arrivals{{"kie", time.Second, 2}, {"luma-agents", time.Second, 1}},
		Concurrency: []audit.Concurrency{{"kie", 1}, {"luma-agents", 1}},
		Tasks: []audit.Task{
			{ID: firstTask, Tenant: "t", RequestID: "r1", Prompt: "one", State: "SUCCEEDED", Revision: 2, MaxAttempts: 1, Allowance: 1, ResultAttempt: firstAttempt, WebhookURI: "http://own"},
			{ID: secondTask, Tenant: "t", RequestID: "r2", Prompt: "two", State: "SUCCEEDED", Revision: 4, MaxAttempts: 1, Allowance: 2, ResultAttempt: thirdAttempt},
		},
		Attempts: []audit.Attempt{
			{ID: firstAttempt, TaskID: firstTask, Number: 1, Provider: "kie", ProviderTaskID: "p1", State: "SUCCEEDED", Sent: true},
			{ID: secondAttempt, TaskID: secondTask, Number: 1, Provider: "luma-agents", ProviderTaskID: "p2", State: "FAILED", Sent: true},
			{ID: thirdAttempt, TaskID: secondTask, Number: 2, Provider: "luma-agents", ProviderTaskID: "p3", State: "SUCCEEDED", Sent: true},
		},
		Events: []audit.Event{
			{firstTask, 1, "QUEUED", "submitted", began},
			{firstTask, 2, "SUCCEEDED", "outputs saved", began},
			{secondTask, 1, "QUEUED", "submitted", began},
			{secondTask, 2, "FAILED", "failed", began},
			{secondTask, 3, "QUEUED", "retry requested", began},
			{secondTask, 4, "SUCCEEDED", "outputs saved", began},
		},
		Outputs: []audit.Output{
			{firstAttempt, 0, "outputs/1", 3, "abc"}, {thirdAttempt, 0, "outputs/2", 3, "abc"},
		},
		Callbacks: []audit.Callback{{firstAttempt, "applied", `{"code":200}`}},
		Bucket:    map[string]audit.Content{"outputs/1": saved, "outputs/2": saved},
		Endpoints: []audit.Endpoint{{"ends", "t", []string{"SUCCEEDED", "FAILED"}, ""}, {"own", "t", []string{"SUCCEEDED"}, "http://own"}, {"foreign", "u", []string{"QUEUED", "SUCCEEDED"}, ""}},
		Receptions: []audit.Reception{
			received("ends", firstTask, 2, "SUCCEEDED", 1, 2, true),
			received("ends", secondTask, 2, "FAILED", 3, 4, false),
			received("ends", secondTask, 2, "FAILED", 5, 6, true),
			received("ends", secondTask, 4, "SUCCEEDED", 7, 8, true),
			received("ends", secondTask, 2, "FAILED", 9, 10, true), // Its first answer was lost.
			received("own", firstTask, 2, "SUCCEEDED", 11, 12, true),
		},
	}
}

// received returns a request that is signed.
func received(endpoint, task string, revision int64, state string, arrived, answered int, accepted bool) audit.Reception {
	return audit.Reception{
		Endpoint: endpoint, EventID: fmt.Sprintf("evt_%s_%d", task, revision), Signed: true, Accepted: accepted, Arrived: arrived, Answered: answered,
		Body: fmt.Appendf(nil, `{"type":"task.%s","data":{"id":%q,"state":"TASK_STATE_%s","revision":"%d"}}`, strings.ToLower(state), task, state, revision),
	}
}

// modified are changes to a good run, by the check that must find them.
var modified = []struct {
	check  string
	change func(*audit.Facts)
}{
	{"acknowledged submits exist", func(f *audit.Facts) { f.Submits[2].TaskID = thirdAttempt }},
	{"acknowledged submits exist", func(f *audit.Facts) { f.Submits[2].RequestID = "r3" }},
	{"callbacks answered 200 are in the inbox", func(f *audit.Facts) { f.Callbacks = nil }},
	{"callbacks answered 200 are in the inbox", func(f *audit.Facts) { f.Deliveries = append(f.Deliveries, f.Deliveries[0]) }},
	{"one task per request id", func(f *audit.Facts) { f.Tasks[1].RequestID = "r1" }},
	{"one task per request id", func(f *audit.Facts) { f.Submits[1].TaskID = secondTask }},
	{"an attempt is sent once", func(f *audit.Facts) { f.Posts = append(f.Posts, f.Posts[0]) }},
	{"an attempt is sent once", func(f *audit.Facts) { // Even if the second was refused.
		again := f.Posts[0]
		again.Paid, again.Result, again.TaskID = false, "refused", ""
		f.Posts = append(f.Posts, again)
	}},
	{"what was sent is an attempt of its task", func(f *audit.Facts) { f.Posts[0].CallbackURL = callbackURL(firstTask) }},
	{"what was sent is an attempt of its task", func(f *audit.Facts) { f.Posts[0].CallbackURL = callbackURL(secondAttempt) }},
	{"what was sent is an attempt of its task", func(f *audit.Facts) { f.Attempts[0].Sent = false }},
	{"no task has more posts than attempts that were sent", func(f *audit.Facts) { f.Posts = append(f.Posts, f.Posts[2]) }},
	{"no task has more posts than attempts that were sent", func(f *audit.Facts) { f.Attempts[2].Provider = "kie" }},
	{"no task is paid for more often than it may be", func(f *audit.Facts) { f.Tasks[1].Allowance = 1 }},
	{"what was paid for does not count as refused", func(f *audit.Facts) { f.Attempts[0].State = "REFUSED" }},
	{"revisions have no gap in the table", func(f *audit.Facts) { f.Events = append(f.Events[:2:2], f.Events[3:]...) }},
	{"revisions have no gap in the table", func(f *audit.Facts) { f.Tasks[0].Revision = 3 }},
	{"revisions have no gap in the table", func(f *audit.Facts) { f.Tasks[0].State = "FAILED" }},
	{"watchers see every revision once and in order", func(f *audit.Facts) { f.Watches[0].Seen = f.Watches[0].Seen[1:] }},
	{"watchers see every revision once and in order", func(f *audit.Facts) {
		f.Watches[0].Seen = append(f.Watches[0].Seen, f.Watches[0].Seen[1])
	}},
	{"watchers see what the table holds", func(f *audit.Facts) { f.Watches[0].Seen[1].State = "FAILED" }},
	{"watchers see the end", func(f *audit.Facts) { f.Watches[0].Seen = f.Watches[0].Seen[:1] }},
	{"watchers see the end", func(f *audit.Facts) { f.Watches[0].Ended = false }},
	{"watchers see the end", func(f *audit.Facts) { f.Watches[0].TaskID = thirdAttempt }},
	{"no bookmark hides an older change", func(f *audit.Facts) {
		heard := f.Witnesses[0].Streams[0].Heard
		f.Witnesses[0].Streams[0].Heard = append(heard[:6:6], heard[7:]...)
	}},
	{"no bookmark hides an older change", func(f *audit.Facts) {
		f.Witnesses[0].Streams[0].Heard[6].At = began.Add(41 * time.Second)
	}},
	{"no stream is silent and open", func(f *audit.Facts) { f.Witnesses[0].Streams[0].Ended = began.Add(2 * time.Minute) }},
	{"no change follows an end", func(f *audit.Facts) { f.Events[4].Message = "callback" }},
	{"no forged file was fetched", func(f *audit.Facts) { f.Downloads[0].Forged = true }},
	{"every task ended as it was to", func(f *audit.Facts) { f.Submits[0].Outcomes = []string{"FAILED/PROVIDER_FAILED"} }},
	{"every task ended or waits for an unknown outcome", func(f *audit.Facts) { f.Tasks[0].State = "QUEUED" }},
	{"every task ended or waits for an unknown outcome", func(f *audit.Facts) { f.Tasks[0].State = "RUNNING" }},
	{"every task ended or waits for an unknown outcome", func(f *audit.Facts) { f.Tasks[1].State, f.Attempts[2].State = "RUNNING", "UNCONFIRMED" }},
	{"a task that succeeded has outputs", func(f *audit.Facts) { f.Outputs = f.Outputs[1:] }},
	{"outputs are in the bucket, whole", func(f *audit.Facts) { delete(f.Bucket, "outputs/1") }},
	{"outputs are in the bucket, whole", func(f *audit.Facts) { f.Bucket["outputs/1"] = audit.Content{Size: 2, SHA256: "ab"} }},
	{"outputs are what the provider made", func(f *audit.Facts) {
		f.Original[audit.File{ProviderTaskID: "p1"}] = audit.Content{Size: 3, SHA256: "xyz"}
	}},
	{"no rate window is exceeded", func(f *audit.Facts) { f.Arrivals[0].Peak = 3 }},
	{"no rate window is exceeded", func(f *audit.Facts) { f.Arrivals[0].Window = time.Minute }},
	{"no more work in flight than allowed", func(f *audit.Facts) { f.Concurrency[1].Peak = 2 }},
	{"no secret is in a log", func(f *audit.Facts) { f.Logs["one.log"] += "the-api-key" }},
	{"no secret is in a log", func(f *audit.Facts) { f.Logs["one.log"] += `"` + f.Posts[0].CallbackURL + `"` }},
	{"no secret is in the inbox", func(f *audit.Facts) { f.Callbacks[0].Body = f.Posts[0].CallbackURL }},
	{"no secret is in the inbox", func(f *audit.Facts) { f.Callbacks[0].Body = "http://host" + f.Downloads[0].Path }},
	{"no secret is in what callers read", func(f *audit.Facts) { f.Events[0].Message = "the-api-key" }},
	{"no secret is in what callers read", func(f *audit.Facts) { f.Tasks[0].Message = "the-api-key" }},
	{"no secret is in what callers read", func(f *audit.Facts) { f.Attempts[0].Message = "the-api-key" }},
	{"no process crashes or races", func(f *audit.Facts) { f.Logs["one.log"] = "WARNING: DATA RACE" }},
	{"no process crashes or races", func(f *audit.Facts) { f.Logs["one.log"] = "panic: nil map" }},
	{"every event reached its endpoints", func(f *audit.Facts) { f.Receptions[0].Accepted = false }},
	{"every event reached its endpoints", func(f *audit.Facts) { f.Receptions[5].Endpoint = "ends" }},
	{"every event reached its endpoints", func(f *audit.Facts) { f.Tasks[0].Tenant = "u" }},
	{"events of a task arrive in order", func(f *audit.Facts) { f.Receptions[3].Arrived = 4 }},
	{"events of a task arrive in order", func(f *audit.Facts) { f.Receptions[2].Accepted, f.Receptions[4].Accepted = false, false }},
	{"no endpoint gets what is not for it", func(f *audit.Facts) { f.Receptions[5].Endpoint = "foreign" }},
	{"no endpoint gets what is not for it", func(f *audit.Facts) { f.Receptions[3].Endpoint = "own" }},
	{"no endpoint gets what is not for it", func(f *audit.Facts) { f.Receptions[5].EventID = "evt_1" }},
	{"no endpoint gets what is not for it", func(f *audit.Facts) { f.Receptions[0].EventID = "evt_" + firstTask + "_1" }},
	{"every request is signed with the secret of its endpoint", func(f *audit.Facts) { f.Receptions[1].Signed = false }},
	{"a request shows the task at its revision", func(f *audit.Facts) { f.Receptions[0].Body = f.Receptions[1].Body }},
	{"a request shows the task at its revision", func(f *audit.Facts) { f.Receptions[0].Body = f.Receptions[0].Body[1:] }},
	{"no redirect is followed", func(f *audit.Facts) { f.Trapped = 1 }},
}

func TestCheck_AGoodRunPasses(t *testing.T) {
	t.Parallel()
	report := good().Check()
	if len(report.Violations) > 0 {
		t.Errorf("a good run has violations:\n%s", report)
	}
	text := report.String()
	if !strings.HasSuffix(text, "no violation\n") || !strings.Contains(text, "audit: PASSED") || !strings.Contains(text, "kills") {
		t.Errorf("the report is\n%s", text)
	}
}

// TestCheck_ATaskMayWaitForAnUnknownOutcome checks the only case in which a task needs no end.
func TestCheck_ATaskMayWaitForAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	f := good()
	f.Tasks[0].State, f.Tasks[0].ResultAttempt, f.Attempts[0].State = "RUNNING", "", "UNCONFIRMED"
	f.Events[1].State, f.Watches[0].Seen[1].State, f.Watches[0].Ended = "RUNNING", "RUNNING", false
	f.Receptions = f.Receptions[1:5] // Those of the other task.
	if report := f.Check(); len(report.Violations) > 0 {
		t.Errorf("the run has violations:\n%s", report)
	}
}

func TestCheck_EveryCheckFindsWhatItIsFor(t *testing.T) {
	t.Parallel()
	left := audit.EveryCheck()
	for _, d := range modified {
		delete(left, d.check)
		f := good()
		d.change(f)
		report := f.Check()
		found := false
		for _, v := range report.Violations {
			found = found || v.Check == d.check
		}
		if !found {
			t.Errorf("%q did not find what it is for:\n%s", d.check, report)
		}
		if !strings.Contains(report.String(), "audit: FAILED") {
			t.Errorf("the report of a bad run is\n%s", report)
		}
	}
	for name := range left {
		t.Errorf("no modified run is for the check %q", name)
	}
}

// TestReport_ContainsNoSecret checks that the audit does not repeat a leaked secret.
func TestReport_ContainsNoSecret(t *testing.T) {
	t.Parallel()
	f := good()
	f.Logs["one.log"] = "the-api-key " + f.Posts[0].CallbackURL
	if text := f.Check().String(); strings.Contains(text, "the-api-key") || strings.Contains(text, f.Posts[0].CallbackURL) {
		t.Errorf("the report contains a secret:\n%s", text)
	}
}

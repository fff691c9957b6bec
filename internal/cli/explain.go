package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Explain shows the story of a task.
type Explain struct {
	clientFlags

	ID string `arg:"" help:"Id of the task; for operators, of any tenant."`
}

// Run prints what happened to the task, what comes next, and whether a retry can help.
func (c *Explain) Run(ctx context.Context, con Console) error {
	return c.call(func(client refractv1.TaskServiceClient) error {
		resp, err := client.ExplainTask(ctx, &refractv1.ExplainTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(con.Out, resp.GetExplanation())
		}
		return printExplanation(con.Out, resp.GetExplanation(), time.Now())
	})
}

// printExplanation writes an explanation as one page: the task, what happened, what comes next, and whether a retry can help.
func printExplanation(w io.Writer, e *refractv1.Explanation, now time.Time) error {
	p := page{now: now}
	p.task(e)
	p.printf("\n")
	for i, entry := range e.GetEntries() {
		if left := e.GetEntriesLeftOut(); left > 0 && i == len(e.GetEntries())/2 {
			p.printf("\n  … %d entries of the middle are left out …\n\n", left)
		}
		p.entry(entry, e.GetTask().GetCreateTime())
	}
	p.printf("\n")
	p.next(e.GetNext())
	p.retry(e.GetRetry())
	_, err := io.WriteString(w, p.text.String())
	return err
}

// page is a page that is written as of a time.
type page struct {
	text strings.Builder
	now  time.Time
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// line writes a name and a value. What is empty is left out.
func (p *page) line(name, value string) {
	if value = OneLine(value); value != "" {
		p.printf("%-10s %s\n", name, value)
	}
}

func (p *page) task(e *refractv1.Explanation) {
	t := e.GetTask()
	p.line("task", t.GetId())
	p.line("state", stateName(t.GetState())+" since "+p.when(t.GetUpdateTime()))
	p.line("failure", failureLine(t.GetFailure()))
	p.line("model", t.GetModel())
	p.line("provider", t.GetProvider())
	p.line("request id", t.GetRequestId())
	p.line("trace id", e.GetTraceId())
	if !ended(t.GetState()) {
		p.line("deadline", p.when(t.GetDeadlineTime()))
	}
}

// ended reports whether a task in a state changes only through a retry, if at all.
func ended(s refractv1.TaskState) bool {
	return s == refractv1.TaskState_TASK_STATE_SUCCEEDED || s == refractv1.TaskState_TASK_STATE_FAILED || s == refractv1.TaskState_TASK_STATE_CANCELED
}

// The facts that the line of an entry itself shows.
var shownFacts = []string{"state", "revision"}

// entry writes an entry: its time, how long that is after the submission, the state or the kind, and the message. Facts follow on a
// line of their own, so that a line stays short.
func (p *page) entry(entry *refractv1.ExplanationEntry, begin *timestamppb.Timestamp) {
	what := strings.ToLower(strings.TrimPrefix(entry.GetKind().String(), "EXPLANATION_ENTRY_KIND_"))
	if state := entry.GetFacts()["state"]; state != "" {
		what = OneLine(state)
	}
	after := "+" + roughly(entry.GetTime().AsTime().Sub(begin.AsTime()))
	p.printf("%s  %-7s %-10s %s\n", stamp(entry.GetTime()), after, what, OneLine(entry.GetMessage()))
	var facts []string
	for _, name := range slices.Sorted(maps.Keys(entry.GetFacts())) {
		if !slices.Contains(shownFacts, name) {
			facts = append(facts, OneLine(name)+"="+OneLine(entry.GetFacts()[name]))
		}
	}
	if len(facts) > 0 {
		p.printf("    %s\n", strings.Join(facts, " "))
	}
}

func (p *page) next(n *refractv1.NextStep) {
	text := n.GetMessage()
	if n.GetTime() != nil {
		text += ", at the latest at " + p.when(n.GetTime())
	}
	p.line("next", text)
	p.line("waits for", waitingLine(n.GetWaiting()))
}

func (p *page) retry(r *refractv1.RetryAdvice) {
	if r == nil {
		return
	}
	text := "no: "
	if r.GetCanHelp() {
		text = "yes: "
	}
	p.line("retry", text+r.GetMessage())
}

// when returns a time with how far it is from now.
func (p *page) when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "an unknown time"
	}
	if d := t.AsTime().Sub(p.now); d > 0 {
		return stamp(t) + " (in " + roughly(d) + ")"
	}
	return stamp(t) + " (" + roughly(p.now.Sub(t.AsTime())) + " ago)"
}

// roughly returns a duration with two figures of precision or so.
func roughly(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	default:
		text := d.Round(time.Minute).String() // Such as 26h5m0s.
		return strings.TrimSuffix(text, "0s")
	}
}

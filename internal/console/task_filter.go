package console

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// taskFilter is the form with which tasks are filtered, as it was typed. It is the query of the page's URL.
type taskFilter struct {
	States   []string // Such as "QUEUED".
	Labels   []string // Such as "project=spring".
	Model    string
	Provider string
	Text     string
	Reason   string // Such as "INPUT_REJECTED".
	From, To string // In UTC, in one of timeLayouts.
}

// taskFilterOf reads the filter of a URL. Values that are empty filter nothing: a browser sends the empty fields of a form too.
func taskFilterOf(q url.Values) taskFilter {
	trimmed := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	f := taskFilter{
		Model: trimmed("model"), Provider: trimmed("provider"), Text: trimmed("text"),
		Reason: trimmed("reason"), From: trimmed("from"), To: trimmed("to"),
	}
	add := func(to []string, values []string) []string {
		for _, value := range values {
			if value = strings.TrimSpace(value); value != "" && !slices.Contains(to, value) {
				to = append(to, value)
			}
		}
		return to
	}
	f.States, f.Labels = add(nil, q["state"]), add(nil, q["label"])
	return f
}

// Active reports whether the filter leaves anything out.
func (f taskFilter) Active() bool { return f.Text != "" || len(f.States) > 0 || f.Hidden() }

// Hidden reports whether a field is set that the page shows only on request.
func (f taskFilter) Hidden() bool {
	return len(f.Labels) > 0 || f.Model != "" || f.Provider != "" || f.Reason != "" || f.From != "" || f.To != ""
}

// Has reports whether the filter selects a state.
func (f taskFilter) Has(state string) bool { return slices.Contains(f.States, state) }

// values returns the query that has the filter.
func (f taskFilter) values() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(f.States) > 0 {
		q["state"] = slices.Clone(f.States)
	}
	if len(f.Labels) > 0 {
		q["label"] = slices.Clone(f.Labels)
	}
	set("model", f.Model)
	set("provider", f.Provider)
	set("text", f.Text)
	set("reason", f.Reason)
	set("from", f.From)
	set("to", f.To)
	return q
}

// path returns the URL of a page of the list.
func (f taskFilter) path(token string) string {
	q := f.values()
	if token != "" {
		q.Set(pageParameter, token)
	}
	if len(q) == 0 {
		return "/tasks"
	}
	return "/tasks?" + q.Encode()
}

// request returns the call that lists what the filter selects. The error is for the person who typed the filter.
func (f taskFilter) request(token string) (*refractv1.ListTasksRequest, error) {
	req := &refractv1.ListTasksRequest{PageToken: token, Text: f.Text, Labels: map[string]string{}}
	for _, name := range f.States {
		state, ok := refractv1.TaskState_value["TASK_STATE_"+name]
		if !ok || state == 0 {
			return nil, fmt.Errorf("there is no state %q", name)
		}
		req.States = append(req.States, refractv1.TaskState(state))
	}
	for _, label := range f.Labels {
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return nil, fmt.Errorf("the label %q is not of the form key=value", label)
		}
		if other, ok := req.Labels[key]; ok && other != value {
			return nil, fmt.Errorf("the label %q cannot have two values", key)
		}
		req.Labels[key] = value
	}
	if f.Reason != "" {
		reason, ok := refractv1.FailureReason_value["FAILURE_REASON_"+f.Reason]
		if !ok || reason == 0 {
			return nil, fmt.Errorf("there is no failure reason %q", f.Reason)
		}
		req.FailureReasons = append(req.FailureReasons, refractv1.FailureReason(reason))
	}
	if f.Model != "" {
		req.Models = []string{f.Model}
	}
	if f.Provider != "" {
		req.Providers = []string{f.Provider}
	}
	var err error
	if req.CreateTimeFrom, err = filterTime(f.From); err != nil {
		return nil, err
	}
	if req.CreateTimeTo, err = filterTime(f.To); err != nil {
		return nil, err
	}
	return req, nil
}

// filterTime returns a time of the filter, or nil for none.
func filterTime(text string) (*timestamppb.Timestamp, error) {
	t, err := utcTime(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time such as 2026-03-14T15:09, in UTC", text)
	}
	return t, nil
}

// LocalFrom returns From as an input of the type datetime-local takes it.
func (f taskFilter) LocalFrom() string { return localTime(f.From) }

// LocalTo returns To likewise.
func (f taskFilter) LocalTo() string { return localTime(f.To) }

func localTime(text string) string {
	if t, err := filterTime(text); err == nil && t != nil {
		return t.AsTime().Format("2006-01-02T15:04:05")
	}
	return ""
}

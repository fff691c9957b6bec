// Package task defines the types of Refract (Task, Attempt, Event, Output, Failure) and the state machine. A task
// changes only through the state machine.
//
// The machine is one pure function, [Task.Apply]: (task, input) → decision. It has no clock, no database and no
// network, so tests can check its guarantees for every order of inputs:
//
//   - Terminal is terminal: SUCCEEDED never changes, FAILED and CANCELED change only through RetryRequested.
//   - Revisions start at 1 and grow by 1.
//   - An attempt is sent once. Another one follows only if the attempt before provably created nothing, was reported as
//     failed by the provider within the task's allowance, or a caller requested another one.
//
// The caller of Apply locks the task (its row, in practice) and commits the decision as a whole, including the jobs. A
// decision that a crash loses never happened, and the input comes again.
package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// ID names a task: a UUID of version 7, so that ids sort by time.
type ID string

// AttemptID names an attempt: a UUID of version 7.
type AttemptID string

// State is the state of a task.
type State string

// The states of a task. See the picture in machine.go.
const (
	Queued     State = "QUEUED"
	Submitting State = "SUBMITTING"
	Running    State = "RUNNING"
	Saving     State = "SAVING"
	Succeeded  State = "SUCCEEDED"
	Failed     State = "FAILED"
	Canceled   State = "CANCELED"
)

// States are all states, in the order in which a task passes through them.
var States = []State{Queued, Submitting, Running, Saving, Succeeded, Failed, Canceled}

// Terminal reports whether a task in this state changes only through a retry, if at all.
func (s State) Terminal() bool { return s == Succeeded || s == Failed || s == Canceled }

// Task is one modification job that a caller requested.
type Task struct {
	ID        ID
	Tenant    string
	RequestID string
	Spec      Spec

	Provider  string   // The current provider of the task; one of Route.
	Route     []string // The providers to try, in this order; at least one.
	State     State
	Revision  int64     // The number of the newest event.
	Allowance int       // How many attempts may be paid for; starts as Spec.MaxAttempts and grows with retries.
	Attempts  []Attempt // Oldest first; Attempts[i].Number is i+1.
	Result    AttemptID // The attempt whose result is being saved or was saved; empty before.
	Failure   *Failure  // Set exactly when FAILED.
	Outputs   []Output  // The outputs of Result, when SUCCEEDED. They are read with the task; Apply ignores them.

	// TraceParent is the trace context of the submit, as the header traceparent of W3C Trace Context; empty if the submit had none. It
	// never changes, and Apply ignores it.
	TraceParent string

	CreateTime   time.Time
	UpdateTime   time.Time // The time of the newest event.
	DeadlineTime time.Time
}

// Attempt returns the newest attempt, or nil.
func (t *Task) Attempt() *Attempt {
	if len(t.Attempts) == 0 {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// AttemptByID returns the attempt with this id, or nil.
func (t *Task) AttemptByID(id AttemptID) *Attempt {
	i := slices.IndexFunc(t.Attempts, func(a Attempt) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return &t.Attempts[i]
}

// paid returns how many attempts were or may have been paid for: all but the refused ones.
func (t *Task) paid() int {
	n := 0
	for _, a := range t.Attempts {
		if a.State != AttemptRefused {
			n++
		}
	}
	return n
}

// SendNumber returns the place of an attempt among those of the task that were sent, from 1: the number of other attempts before it that
// were sent, plus 1. It names the record of the send in the bucket.
//
// NOTE: attempts that never left do not count. A restored database may give back attempts that the first run had sent, and the other way
// round, so the numbers of attempts say nothing about how often a task was sent.
func (t *Task) SendNumber(id AttemptID) int {
	n := 1
	for _, a := range t.Attempts {
		if a.ID == id {
			break
		}
		if a.Sent {
			n++
		}
	}
	return n
}

// Spec is the request of the caller. It never changes.
type Spec struct {
	Prompt        string
	SourceURI     string   // Empty where SourceID names the source.
	SourceID      SourceID // Empty where SourceURI names the source.
	Watermark     string
	Strength      string // A value of package provider; empty means the provider's default, as with Model.
	Model         string
	Parameters    string // Of the model, as JSON with sorted names; empty means none.
	FirstFrameURI string
	WebhookURI    string   // The URI that receives the task's events; empty means none.
	Provider      string   // Empty means the service's route.
	Fallbacks     []string // The providers to move on to.
	Priority      int32
	Labels        map[string]string
	Deadline      time.Duration
	MaxAttempts   int
}

// ParameterValues returns the parameters by name, or nil if there are none.
func (s Spec) ParameterValues() (map[string]any, error) {
	if s.Parameters == "" {
		return nil, nil //nolint:nilnil // None is no error.
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(s.Parameters), &values); err != nil {
		return nil, fmt.Errorf("read the parameters: %w", err)
	}
	return values, nil
}

// SourceHost returns the host of the source's URI, or "" for an uploaded source.
func (s Spec) SourceHost() string {
	u, err := url.Parse(s.SourceURI)
	if err != nil {
		return "" // The look at the source fails at once.
	}
	return u.Host
}

// Differences returns the names of the fields, as in the contract, in which two specs differ.
func (s Spec) Differences(o Spec) []string {
	var names []string
	differs := func(name string, same bool) {
		if !same {
			names = append(names, name)
		}
	}
	differs("prompt", s.Prompt == o.Prompt)
	differs("source.uri", s.SourceURI == o.SourceURI)
	differs("source.source_id", s.SourceID == o.SourceID)
	differs("watermark", s.Watermark == o.Watermark)
	differs("strength", s.Strength == o.Strength)
	differs("model", s.Model == o.Model)
	differs("parameters", s.Parameters == o.Parameters)
	differs("first_frame_uri", s.FirstFrameURI == o.FirstFrameURI)
	differs("provider", s.Provider == o.Provider)
	differs("fallback_providers", slices.Equal(s.Fallbacks, o.Fallbacks))
	differs("priority", s.Priority == o.Priority)
	differs("labels", maps.Equal(s.Labels, o.Labels))
	differs("deadline", s.Deadline == o.Deadline)
	differs("max_attempts", s.MaxAttempts == o.MaxAttempts)
	differs("webhook_uri", s.WebhookURI == o.WebhookURI)
	return names
}

// Output is one result file of an attempt, in the bucket.
type Output struct {
	Index       int
	Key         string // The key of the file in the bucket.
	ContentType string
	SizeBytes   int64
	SHA256      []byte
	Duration    time.Duration // Of the video track; 0 if the container lacks it, or if an earlier release saved the file.
	Width       int           // As with Duration, 0 if it is not known.
	Height      int
	VideoCodec  string // Such as "h264".

	ExpireTime time.Time // When the file is removed; zero means never. A change of the retention periods changes it.
	Expired    bool      // Whether ExpireTime has passed, by the database's clock when the output was read.
}

// Event is one numbered change of a task.
type Event struct {
	Revision   int64
	State      State // The state after the change.
	Attempt    int   // The number of the attempt that the change is about; 0 means none.
	Message    string
	Failure    *Failure // Set exactly when State is FAILED.
	CreateTime time.Time
}

// Filter selects the tasks of a tenant to list.
type Filter struct {
	Tenant    string
	Before    ID // Only tasks submitted before this one; empty means from the newest.
	States    []State
	Reasons   []Reason   // Of failure.
	Models    []string   // The models that tasks name.
	Offerings []Offering // Tasks that name these at these providers match too, as if Models had them.
	Providers []string   // That tasks are assigned to.
	Labels    map[string]string
	Text      string    // Part of the prompt, in upper or lower case, or the request id or id of a task.
	FromTime  time.Time // Zero means no bound.
	ToTime    time.Time
	Limit     int
	// LimitBytes ends the list with the task at which all prompts together reach this length; 0 means no bound.
	LimitBytes int64
}

// Offering is a model as a task names it at a provider: by the provider's own name of it, or by no name for the provider's default.
type Offering struct {
	Provider string
	Model    string
}

// Page is a part of a list of tasks.
type Page struct {
	Tasks []Task // Newest first.
	// Named reports whether the text of the filter is the id or the request id of the first task. That task precedes the others,
	// whatever its age.
	Named bool
	// SearchedTo is the last task that was looked at, if the list ended because it had looked at as many tasks as it may.
	SearchedTo *Place
}

// Place is where a task is in a list.
type Place struct {
	ID         ID
	CreateTime time.Time
}

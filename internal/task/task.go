// Package task holds the nouns of Refract (Task, Attempt, Event, Output, Failure) and the state machine
// through which alone a task changes.
//
// The machine is one pure function, [Task.Apply]: (task, input) → decision. It has no clock, no database
// and no network, so its promises can be tested against every order of inputs:
//
//   - terminal is terminal: SUCCEEDED never changes, FAILED and CANCELED only through RetryRequested;
//   - revisions start at 1 and grow by 1;
//   - an attempt is sent once, and another one follows only when the one before provably created nothing,
//     was reported as failed by the provider within the task's allowance, or a caller asked for it.
//
// The caller of Apply holds the task (a row lock in practice) and commits the decision as a whole, jobs
// included: a decision that is lost in a crash never happened, and the input comes again.
package task

import (
	"maps"
	"net/url"
	"slices"
	"time"
)

// ID names a task: a UUID of version 7, so that ids sort by time.
type ID string

// AttemptID names an attempt: a UUID of version 7.
type AttemptID string

// State is where a task is.
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

// Task is one modification job that a caller asked for.
type Task struct {
	ID        ID
	Tenant    string
	RequestID string
	Spec      Spec

	Provider  string   // The provider that works on the task or is to; one of Route.
	Route     []string // The providers to try, in this order; at least one.
	State     State
	Revision  int64     // The number of the newest event.
	Allowance int       // How many attempts may be paid for; begins as Spec.MaxAttempts and grows with retries.
	Attempts  []Attempt // Oldest first; Attempts[i].Number is i+1.
	Result    AttemptID // The attempt whose result is being saved or was; empty before.
	Failure   *Failure  // Set exactly when FAILED.
	Outputs   []Output  // The outputs of Result, when SUCCEEDED; read with the task, not decided about.

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

// paid counts the attempts that were paid for, as far as is known: all but the refused ones.
func (t *Task) paid() int {
	n := 0
	for _, a := range t.Attempts {
		if a.State != AttemptRefused {
			n++
		}
	}
	return n
}

// Spec is what the caller asked for. It never changes.
type Spec struct {
	Prompt        string
	SourceURI     string   // Empty where SourceID names the source.
	SourceID      SourceID // Empty where SourceURI names the source.
	Watermark     string
	Strength      string // As package provider spells it; empty means the provider's default, as with Model.
	Model         string
	FirstFrameURI string
	Provider      string   // Empty means the service's route.
	Fallbacks     []string // The providers to move on to.
	Priority      int32
	Labels        map[string]string
	Deadline      time.Duration
	MaxAttempts   int
}

// SourceHost returns the host of the URI of the source, or nothing for an uploaded source.
func (s Spec) SourceHost() string {
	u, err := url.Parse(s.SourceURI)
	if err != nil {
		return "" // Looking at it fails at once.
	}
	return u.Host
}

// Differences names the fields, as the contract spells them, in which two specs differ.
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
	differs("first_frame_uri", s.FirstFrameURI == o.FirstFrameURI)
	differs("provider", s.Provider == o.Provider)
	differs("fallback_providers", slices.Equal(s.Fallbacks, o.Fallbacks))
	differs("priority", s.Priority == o.Priority)
	differs("labels", maps.Equal(s.Labels, o.Labels))
	differs("deadline", s.Deadline == o.Deadline)
	differs("max_attempts", s.MaxAttempts == o.MaxAttempts)
	return names
}

// Output is one result file of an attempt, in the bucket.
type Output struct {
	Index       int
	Key         string // Where it is in the bucket.
	ContentType string
	SizeBytes   int64
	SHA256      []byte
	Duration    time.Duration // Of the video track; 0 where its container does not say, or it was saved before that was kept,
	Width       int           // as with the others.
	Height      int
	VideoCodec  string // Such as "h264".

	ExpireTime time.Time // When the file is given up; zero means never. Terms may change it.
	Expired    bool      // Whether that time has come; read with the output, by the database's clock.
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

// Filter says which of a tenant's tasks to list.
type Filter struct {
	Tenant   string
	Before   ID // Only tasks submitted before this one; empty means from the newest.
	States   []State
	Reasons  []Reason // Of failure.
	Labels   map[string]string
	FromTime time.Time // Zero means no bound.
	ToTime   time.Time
	Limit    int
	// LimitBytes ends the list with the first task whose prompt makes all prompts together as long; 0 means no bound.
	LimitBytes int64
}

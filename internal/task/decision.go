package task

import (
	"cmp"
	"time"
)

// Decision is the effect of an input on a task. It is committed as a whole or not at all.
type Decision struct {
	Task          Task          // The task after the input.
	Event         *Event        // The change to record, or nil. The database sets its time.
	Jobs          []Job         // The work that it makes necessary.
	Outputs       []Output      // New outputs of the attempt that OutputsOf names.
	OutputsOf     AttemptID     // The attempt that Outputs belong to.
	Check         AttemptID     // The attempt to check with the provider, or empty.
	CheckDelay    time.Duration // The delay of that check. An earlier check that is due stays.
	InTransit     time.Duration // How long the request of an attempt that becomes UNCONFIRMED may still arrive at the provider.
	RequeueDelay  time.Duration // How long admission skips a task that was queued again.
	RenewDeadline bool          // Whether the deadline starts again from now.
	Changed       bool          // Whether there is anything to commit.
}

// Job is work that a decision makes necessary. It is enqueued in the transaction of the decision and runs at least
// once. Kind is its name in the queue.
type Job interface{ Kind() string }

// SubmitAttempt sends an attempt to its provider. Tenant and Host are the parties that share slots for slow sources, so
// they are known before anything is read. Jobs of an earlier release have neither.
type SubmitAttempt struct {
	AttemptID AttemptID `json:"attempt_id"`
	Tenant    string    `json:"tenant,omitempty"`
	Host      string    `json:"host,omitempty"` // Of the source's URI; of an uploaded source, the account that gets it.
}

// submit is the job of an attempt.
func (d *Decision) submit(a *Attempt) SubmitAttempt {
	return NewSubmitAttempt(a.ID, d.Task.Tenant, d.Task.Spec, a.Account)
}

// NewSubmitAttempt returns the job that sends an attempt of a tenant's task to an account.
func NewSubmitAttempt(id AttemptID, tenant string, spec Spec, account string) SubmitAttempt {
	return SubmitAttempt{AttemptID: id, Tenant: tenant, Host: cmp.Or(spec.SourceHost(), account)}
}

// Kind is the name of the job.
func (SubmitAttempt) Kind() string { return "submit_attempt" }

// SaveOutputs copies the result of an attempt into the bucket.
type SaveOutputs struct {
	AttemptID AttemptID `json:"attempt_id"`
	Links     []string  `json:"links,omitempty"` // As in ResultReady. The queue keeps them for as long as the job.
}

// Kind is the name of the job.
func (SaveOutputs) Kind() string { return "save_outputs" }

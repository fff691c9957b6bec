package task

import (
	"cmp"
	"time"
)

// Decision is what becomes of a task. It is committed as a whole or not at all.
type Decision struct {
	Task          Task          // The task after the input.
	Event         *Event        // The change to record, or nil. Its time is the database's.
	Jobs          []Job         // What must be done because of it.
	Outputs       []Output      // New outputs of the attempt that OutputsOf names.
	OutputsOf     AttemptID     // The attempt that Outputs belong to.
	Check         AttemptID     // The attempt that the provider is to be asked about, or empty,
	CheckDelay    time.Duration // after this long, or sooner where a sooner check is due.
	InTransit     time.Duration // For how long the request of an attempt that becomes UNCONFIRMED may still arrive at the provider.
	RequeueDelay  time.Duration // How long a task that was queued again is kept from admission.
	RenewDeadline bool          // Whether the deadline begins anew.
	Changed       bool          // Whether anything at all is to be committed.
}

// Job is work that a decision makes necessary. It is enqueued in the transaction of the decision and
// runs at least once. Kind is its name in the queue.
type Job interface{ Kind() string }

// SubmitAttempt sends an attempt to its provider. Tenant and Host say on whose account it may take long, before anything is read;
// jobs of a release before have neither.
type SubmitAttempt struct {
	AttemptID AttemptID `json:"attempt_id"`
	Tenant    string    `json:"tenant,omitempty"`
	Host      string    `json:"host,omitempty"` // Of the source's URI; of an uploaded source, the account that gets it.
}

// submit is the job of an attempt.
func (d *Decision) submit(a *Attempt) SubmitAttempt {
	return SubmitAttempt{AttemptID: a.ID, Tenant: d.Task.Tenant, Host: cmp.Or(d.Task.Spec.SourceHost(), a.Account)}
}

// Kind is the name of the job.
func (SubmitAttempt) Kind() string { return "submit_attempt" }

// SaveOutputs brings the result of an attempt into the bucket.
type SaveOutputs struct {
	AttemptID AttemptID `json:"attempt_id"`
}

// Kind is the name of the job.
func (SaveOutputs) Kind() string { return "save_outputs" }

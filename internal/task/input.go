package task

import "time"

// Input is something that happened to a task: a verdict of a provider, a request of a caller, or the end of a period.
// The inputs of an attempt come at least once and in any order; a late or repeated one changes nothing.
type Input interface{ isInput() }

type (
	// Admitted says that admission granted a permit of an account at the task's provider. The task must be
	// QUEUED.
	Admitted struct {
		Attempt AttemptID
		Account string
	}

	// ProviderBlocked says that the task's provider can't take the task now. A QUEUED task moves on to the next
	// provider of its route, if its route has one.
	ProviderBlocked struct {
		Known   []string // As in Refused.
		Message string   // Why; empty means that no account can submit.
	}

	// Unprepared says that the source of a QUEUED task cannot be prepared for its provider, so that no attempt is made
	// there. The task moves on or fails, as after a final Refused.
	Unprepared struct {
		Provider string // The provider that it can't be prepared for.
		Reason   Reason
		Message  string
		Final    bool     // As in Refused.
		Known    []string // As in Refused.
	}

	// Sending says that the attempt is about to be sent. Once this is committed, the attempt counts as sent, and no
	// process may send it again.
	Sending struct {
		Attempt AttemptID
		Remote  string // What the provider calls the model.
	}

	// Accepted says that the provider created a task for the attempt.
	Accepted struct {
		Attempt        AttemptID
		ProviderTaskID string
		Handle         string        // As in Attempt.
		CheckAfter     time.Duration // When to check with the provider for the first time.
	}

	// Refused says that the attempt provably created nothing at the provider. With a reason, the refusal is final for
	// this provider: the task moves on to the next provider of its route, and fails at the end of the route. Without a
	// reason, the task is queued again and waits for at least Delay.
	Refused struct {
		Attempt   AttemptID
		Reason    Reason
		Delay     time.Duration
		Message   string
		Blame     Blame
		Final     bool     // Whether no other provider would accept it either, so that the task does not move on.
		Elsewhere bool     // Whether the task moves on if its route has another provider. Otherwise it is queued again. It has no reason.
		Known     []string // The providers that have an account; others are skipped. Empty means all.
		Unsent    bool     // Whether the request never left. The attempt no longer counts as sent.
	}

	// TakenOver says that the task was sent before, as a record in the bucket shows, and that the database has forgotten it: it was
	// set back to an earlier state. An attempt that was about to be sent, and that was not, takes the place of the forgotten one. If
	// the task is QUEUED, the attempt is a new one.
	TakenOver struct {
		Attempt    AttemptID
		Provider   string // Of the forgotten attempt, as the next fields are. Empty if the record could not be read.
		Account    string
		Remote     string
		Handle     string
		Outcome    Outcome
		CheckAfter time.Duration // As in Ambiguous, if the outcome is unknown.
		Message    string        // Of the provider, if it refused the attempt or failed.

		ProviderTaskID string // If the provider accepted it.
	}

	// Ambiguous says that the attempt was sent, or may have been, and that its outcome is unknown.
	Ambiguous struct {
		Attempt    AttemptID
		CheckAfter time.Duration // When the wait for its callback ends.
		InTransit  time.Duration // How long the request may still arrive at the provider; 0 where an answer proves that it did.
		Message    string
		Blame      Blame
	}

	// Hinted says that a callback came which does not settle the attempt by itself. The provider must be asked now.
	Hinted struct {
		Attempt        AttemptID
		ProviderTaskID string
		Proven         bool // Whether the provider signed that this is its id.
	}

	// ResultReady says that the provider has a result.
	ResultReady struct {
		Attempt        AttemptID
		ProviderTaskID string
		Links          []string // To the result, if they come from the provider. Otherwise the save asks for them.
		Cost           Cost     // If the provider has proved it.
	}

	// GenerationFailed says that the provider tried and failed, in its own answer to a check, or in a callback that proves it.
	GenerationFailed struct {
		Attempt        AttemptID
		ProviderTaskID string // Empty when the answer to the submission said so.
		Reason         Reason // Empty means ProviderFailed.
		Message        string
		Cost           Cost
	}

	// GivenUp says that the outcome of the attempt will stay unknown: the wait for its callback ended, or
	// the provider does not know it.
	GivenUp struct {
		Attempt AttemptID
		Message string
	}

	// Saved says that all outputs of the attempt are in the bucket.
	Saved struct {
		Attempt AttemptID
		Outputs []Output
	}

	// SaveFailed says that the outputs of the attempt cannot be copied into the bucket.
	SaveFailed struct {
		Attempt AttemptID
		Reason  Reason
		Message string
	}

	// CancelRequested says that the caller no longer wants the task.
	CancelRequested struct{}

	// RetryRequested says that the caller wants a FAILED or CANCELED task continued. NewAttempt requests another paid
	// attempt even if a result or an open attempt could be adopted for free.
	RetryRequested struct {
		NewAttempt bool
		Known      []string // As in Refused.
	}

	// DeadlinePassed says that the task's deadline has passed.
	DeadlinePassed struct{}
)

// Outcome is what is known about the answer to an attempt that was sent.
type Outcome string

// The outcomes.
const (
	OutcomePending  Outcome = ""         // None is known.
	OutcomeAccepted Outcome = "ACCEPTED" // The provider has a task for it.
	OutcomeRefused  Outcome = "REFUSED"  // It provably created nothing.
	OutcomeFailed   Outcome = "FAILED"   // The provider tried and failed.
)

// provenID returns the provider task id if the provider signed it, or empty.
func (h Hinted) provenID() string {
	if h.Proven {
		return h.ProviderTaskID
	}
	return ""
}

func (Admitted) isInput()         {}
func (ProviderBlocked) isInput()  {}
func (Unprepared) isInput()       {}
func (Sending) isInput()          {}
func (Accepted) isInput()         {}
func (Refused) isInput()          {}
func (TakenOver) isInput()        {}
func (Ambiguous) isInput()        {}
func (ResultReady) isInput()      {}
func (GenerationFailed) isInput() {}
func (Hinted) isInput()           {}
func (GivenUp) isInput()          {}
func (Saved) isInput()            {}
func (SaveFailed) isInput()       {}
func (CancelRequested) isInput()  {}
func (RetryRequested) isInput()   {}
func (DeadlinePassed) isInput()   {}

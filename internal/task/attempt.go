package task

import "time"

// AttemptState is the state of an attempt.
type AttemptState string

// The states of an attempt.
const (
	AttemptSubmitting  AttemptState = "SUBMITTING"  // About to be sent, or being sent.
	AttemptUnconfirmed AttemptState = "UNCONFIRMED" // Sent with unknown outcome; only its callback can settle it.
	AttemptRunning     AttemptState = "RUNNING"     // The provider works on it.
	AttemptSucceeded   AttemptState = "SUCCEEDED"   // The provider has a result.
	AttemptFailed      AttemptState = "FAILED"      // The provider tried and failed.
	AttemptRefused     AttemptState = "REFUSED"     // Nothing was created at the provider.
	AttemptLost        AttemptState = "LOST"        // The outcome stayed unknown.
)

// Blame is what is held responsible when a provider does not accept an attempt: the account or the task.
type Blame string

// The causes. An outcome that says nothing about the account or the task has none.
const (
	BlameAccount Blame = "ACCOUNT" // The account, which the provider reports as blocked. It pauses.
	BlameChance  Blame = "CHANCE"  // The account, for an outcome that any task can have: a rate limit, no connection, no clear answer. It pauses.
	BlameTask    Blame = "TASK"    // The task: the account accepted other tasks meanwhile.
)

// Attempt is one try of a task at a provider: the unit that costs money.
type Attempt struct {
	ID             AttemptID
	Number         int
	Provider       string
	Account        string // The account at the provider.
	ProviderTaskID string // Empty while the provider has not named it.
	HintedTaskID   string // What an unproven callback gave as ProviderTaskID; believed once the provider knows it.
	Remote         string // What the provider calls the model, set when sending begins.
	Handle         string // What the adapter needs besides ProviderTaskID to ask about it; empty for most providers.
	State          AttemptState
	Sent           bool   // Whether sending began. A sent attempt is never sent again.
	Saved          bool   // Whether its outputs are in the bucket.
	Blame          Blame  // What is held responsible if the provider did not accept it.
	Message        string // The provider's message on a refusal or failure.
	Cost           Cost   // What the provider says that it cost.
	CreateTime     time.Time
}

// Cost is an amount that a provider charged. The zero value says that the provider named none.
type Cost struct {
	Amount string // A decimal number.
	Unit   string // What it counts, such as credits.
}

// Open reports whether the attempt may still produce a result, and is therefore followed.
func (a *Attempt) Open() bool {
	return a.State == AttemptSubmitting || a.State == AttemptUnconfirmed || a.State == AttemptRunning
}

// payment returns what is known about payment for the attempt. For nil, nothing was paid.
func (a *Attempt) payment() Payment {
	switch {
	case a == nil || !a.Sent || a.State == AttemptRefused:
		return PaymentNone
	case a.ProviderTaskID != "":
		return PaymentPaid
	default:
		return PaymentUnknown
	}
}

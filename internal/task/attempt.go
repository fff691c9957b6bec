package task

import "time"

// AttemptState is where an attempt is.
type AttemptState string

// The states of an attempt.
const (
	AttemptSubmitting  AttemptState = "SUBMITTING"  // About to be sent, or being sent.
	AttemptUnconfirmed AttemptState = "UNCONFIRMED" // Sent with unknown outcome; only its callback can tell.
	AttemptRunning     AttemptState = "RUNNING"     // The provider works on it.
	AttemptSucceeded   AttemptState = "SUCCEEDED"   // The provider has a result.
	AttemptFailed      AttemptState = "FAILED"      // The provider tried and failed.
	AttemptRefused     AttemptState = "REFUSED"     // Nothing was created at the provider.
	AttemptLost        AttemptState = "LOST"        // The outcome stayed unknown.
)

// Blame says who is held responsible when a provider does not accept an attempt.
type Blame string

// What it is held against. An outcome that says nothing about the account has none.
const (
	BlameAccount Blame = "ACCOUNT" // The account, which pauses because the provider says that it is blocked.
	BlameChance  Blame = "CHANCE"  // The account, which pauses, for what any task can meet: a rate limit, no connection, no clear answer.
	BlameTask    Blame = "TASK"    // The task: the account accepted others meanwhile.
)

// Attempt is one try of a task at a provider: the unit that costs money.
type Attempt struct {
	ID             AttemptID
	Number         int
	Provider       string
	Account        string // The account at the provider.
	ProviderTaskID string // Empty while the provider has not named it.
	HintedTaskID   string // What an unproven callback gave as ProviderTaskID; believed once the provider knows it.
	State          AttemptState
	Sent           bool   // Whether sending began. What was sent is never sent again.
	Saved          bool   // Whether its outputs are in the bucket.
	Blame          Blame  // Who is held responsible if the provider did not accept it.
	Message        string // The provider's words on a refusal or failure.
	CreateTime     time.Time
}

// Open reports whether the attempt is still followed: it may yet produce a result.
func (a *Attempt) Open() bool {
	return a.State == AttemptSubmitting || a.State == AttemptUnconfirmed || a.State == AttemptRunning
}

// payment is what is known about money for this attempt; the zero attempt was never made.
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

// Package provider declares what Refract needs from an upstream API that modifies videos, and the errors that an adapter
// returns.
//
// An adapter knows wire formats and nothing else: it holds no state, starts nothing in the background
// and never sends anything twice by itself. Each call makes at most one HTTP request that could create
// something, because no provider has an idempotency key: whether a submission may be sent again is
// decided by package task from the [Class] of the error, never here.
package provider

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Provider is one upstream API. Its methods may be called concurrently. Every error they return is an
// *Error, except those of Callback, which wrap one of the ErrCallback sentinels.
type Provider interface {
	// Name is what tasks, metrics and callback URLs call this provider, for example "kie".
	Name() string

	// Capabilities are the facts in which providers differ.
	Capabilities() Capabilities

	// Submit asks the provider to start one attempt and returns how the provider names it. An error of
	// class Ambiguous leaves open whether the provider started (and charges) anything. The request must not leave
	// once MaySend says no, which is asked as late as possible; then the error is of class NotSent.
	Submit(ctx context.Context, s Submission) (Receipt, error)

	// Check asks how the provider's task is doing.
	Check(ctx context.Context, q Query) (Status, error)

	// RefreshLink returns a fresh link for a result link that no longer works. An error of class
	// Rejected says that the provider can't.
	RefreshLink(ctx context.Context, link string) (string, error)

	// Callback decodes one callback and verifies what the provider signs of it. The body is untrusted. The caller has
	// verified the URL token. An adapter may fetch the provider's public keys here; if it can't, the callback is not proven.
	Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (Callback, error)
}

// Uploader is a provider that takes files which have no public URL: one with Capabilities.Upload.
type Uploader interface {
	// Upload hands the provider a file and returns the URL under which the provider finds it, for as long as
	// Capabilities.UploadLifetime. It costs nothing, and may be repeated: each upload has a URL of its own. An error of
	// class Rejected says that the provider does not take this file.
	Upload(ctx context.Context, f File) (link string, err error)
}

// File is a file that is handed to a provider.
type File struct {
	Name        string // Unique, so that no other file of the account is overwritten.
	ContentType string
	SizeBytes   int64
	Content     io.Reader
}

// Submission is what an attempt asks of a provider.
type Submission struct {
	Remote      string         // What the provider calls the model.
	Inputs      map[string]any // The inputs of the model, as the provider takes them. The adapter adds only what belongs to the call.
	CallbackURL string         // A secret: its last path element is the attempt's URL token. Empty where there are no callbacks.
}

// Receipt is how a provider names the task that it created for a submission.
type Receipt struct {
	TaskID string // The provider task id.
	Handle string // What the adapter needs besides the id to find the task again, at most MaxHandle bytes. Empty for most providers.
}

// MaxHandle is the maximum size of a handle, in bytes.
const MaxHandle = 2048

// Query is a question about one of the provider's tasks.
type Query struct {
	TaskID string // The provider task id.
	Handle string // As in the receipt; empty where the answer to the submission was lost.
	Remote string // What the provider calls the model; empty for an attempt of a release that did not record it.
	// Submitted is when the provider got the task. The adapter distinguishes by it a task that is not visible yet from one that the
	// provider does not know.
	Submitted time.Time
}

// Phase is how far the provider's task is.
type Phase int

// The phases of a provider's task. The zero value is not a phase.
const (
	Running Phase = iota + 1
	Succeeded
	Failed
)

// String returns the phase in lower case, as logs and metrics show it.
func (p Phase) String() string {
	switch p {
	case Running:
		return "running"
	case Succeeded:
		return "succeeded"
	case Failed:
		return "failed"
	default:
		return "unknown"
	}
}

// Status is what a provider says of one of its tasks.
type Status struct {
	Phase      Phase
	ResultURLs []string // Links to the results when Succeeded; may be empty, which is a fault of the provider's.
	Unread     string   // What of the links could not be read when Succeeded, in words for operators, at most MaxMessage bytes.
	Cause      Cause    // Why it Failed, where the provider says so in a form that can be relied on.
	Code       int      // The provider's code when Failed; 0 where its codes are words, which begin the Message.
	Message    string   // The provider's words when Failed, at most MaxMessage bytes.
	Cost       Cost     // What the provider says that the task cost.
}

// Cost is an amount that a provider charged. The zero value says that the provider named none.
type Cost struct {
	Amount string // A decimal number, such as 12.5.
	Unit   string // What it counts, such as credits: providers do not name a currency.
}

// Cause is why a provider's task failed. The zero value says that the provider gave no cause, and then the
// same request may do better when it is tried again.
type Cause int

// The causes of failures. The same request would fail again for each of them; after CauseOutOfCredits, until
// the account has credits again.
const (
	CauseUnspecified      Cause = iota // The provider failed, or did not say.
	CauseModerated                     // The prompt, the source or the result is content that the provider refuses.
	CauseInputRejected                 // The request can't be fulfilled as it stands.
	CauseInputUnreachable              // The provider could not fetch the source or the first frame.
	CauseInputTooLarge                 // The source or the first frame is too large.
	CauseInputUnsupported              // The source or the first frame has a format that the provider can't read.
	CauseOutOfCredits                  // The account ran out of credits under way.
)

// String returns the cause in snake case, as logs and metrics show it.
func (c Cause) String() string {
	switch c {
	case CauseUnspecified:
		return "unspecified"
	case CauseModerated:
		return "moderated"
	case CauseInputRejected:
		return "input_rejected"
	case CauseInputUnreachable:
		return "input_unreachable"
	case CauseInputTooLarge:
		return "input_too_large"
	case CauseInputUnsupported:
		return "input_unsupported"
	case CauseOutOfCredits:
		return "out_of_credits"
	default:
		return "unknown"
	}
}

// Callback is what a callback says.
type Callback struct {
	ProviderTaskID string
	Proof          Proof
	Signer         string // The account at the provider that the signature names; empty where signatures name none.
	Status         Status
	// KeysUnavailable is why the signature could not be verified: the provider's public keys can't be fetched. The callback is a
	// hint then. Nil otherwise.
	KeysUnavailable error
}

// Proof is what the signature of a callback proves.
type Proof int

// The proofs, each of which includes those before it.
const (
	ProofNone Proof = iota // Nothing: the callback is a hint.
	ProofID                // The provider called about this task. The signature does not cover what the callback says of it.
	ProofBody              // The provider said all of it.
)

// String returns the proof in lower case, as logs show it.
func (p Proof) String() string {
	switch p {
	case ProofNone:
		return "none"
	case ProofID:
		return "id"
	case ProofBody:
		return "body"
	default:
		return "unknown"
	}
}

// Callbacks is what a provider's callbacks are worth: the most that a callback proves.
type Callbacks int

// The kinds of callbacks. The zero value is not one of them.
const (
	NoCallbacks         Callbacks = iota + 1 // The provider never calls; only checks show the status.
	UnsignedCallbacks                        // Anyone who knows the URL could have sent them, so each is confirmed by a check.
	IDSignedCallbacks                        // They have at most ProofID: a success is believed, and its links are read by a check.
	BodySignedCallbacks                      // They have at most ProofBody: they are believed, links included.
)

// Signed reports whether callbacks have a signature.
func (c Callbacks) Signed() bool { return c == IDSignedCallbacks || c == BodySignedCallbacks }

// String returns the kind in snake case, as documents and the API show it.
func (c Callbacks) String() string {
	switch c {
	case NoCallbacks:
		return "none"
	case UnsignedCallbacks:
		return "unsigned"
	case IDSignedCallbacks:
		return "signed_id"
	case BodySignedCallbacks:
		return "signed_body"
	default:
		return "unknown"
	}
}

// Capabilities are the facts in which providers differ, as data, whatever the model: package catalog has the facts of models.
// Admission, checks and documents read them; nothing asks which provider it is.
type Capabilities struct {
	Callbacks       Callbacks
	CallbackHeaders []string // The HTTP headers that Callback reads. The ingress passes those that any account lists.
	Confidential    []string // The JSON fields of callbacks whose values are not stored, such as the balance of the account.

	Cancel       bool // Whether a running attempt can be stopped.
	Upload       bool // Whether the provider takes files that have no public URL; it is an Uploader then.
	RefreshLinks bool // Whether a dead result link can be exchanged for a fresh one.

	UploadLifetime  time.Duration // How long an uploaded file lives at least; 0 without Upload.
	LinkLifetime    time.Duration // How long a result link lives at least.
	PollInterval    time.Duration // How often a running attempt is checked.
	TypicalDuration time.Duration // How long an attempt usually takes, as callers see it, where the model has no duration of its own.
	Limits          Limits
}

// Limits are what the provider allows per account.
type Limits struct {
	Submissions int           // At most this many submissions
	Window      time.Duration // in any window of this length.
	InFlight    int           // At most this many attempts running at a time.
	Queries     int           // At most this many questions a second; 0 means that no limit is documented.
}

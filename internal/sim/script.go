package sim

import (
	"encoding/json"
	"net/http"
	"time"
)

// Submission is one valid call that creates a task, as a script sees it.
type Submission struct {
	// Seq counts the submissions that reached a script, from 1.
	Seq           int
	Profile       string
	Key           string
	Prompt        string
	VideoURL      string
	CallbackURL   string
	Watermark     string // Where the API has it, like the next three.
	Model         string
	Strength      string
	FirstFrameURL string // A frame that guides the generation.
	// Header has the headers to which the API gives a meaning, and Input the body. Only the ledger shows them.
	Header http.Header
	Input  json.RawMessage
	// LinkTTL is the lifetime of result links that the client asked for; [Terms].LinkTTL when 0.
	LinkTTL time.Duration
	// StartTimeout ends a generation that waits longer before it begins, with code 504, when not 0.
	StartTimeout time.Duration
	// BadInput fails the generation with code 422, when not nil. It is for APIs that accept any input at first.
	BadInput *BadInput
	// Directives is what the prompt asked for. A [Config].Script that wants to keep it starts from it.
	Directives Script
}

// BadInput is what is wrong with an input: its field, a name for the kind of mistake, and a text.
type BadInput struct {
	Field, Type, Message string
}

// Answer says what happens to the response to a submission.
type Answer int

// The answers to a submission. The ones named "created" take a credit; the others create nothing.
const (
	AnswerNormal    Answer = iota // The documented answer.
	AnswerHTML403                 // Not created: a bare HTML 403, as from the content network in front of the API.
	AnswerDrop                    // Not created: the connection is closed without a response.
	AnswerDropAfter               // Created: the connection is closed without a response.
	AnswerTruncated               // Created: the JSON text ends in the middle.
)

// Outcome says how a generation ends.
type Outcome int

// The outcomes of a generation.
const (
	OutcomeSuccess Outcome = iota
	OutcomeGenerateFailed
	OutcomeCreateFailed // No callback, with CallbackTerms.SilentCreateFailure.
)

// Signature says how the callbacks of a task are signed. It has no effect without a signing key.
type Signature int

// The signatures of a callback.
const (
	SignatureGood    Signature = iota
	SignatureWrong             // Made with another key.
	SignatureMissing           // No signature headers.
)

// LinkFault says what is wrong with the result links of a task.
type LinkFault int

// The faults of a result link.
const (
	LinkGood    LinkFault = iota
	LinkExpired           // Dead from the start; a renewal gives one that works.
	LinkGone              // Dead from the start, and so is every other.
	LinkOnce              // Dead after the first GET; a renewal gives one that works.
)

// Script is every fault that one task meets. The zero value has none. Faults combine. A fault that an API does not know
// has no effect there: its directives (see [Directives]) are those that it knows.
type Script struct {
	// Maintenance, when not 0, puts the profile under maintenance for this long, from this submission on. Nothing is
	// created.
	Maintenance time.Duration
	// Code, when not 0, is answered to the submission without creating anything.
	Code int
	// Answer is what happens to the response to the submission.
	Answer Answer
	// AnswerDelay holds back the response to the submission after the task was created.
	AnswerDelay time.Duration

	// Queued overrides the Queued of the profile's configuration when not 0.
	Queued time.Duration
	// QueuePosition is added to the position in the queue that an API shows. Each query lowers it by one, down to 0.
	QueuePosition int
	// Processing overrides Config.Processing when not 0.
	Processing time.Duration
	// Invisible hides a new task from queries for this long; when 0, for as long as the API usually does.
	Invisible time.Duration
	// Outcome is how the generation ends.
	Outcome Outcome
	// FailureCode is the number of a failure, where the API has one, 501 by default.
	FailureCode int
	// FailureName is the name of a failure, where the API has one. The default is the name that fits its number.
	FailureName string
	// FailureMessage is the text of a failure, "Generation failed" by default.
	FailureMessage string
	// Lag lets queries say that the generation runs for this long after it ended and its callback was sent.
	Lag time.Duration
	// Results is the number of result files, 1 by default.
	Results int
	// EmptyResults takes the results out of callbacks and queries.
	EmptyResults bool
	// Shape is how callbacks and queries write the links to results.
	Shape Shape

	// Never sends no callback except forged ones.
	Never bool
	// Late waits this long between the end of the generation and its callback.
	Late time.Duration
	// Early holds the response to the submission back until the first callback was answered, or its first try failed.
	Early bool
	// Duplicates is how many more times the callback is sent after it was accepted.
	Duplicates int
	// Regress sends, after the callback, another one that says that the generation still runs.
	Regress bool
	// Conflict sends, after the callback, another one that claims the opposite outcome.
	Conflict bool
	// ForgeURLs sends, before the callback, one whose results are a foreign file, under a valid signature if any.
	ForgeURLs bool
	// ForgeCode sends, before the callback, one with this code under a valid signature, when not 0. Where the API
	// has no code, the state is success for 200 and failure for others.
	ForgeCode int
	// Signature is how callbacks are signed.
	Signature Signature
	// Stale puts the timestamp of callbacks this far into the past.
	Stale time.Duration
	// NullData makes the object with the outcome null in callbacks.
	NullData bool
	// Quirk is a fault that one API alone has. The engine passes it through to the protocol.
	Quirk string
	// EmptyCallback takes the results out of callbacks; queries name them.
	EmptyCallback bool
	// Undeliverable makes every try of the callback fail before it leaves the simulator, which ends in [StateCallbackFailed].
	Undeliverable bool

	// Link is what is wrong with the result links.
	Link LinkFault
	// LinkStatus is the HTTP status of a dead link; Config.ExpiredStatus when 0.
	LinkStatus int
	// SlowDownload spreads the body of each download over this long.
	SlowDownload time.Duration
	// CutDownload closes the connection of each download after this many bytes; CutHalf means half of the file.
	CutDownload int64
	// HTMLResult serves an HTML page, with status 200, in place of the video.
	HTMLResult bool
	// HalfResult serves the first half of the file as if it were all of it.
	HalfResult bool
	// LongLength announces this many bytes more than the file has, and closes the connection after the file.
	LongLength int64
	// Loris sends one byte of each download every so often, when not 0.
	Loris time.Duration
	// Endless goes on after the file with zeros for as long as the client reads.
	Endless bool
	// Redirect is where result links redirect to, when not empty.
	Redirect string
}

// CutHalf is the CutDownload that ends each download after half of the file, so that two ranges fetch it.
const CutHalf int64 = -1

package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// ErrorTransport says where the simulator puts the code of a refused call.
type ErrorTransport string

// The three ways in which the provider was seen to answer errors.
const (
	// ErrorsInBody answers HTTP 200 and puts the code in the envelope, as the Luma pages document.
	ErrorsInBody ErrorTransport = "body"
	// ErrorsInStatus answers the real HTTP status with a JSON body that has no code.
	ErrorsInStatus ErrorTransport = "status"
	// ErrorsInBoth answers the real HTTP status and the envelope with the code.
	ErrorsInBoth ErrorTransport = "both"
)

// IDField says where a callback carries its task id.
type IDField string

// The places in which the provider's pages put the task id.
const (
	IDDataCamel IDField = "data.taskId"  // The Luma page.
	IDDataSnake IDField = "data.task_id" // Runway and Suno.
	IDRoot      IDField = "taskId"       // Aleph.
	IDBoth      IDField = "both"         // Root taskId and data.task_id, as in the webhook guide.
)

// Source says where the simulator takes the input of a modification from.
type Source string

// The sources that the simulator knows.
const (
	// SourceEmbedded never fetches videoUrl; each result is [ResultClip] of its task.
	SourceEmbedded Source = "embedded"
	// SourceFetch downloads videoUrl, and fails the task (flag 3) when it cannot.
	SourceFetch Source = "fetch"
)

// Transform says what the simulator does to the input.
type Transform string

// The transforms that the simulator knows.
const (
	// TransformNone returns the input bytes.
	TransformNone Transform = "none"
	// TransformAuto applies a visible ffmpeg filter, and returns the input bytes where there is no ffmpeg.
	TransformAuto Transform = "auto"
)

// Limit is a sliding window: at most N accepted calls in any span of Window, per API key.
// A negative N means no limit; the zero value means the default of the field it stands in.
type Limit struct {
	N      int
	Window time.Duration
}

// Config is how the simulated providers behave. Its zero value works: it is fast, offline and faithful in everything
// that the providers document. What stands here without another word is meant for all profiles, except that limits,
// codes and callbacks are those of kie.ai; Luma and LumaAgents hold what differs there.
type Config struct {
	// Addr is the address to listen on, "127.0.0.1:0" by default.
	Addr string
	// PublicURL is the base of every link that the simulator gives out, when it differs from the address it listens on.
	PublicURL string
	// APIKeys are the accepted bearer keys. When empty, any key that is not empty is accepted.
	APIKeys []string
	// WebhookKey signs the callbacks of kie.ai; Luma never signs. When empty, callbacks carry no signature headers.
	WebhookKey string

	// Processing is the time that a generation takes; zero finishes at once.
	Processing time.Duration
	// InvisibleFor is the time after creation in which record-info answers 422 "recordInfo is null".
	InvisibleFor time.Duration
	// Errors is the transport of error codes, [ErrorsInBody] by default.
	Errors ErrorTransport
	// RejectNonASCII refuses prompts with other than ASCII characters (422).
	RejectNonASCII bool
	// UnknownTaskCode answers record-info for an id that does not exist: 404 (default) or 422.
	UnknownTaskCode int
	// OmitNulls leaves null fields out of record-info instead of writing null.
	OmitNulls bool
	// SubmitLimit is the window of generate, 20 per 10 s by default.
	SubmitLimit Limit
	// QueryLimit is the window of record-info, 10 per 1 s by default.
	QueryLimit Limit
	// QueryDelay is how long the answers to queries take, of all profiles.
	QueryDelay time.Duration
	// Credits is the balance at the start, 1000 by default; a negative value is an empty account. All profiles share it.
	Credits int
	// TaskPrice is the number of credits that a task costs, 1 by default; a negative value makes tasks free.
	TaskPrice int

	// CallbackAttempts is how often a callback is tried in total, 4 by default (one and three retries).
	CallbackAttempts int
	// CallbackSpacing is the pause between two tries, 1 s by default.
	CallbackSpacing time.Duration
	// CallbackTimeout is how long a receiver may take to answer, 15 s by default.
	CallbackTimeout time.Duration
	// CallbackReuseTimestamp makes retries carry the headers of the first try instead of being signed anew.
	CallbackReuseTimestamp bool
	// CallbackID is the place of the task id in callbacks, [IDDataCamel] by default.
	CallbackID IDField
	// SilentCreateFailure sends no callback for flag 2, which the provider leaves open.
	SilentCreateFailure bool

	// Luma is what differs at Luma's Dream Machine API.
	Luma LumaConfig
	// LumaAgents is what differs at the Luma Agents API.
	LumaAgents LumaAgentsConfig

	// Source is where inputs come from, [SourceEmbedded] by default.
	Source Source
	// Transform is what happens to them, [TransformNone] by default.
	Transform Transform
	// FFmpeg is the program that [TransformAuto] runs, found in PATH by default.
	FFmpeg string
	// WorkLimit bounds one fetch and one transform each, 1 min by default.
	WorkLimit time.Duration
	// MaxFile is the largest source or upload in bytes, 600 MB by default.
	MaxFile int64
	// LinkTTL is how long result and upload links live, 24 h by default; Luma Agents has its own.
	LinkTTL time.Duration
	// DownloadTTL is how long a link from download-url lives, 20 min by default.
	DownloadTTL time.Duration
	// ExpiredStatus is the HTTP status of a dead link: 404 (default) or 403.
	ExpiredStatus int

	// Script chooses the faults of a task. When nil, the directives in its prompt decide. It is called once for every
	// submission that passed authentication, rate limit and validation, possibly concurrently.
	Script func(Submission) Script
	// LedgerPath names a file to which ledger entries are appended as JSON lines; entries in it are read at start.
	LedgerPath string
	// Logger receives what the simulator does; by default nothing is logged.
	Logger *slog.Logger
}

// withDefaults fills what the caller left open.
func (c Config) withDefaults() Config {
	c.Addr = or(c.Addr, "127.0.0.1:0")
	c.Errors = or(c.Errors, ErrorsInBody)
	c.UnknownTaskCode = or(c.UnknownTaskCode, http.StatusNotFound)
	c.SubmitLimit = or(c.SubmitLimit, Limit{N: 20, Window: 10 * time.Second})
	c.QueryLimit = or(c.QueryLimit, Limit{N: 10, Window: time.Second})
	c.Credits = max(or(c.Credits, 1000), 0)
	c.TaskPrice = max(or(c.TaskPrice, 1), 0)
	c.CallbackAttempts = or(c.CallbackAttempts, 4)
	c.CallbackSpacing = or(c.CallbackSpacing, time.Second)
	c.CallbackTimeout = or(c.CallbackTimeout, 15*time.Second)
	c.CallbackID = or(c.CallbackID, IDDataCamel)
	c.Source = or(c.Source, SourceEmbedded)
	c.Transform = or(c.Transform, TransformNone)
	c.FFmpeg = or(c.FFmpeg, "ffmpeg")
	c.WorkLimit = or(c.WorkLimit, time.Minute)
	c.MaxFile = or(c.MaxFile, 600_000_000)
	c.LinkTTL = or(c.LinkTTL, 24*time.Hour)
	c.DownloadTTL = or(c.DownloadTTL, 20*time.Minute)
	c.ExpiredStatus = or(c.ExpiredStatus, http.StatusNotFound)
	c.Luma, c.LumaAgents = c.Luma.withDefaults(), c.LumaAgents.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate refuses words that the simulator does not know, so that a misspelt flag is not silently the default.
func (c Config) validate() error {
	switch {
	case !slices.Contains([]ErrorTransport{ErrorsInBody, ErrorsInStatus, ErrorsInBoth}, c.Errors):
		return fmt.Errorf("error transport %q: want body, status or both", c.Errors)
	case !slices.Contains([]IDField{IDDataCamel, IDDataSnake, IDRoot, IDBoth}, c.CallbackID):
		return fmt.Errorf("callback id field %q: want data.taskId, data.task_id, taskId or both", c.CallbackID)
	case !slices.Contains([]Source{SourceEmbedded, SourceFetch}, c.Source):
		return fmt.Errorf("source %q: want embedded or fetch", c.Source)
	case !slices.Contains([]Transform{TransformNone, TransformAuto}, c.Transform):
		return fmt.Errorf("transform %q: want none or auto", c.Transform)
	case !statusOK(c.ExpiredStatus):
		return fmt.Errorf("expired status %d: want an HTTP status", c.ExpiredStatus)
	case slices.ContainsFunc([]Limit{
		c.SubmitLimit, c.QueryLimit, c.Luma.SubmitLimit, c.Luma.QueryLimit, c.LumaAgents.SubmitLimit, c.LumaAgents.QueryLimit,
	}, func(l Limit) bool { return l.N == 0 }):
		return errors.New("limit without a number: want a positive one, or a negative one for no limit")
	}
	return nil
}

// or returns v, or def when v is the zero value.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// statusOK reports whether net/http can send code as the final status of a response.
func statusOK(code int) bool { return code >= 200 && code <= 999 }

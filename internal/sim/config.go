package sim

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Source says where the simulator takes the input of a modification from.
type Source string

// The sources that the simulator knows.
const (
	// SourceEmbedded never fetches the source; each result is [ResultClip] of its task.
	SourceEmbedded Source = "embedded"
	// SourceFetch downloads the source, and fails the generation when it cannot.
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

// Config is what all simulated APIs have in common; each [Profile] is the configuration of one API. Its zero value works:
// it is fast and offline.
type Config struct {
	// Addr is the address to listen on, "127.0.0.1:0" by default.
	Addr string
	// PublicURL is the base of every link that the simulator gives out, when it differs from the address it listens on.
	PublicURL string
	// APIKeys are the accepted bearer keys. When empty, any key that is not empty is accepted.
	APIKeys []string

	// Processing is the time that a generation takes; zero finishes at once.
	Processing time.Duration
	// QueryDelay is how long the answers to queries take.
	QueryDelay time.Duration
	// Credits is the balance at the start, 1000 by default; a negative value is an empty account. All profiles share it.
	Credits int
	// TaskPrice is the number of credits that a task costs, 1 by default; a negative value makes tasks free.
	TaskPrice int

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
	// LinkTTL is how long result and upload links live, 24 h by default; an API can have [Terms].LinkTTL instead.
	LinkTTL time.Duration
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
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	c.Credits = max(cmp.Or(c.Credits, 1000), 0)
	c.TaskPrice = max(cmp.Or(c.TaskPrice, 1), 0)
	c.Source = cmp.Or(c.Source, SourceEmbedded)
	c.Transform = cmp.Or(c.Transform, TransformNone)
	c.FFmpeg = cmp.Or(c.FFmpeg, "ffmpeg")
	c.WorkLimit = cmp.Or(c.WorkLimit, time.Minute)
	c.MaxFile = cmp.Or(c.MaxFile, 600_000_000)
	c.LinkTTL = cmp.Or(c.LinkTTL, 24*time.Hour)
	c.ExpiredStatus = cmp.Or(c.ExpiredStatus, http.StatusNotFound)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate refuses words that the simulator does not know, so that a misspelt flag is not silently the default.
func (c Config) validate() error {
	switch {
	case !slices.Contains([]Source{SourceEmbedded, SourceFetch}, c.Source):
		return fmt.Errorf("source %q: want embedded or fetch", c.Source)
	case !slices.Contains([]Transform{TransformNone, TransformAuto}, c.Transform):
		return fmt.Errorf("transform %q: want none or auto", c.Transform)
	case !StatusOK(c.ExpiredStatus):
		return fmt.Errorf("expired status %d: want an HTTP status", c.ExpiredStatus)
	}
	return nil
}

// StatusOK reports whether net/http can send code as the final status of a response.
func StatusOK(code int) bool { return code >= 200 && code <= 999 }

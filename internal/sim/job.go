package sim

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// State is where a job stands. It only grows.
type State int

// The states of a job.
const (
	StateQueued State = iota
	StateGenerating
	StateSucceeded
	StateCreateFailed
	StateGenerateFailed
	StateCallbackFailed // Generated, but no receiver accepted the callback.
)

// Job is one generation at the provider, from its creation to the end of its callbacks.
type Job struct {
	ID         string
	Submission Submission
	Script     Script
	Created    time.Time

	api *API
	// minted counts how often the links of a job were given out, where every query gives out fresh ones.
	minted atomic.Int32
	// positions counts how often the position in the queue was given out.
	positions atomic.Int32

	// notified is closed when the first try of the callback is over, or when there will be none.
	notified     chan struct{}
	notifiedOnce sync.Once

	mu   sync.Mutex
	at   Status
	stop context.CancelFunc // Ends what the job waits for.
}

// Status is where a job stands and, when it ended, how.
type Status struct {
	State State
	// Ended is zero for a job that runs.
	Ended time.Time
	// Code and Message are the reason of a failure. Code is an HTTP status or one of [Script].FailureCode.
	Code    int
	Message string
	// Origins and Results are links to the input and to the results. They are empty with [Terms].FreshLinks.
	Origins []string
	Results []string

	file File
}

// Good reports whether the generation succeeded, whatever became of its callback.
func (s Status) Good() bool { return s.State == StateSucceeded || s.State == StateCallbackFailed }

// settle ends a job. It changes nothing when the job has ended before.
func (j *Job) settle(s Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at.Ended.IsZero() {
		j.at = s
	}
}

// begin moves a job from the queue to its generation. It reports false for a job that has left the queue.
func (j *Job) begin() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at.State != StateQueued {
		return false
	}
	j.at.State = StateGenerating
	return true
}

// whenCanceled keeps the function that a cancellation calls. It calls the function at once when the job has ended.
func (j *Job) whenCanceled(stop context.CancelFunc) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stop = stop; !j.at.Ended.IsZero() {
		stop()
	}
}

// codeCanceled is the code of a canceled job, which is not an official HTTP status.
const codeCanceled = 499

// cancel is [API.Cancel].
func (j *Job) cancel(running bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.at.Ended.IsZero():
		return false
	case j.at.State == StateGenerating && !running:
		return true
	}
	j.at = Status{State: StateGenerateFailed, Ended: time.Now(), Code: codeCanceled, Message: "Request was cancelled"}
	if j.stop != nil {
		j.stop()
	}
	return true
}

// undelivered turns a success into a callback failure; a failure stays what it is.
func (j *Job) undelivered(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at.State == StateSucceeded {
		j.at.State, j.at.Message = StateCallbackFailed, reason
	}
}

// Status returns where the job stands.
func (j *Job) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at
}

// File returns the first result of a job that succeeded.
func (j *Job) File() File { return j.Status().file.numbered(j.ID, 0) }

// Hidden reports whether queries do not know the job yet; usual is how long that is without a script.
func (j *Job) Hidden(usual time.Duration) bool {
	return time.Since(j.Created) < cmp.Or(j.Script.Invisible, usual)
}

// Shown returns where queries say that the job stands. It lags behind [Job.Status] for [Script].Lag after the end.
func (j *Job) Shown() Status {
	v := j.Status()
	if time.Since(v.Ended) < j.Script.Lag {
		return Status{State: StateGenerating}
	}
	return v
}

func (j *Job) markNotified() { j.notifiedOnce.Do(func() { close(j.notified) }) }

// jobs holds every job that was ever created, and counts those that are running.
type jobs struct {
	mu      sync.Mutex
	byID    map[string]*Job
	order   []*Job // Oldest first.
	seq     int
	running int
	peak    int
}

func newJobs() *jobs { return &jobs{byID: map[string]*Job{}} }

// number returns the next submission number.
func (t *jobs) number() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	return t.seq
}

func (t *jobs) create(sub Submission, script Script, api *API) *Job {
	j := &Job{
		ID: api.protocol.NewID(), Submission: sub, Script: script, Created: time.Now(),
		api: api, notified: make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[j.ID] = j
	t.order = append(t.order, j)
	t.running++
	t.peak = max(t.peak, t.running)
	return j
}

// find returns a job of a profile, or nil.
func (t *jobs) find(profile, id string) *Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j := t.byID[id]; j != nil && j.Submission.Profile == profile {
		return j
	}
	return nil
}

// list returns all jobs of a profile, newest first.
func (t *jobs) list(profile string) []*Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Job
	for _, j := range slices.Backward(t.order) {
		if j.Submission.Profile == profile {
			out = append(out, j)
		}
	}
	return out
}

// forget removes a job from what find and list return, and reports whether it was there. The job itself goes on.
func (t *jobs) forget(j *Job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, found := t.byID[j.ID]
	delete(t.byID, j.ID)
	t.order = slices.DeleteFunc(t.order, func(other *Job) bool { return other == j })
	return found
}

// queued counts the queued jobs of a profile and key that are older than a job, or all of them when the job is nil.
func (t *jobs) queued(profile, key string, than *Job) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, j := range t.order {
		if j == than {
			break
		}
		if j.Submission.Profile == profile && j.Submission.Key == key && j.Status().State == StateQueued {
			n++
		}
	}
	return n
}

// done takes a job out of the running ones.
func (t *jobs) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
}

func (t *jobs) inFlight() (now, peak int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running, t.peak
}

// RandomHex returns 32 fresh hexadecimal characters.
func RandomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

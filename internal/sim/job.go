package sim

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// state is where a job stands. It only grows.
type state int

const (
	queued state = iota
	generating
	succeeded
	createFailed
	generateFailed
	callbackFailed
)

// job is one generation at the provider, from its creation to the end of its callbacks.
type job struct {
	id      string
	sub     Submission
	script  Script
	wire    protocol
	created time.Time
	// minted counts how often the links of a job were given out, where every query gives out fresh ones.
	minted atomic.Int32

	// notified is closed when the first try of the callback is over, or when there will be none.
	notified     chan struct{}
	notifiedOnce sync.Once

	mu sync.Mutex
	at verdict
}

// variation says what a callback claims about its job.
type variation int

const (
	truth      variation = iota
	earlier              // The state before the end.
	forgedURLs           // Success, with the URL of a foreign file.
	forgedCode           // Whatever the script says.
	opposite             // Failure for a success, success for a failure.
)

// verdict is where a job stands and, when it ended, how.
type verdict struct {
	state   state
	ended   time.Time
	code    int
	message string
	origins []string
	results []string // Empty where each query gives out fresh links.
	file    content
}

func (v verdict) good() bool { return v.state == succeeded || v.state == callbackFailed }

func (j *job) settle(v verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.at = v
}

// undelivered turns a success into a callback failure; a failure stays what it is.
func (j *job) undelivered(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at.state == succeeded {
		j.at.state, j.at.message = callbackFailed, reason
	}
}

func (j *job) verdict() verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at
}

// hidden reports whether queries do not know the job yet; usual is how long that is without a script.
func (j *job) hidden(usual time.Duration) bool {
	return time.Since(j.created) < cmp.Or(j.script.Invisible, usual)
}

// shown is where queries say that the job stands, which may lag behind.
func (j *job) shown() verdict {
	v := j.verdict()
	if time.Since(v.ended) < j.script.Lag {
		return verdict{state: generating}
	}
	return v
}

func (j *job) markNotified() { j.notifiedOnce.Do(func() { close(j.notified) }) }

// jobs holds every job that was ever created, and counts those that are running.
type jobs struct {
	mu      sync.Mutex
	byID    map[string]*job
	order   []*job // Oldest first.
	seq     int
	running int
	peak    int
}

func newJobs() *jobs { return &jobs{byID: map[string]*job{}} }

// number returns the next submission number.
func (t *jobs) number() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	return t.seq
}

func (t *jobs) create(sub Submission, script Script, p protocol) *job {
	j := &job{
		id: p.newID(), sub: sub, script: script, wire: p,
		created: time.Now(), notified: make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[j.id] = j
	t.order = append(t.order, j)
	t.running++
	t.peak = max(t.peak, t.running)
	return j
}

// find returns a job of a profile, or nil.
func (t *jobs) find(p Profile, id string) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	if j := t.byID[id]; j != nil && j.sub.Profile == p {
		return j
	}
	return nil
}

// list returns all jobs of a profile, newest first.
func (t *jobs) list(p Profile) []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*job
	for _, j := range slices.Backward(t.order) {
		if j.sub.Profile == p {
			out = append(out, j)
		}
	}
	return out
}

// forget removes a job from what find and list return, and reports whether it was there. The job itself goes on.
func (t *jobs) forget(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, found := t.byID[j.id]
	delete(t.byID, j.id)
	t.order = slices.DeleteFunc(t.order, func(other *job) bool { return other == j })
	return found
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

// randomHex returns 32 fresh hexadecimal characters.
func randomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

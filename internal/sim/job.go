package sim

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// state is where a job stands; its numbers are those of the provider's successFlag.
type state int

const (
	generating state = iota
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
	wire    wire
	created time.Time

	// notified is closed when the first try of the callback is over, or when there will be none.
	notified     chan struct{}
	notifiedOnce sync.Once

	mu      sync.Mutex
	state   state
	ended   time.Time
	code    int
	message string
	origins []string
	results []string
}

// wire is what one provider protocol adds to the engine: how a callback about a job looks.
type wire interface {
	callback(j *job, v variation) message
}

// variation says what a callback claims about its job.
type variation int

const (
	truth      variation = iota
	forgedURLs           // Success, with the URL of a foreign file.
	forgedCode           // Whatever the script says.
	opposite             // Failure for a success, success for a failure.
)

// verdict is a consistent copy of how a job ended.
type verdict struct {
	state   state
	ended   time.Time
	code    int
	message string
	origins []string
	results []string
}

func (j *job) settle(v verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state, j.ended, j.code, j.message = v.state, v.ended, v.code, v.message
	j.origins, j.results = v.origins, v.results
}

// undelivered turns a success into a callback failure; a failure stays what it is.
func (j *job) undelivered(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == succeeded {
		j.state, j.message = callbackFailed, reason
	}
}

func (j *job) verdict() verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return verdict{j.state, j.ended, j.code, j.message, j.origins, j.results}
}

func (j *job) markNotified() { j.notifiedOnce.Do(func() { close(j.notified) }) }

// jobs holds every job that was ever created, and counts those that are running.
type jobs struct {
	mu      sync.Mutex
	byID    map[string]*job
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

func (t *jobs) create(sub Submission, script Script, w wire) *job {
	j := &job{
		id: randomHex(), sub: sub, script: script, wire: w,
		created: time.Now(), notified: make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[j.id] = j
	t.running++
	t.peak = max(t.peak, t.running)
	return j
}

func (t *jobs) find(id string) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
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
	rand.Read(b[:]) //nolint:errcheck // It never returns an error, it ends the process.
	return hex.EncodeToString(b[:])
}

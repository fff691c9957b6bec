package sim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// Result says what became of a POST, a PUT or a DELETE.
type Result string

// The results of a POST, a PUT or a DELETE.
const (
	ResultCreated Result = "created" // A task was created and paid.
	ResultRefused Result = "refused" // Answered with an error; nothing was created.
	ResultDropped Result = "dropped" // The connection was closed without an answer; nothing was created.
	ResultServed  Result = "served"  // A free call, such as an upload, was answered.
	ResultDeleted Result = "deleted" // The record of a task was removed.
	// ResultCanceled says that a cancellation was accepted. A task that already runs may go on.
	ResultCanceled Result = "canceled"
)

// Entry is one POST, PUT or DELETE that reached the provider, written before its answer leaves. Nothing in it is redacted.
type Entry struct {
	Seq           int       `json:"seq"`
	Time          time.Time `json:"time"`
	Profile       string    `json:"profile"`
	Path          string    `json:"path"`
	Key           string    `json:"key"`
	Result        Result    `json:"result"`
	Code          int       `json:"code"`
	TaskID        string    `json:"task_id,omitempty"`
	Paid          bool      `json:"paid"`
	Prompt        string    `json:"prompt,omitempty"`
	VideoURL      string    `json:"video_url,omitempty"`
	CallbackURL   string    `json:"callback_url,omitempty"`
	Watermark     string    `json:"watermark,omitempty"`
	Model         string    `json:"model,omitempty"`
	Strength      string    `json:"strength,omitempty"`
	FirstFrameURL string    `json:"first_frame_url,omitempty"`
	// Header has the headers to which the API gives a meaning, and Input the body, both for the APIs that keep them.
	Header http.Header     `json:"header,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"`
}

// The keys by which [CountPaid] is useful.
var (
	ByCallbackURL = func(e Entry) string { return e.CallbackURL }
	ByPrompt      = func(e Entry) string { return e.Prompt }
	ByProfile     = func(e Entry) string { return e.Profile }
	ByVideoURL    = func(e Entry) string { return e.VideoURL }
)

// CountPaid counts the paid submissions per key. A number above 1 for one callback URL is a double submission, when
// the client gives each attempt a callback URL of its own.
func CountPaid(entries []Entry, key func(Entry) string) map[string]int {
	paid := map[string]int{}
	for _, e := range entries {
		if e.Paid {
			paid[key(e)]++
		}
	}
	return paid
}

// ledger is the list of entries, and its file when there is one.
type ledger struct {
	mu      sync.Mutex
	entries []Entry
	file    *os.File
}

// openLedger reads what the file holds and appends to it; without a path the ledger is in memory only.
func openLedger(path string) (*ledger, error) {
	l := &ledger{}
	if path == "" {
		return l, nil
	}
	old, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read ledger: %w", err)
	default:
		l.entries, err = readEntries(old)
		if err = errors.Join(err, old.Close()); err != nil {
			return nil, fmt.Errorf("read ledger %s: %w", path, err)
		}
	}
	l.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

func readEntries(r io.Reader) ([]Entry, error) {
	var out []Entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*MaxJSON)
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
		}
		out = append(out, e)
	}
	return out, lines.Err()
}

// add numbers the entry and keeps it. The entry counts even when its file can't be written.
func (l *ledger) add(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = len(l.entries) + 1
	l.entries = append(l.entries, e)
	if l.file == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode ledger entry %d: %w", e.Seq, err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append ledger entry %d: %w", e.Seq, err)
	}
	return nil
}

func (l *ledger) list() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

func (l *ledger) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// purse holds the credits of the account.
type purse struct {
	mu      sync.Mutex
	credits int
}

// take removes price credits, or nothing when there are too few.
func (p *purse) take(price int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.credits < price {
		return false
	}
	p.credits -= price
	return true
}

func (p *purse) set(credits int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credits = credits
}

func (p *purse) balance() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.credits
}

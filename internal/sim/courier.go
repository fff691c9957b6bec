package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kind says why a callback was sent.
type Kind string

// The kinds of callbacks.
const (
	KindProgress  Kind = "progress" // The generation began.
	KindGenuine   Kind = "genuine"
	KindDuplicate Kind = "duplicate"
	KindForged    Kind = "forged"
	KindRegress   Kind = "regress"
	KindConflict  Kind = "conflict"
)

// Delivery is one try of one callback.
type Delivery struct {
	Seq     int           `json:"seq"`
	Time    time.Time     `json:"time"`
	Profile string        `json:"profile"`
	TaskID  string        `json:"task_id"`
	Kind    Kind          `json:"kind"`
	Attempt int           `json:"attempt"`
	URL     string        `json:"url"`
	Header  http.Header   `json:"header"`
	Body    string        `json:"body"`
	Status  int           `json:"status"` // 0 when no answer came.
	Error   string        `json:"error,omitempty"`
	Took    time.Duration `json:"took_ns"`
}

// Message is a callback that is ready to be sent.
type Message struct {
	Body []byte
	// Headers returns the headers of a try that leaves now.
	Headers func(now time.Time) http.Header
}

// UnsignedMessage returns a callback without a signature.
func UnsignedMessage(body []byte) Message {
	return Message{Body: body, Headers: func(time.Time) http.Header {
		return http.Header{"Content-Type": {"application/json"}}
	}}
}

// courier delivers callbacks and remembers every try.
type courier struct {
	client *http.Client
	news   *notice

	underway atomic.Int64 // Callbacks that are being delivered, waits between tries included.

	mu   sync.Mutex
	list []Delivery
}

func newCourier(news *notice) *courier {
	return &courier{
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 16},
			// A redirect is not the 200 that ends the retries.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		news: news,
	}
}

var errUndeliverable = errors.New("held back by the script")

// deliver tries a callback until it is accepted or given up, and returns why the last try failed.
// Only true callbacks are retried.
func (c *courier) deliver(ctx context.Context, j *Job, kind Kind, m Message) error {
	c.underway.Add(1)
	defer c.underway.Add(-1)
	policy, attempts := j.api.terms.Callbacks, 1
	if kind == KindGenuine || kind == KindProgress {
		attempts = policy.Attempts
	}
	first := time.Now()
	for attempt := 1; ; attempt++ {
		stamp := time.Now()
		if policy.ReuseHeaders {
			stamp = first
		}
		status, err := c.try(ctx, j, Delivery{Kind: kind, Attempt: attempt, Header: m.Headers(stamp), Body: string(m.Body)})
		if kind == KindGenuine {
			j.markNotified()
		}
		if err == nil || attempt >= attempts || (policy.FinalRedirects && status/100 == 3) {
			return err
		}
		if err := sleep(ctx, policy.pause(attempt)); err != nil {
			return err
		}
	}
}

// try sends one request and records it. It returns the status of the answer, or 0.
func (c *courier) try(ctx context.Context, j *Job, d Delivery) (int, error) {
	d.Time, d.Profile, d.TaskID, d.URL = time.Now(), j.Submission.Profile, j.ID, j.Submission.CallbackURL
	var err error
	if j.Script.Undeliverable {
		err = errUndeliverable
	} else {
		d.Status, err = c.post(ctx, d, j.api.terms.Callbacks)
	}
	d.Took = time.Since(d.Time)
	if err != nil {
		d.Error = err.Error()
	}
	c.mu.Lock()
	d.Seq = len(c.list) + 1
	c.list = append(c.list, d)
	c.mu.Unlock()
	c.news.changed()
	return d.Status, err
}

func (c *courier) post(ctx context.Context, d Delivery, policy CallbackTerms) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, policy.timeout(d.Attempt))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return 0, withoutURL(err)
	}
	req.Header = d.Header.Clone()
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer resp.Body.Close()
	// The answer means nothing beyond its status; reading some of it lets the connection be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if !policy.accepts(resp.StatusCode) {
		return resp.StatusCode, fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp.StatusCode, nil
}

func (c *courier) deliveries() []Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// sleep waits for d, or returns the reason why ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

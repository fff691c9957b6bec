package kie

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a Retry-After header can ask for.
const maxRetryAfter = 24 * time.Hour

// answer is the provider's envelope around whatever it says, and the HTTP status it came with.
type answer struct {
	status     int
	code       int  // The body's code.
	hasCode    bool // Whether the body had one.
	message    string
	data       json.RawMessage // Undecoded: on errors it may be anything.
	retryAfter time.Duration
	err        error // Why the body could not be read, where it couldn't.
}

// parse reads an answer's body. A body that is not the envelope makes an answer without a code, whose
// message is the body itself.
func parse(status int, header http.Header, body []byte) answer {
	a := answer{status: status, retryAfter: retryAfter(header.Get("Retry-After"), time.Now())}
	envelope, ok := decodeObject(body)
	if !ok {
		a.message = string(body)
		a.err = errors.New("answer is not a JSON object")
		return a
	}
	a.code, a.hasCode = envelope.integer("code")
	a.message = envelope.text("msg")
	if a.message == "" {
		a.message = envelope.text("message")
	}
	a.data = envelope["data"]
	if !a.hasCode {
		a.err = errors.New("answer has no code")
		if a.message == "" {
			a.message = string(body)
		}
	}
	return a
}

// ok reports whether the provider did what it was asked: both the HTTP status and the code must say so.
func (a answer) ok() bool {
	return a.status >= 200 && a.status <= 299 && a.hasCode && a.code == http.StatusOK
}

// effectiveCode is the body's code where it tells of an error, else the HTTP status.
func (a answer) effectiveCode() int {
	if a.hasCode && a.code != http.StatusOK {
		return a.code
	}
	return a.status
}

func (a answer) behindFirewall() bool {
	return a.status == http.StatusForbidden && !a.hasCode
}

// retryAfter reads the header in both its forms, seconds and date.
func retryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
		d = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// Package httpfield parses HTTP fields in which servers give hints. It accepts every form that RFC 9110 allows, and
// malformed forms with only one possible meaning. Its results are bounded for every input.
package httpfield

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter is the longest wait that RetryAfter returns.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter returns the wait that a server requests with Retry-After, in seconds or until a date. It returns 0 if the
// field is missing, or for a time in the past. A date is relative to the server's own clock if it sends a Date, and
// otherwise to now.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(s, 64); isDecimal(s) && (err == nil || seconds != 0) { // A number out of range becomes infinite.
		return time.Duration(min(max(seconds, 0), MaxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(strings.TrimSpace(h.Get("Date"))); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// isDecimal reports whether s is a decimal number without an exponent.
func isDecimal(s string) bool { return s != "" && strings.Trim(s, "+-.0123456789") == "" }

// Range is a part of a file: its first and last byte, and the size of the file.
type Range struct {
	First, Last int64 // Both -1 if the field has only the size, as with 416 Range Not Satisfiable.
	Size        int64 // -1 if the server does not send it.
}

var contentRange = regexp.MustCompile(`(?i)^\s*bytes\s+(?:(\d{1,18})\s*-\s*(\d{1,18})|\*)\s*/\s*(\d{1,18}|\*)\s*$`)

// ContentRange parses a Content-Range such as "bytes 100-999/1000", "bytes 100-999/*" or "bytes */1000". It returns
// false if the field is missing or contradicts itself.
func ContentRange(h http.Header) (Range, bool) {
	m := contentRange.FindStringSubmatch(h.Get("Content-Range"))
	if m == nil {
		return Range{}, false
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64) // The pattern matches only numbers that fit.
		if err != nil {
			return -1 // A star, or nothing.
		}
		return n
	}
	r := Range{number(m[1]), number(m[2]), number(m[3])}
	return r, r.First <= r.Last && (r.Size < 0 || r.Last < r.Size)
}

package notify

import "time"

// schedule are the pauses after failed attempts. The first attempt is made at once, and the last one about 27 hours later.
var schedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// MaxAttempts is how many attempts a delivery has before it has failed.
const MaxAttempts = 8

// jitter is the largest part by which a pause is made shorter or longer, so that the events that an endpoint missed together do not
// return together.
const jitter = 0.1

// RetryAfter returns the pause after a number of failed attempts, or false if there is no further attempt. random is from 0 to 1
// and places the pause between 90 % and 110 % of its length in the schedule.
func RetryAfter(attempts int, random float64) (time.Duration, bool) {
	if attempts < 1 || attempts > len(schedule) {
		return 0, false
	}
	pause := float64(schedule[attempts-1])
	return time.Duration(pause * (1 - jitter + 2*jitter*random)), true
}

// The circuit breaker of an endpoint. It opens after breakerFailures failures in a row and pauses the endpoint. After the pause it is
// half-open: one request decides.
const (
	breakerFailures = 5
	minPause        = 5 * time.Second
	maxPause        = 5 * time.Minute
)

// breakerPause returns for how long the breaker pauses an endpoint after a number of failures in a row, or 0. The pause is as long as
// the endpoint has been failing, so each pause is about twice as long as the one before, however many requests were in
// progress when the endpoint began to fail.
func breakerPause(failures int, failing time.Duration) time.Duration {
	if failures < breakerFailures {
		return 0
	}
	return min(max(failing, minPause), maxPause)
}

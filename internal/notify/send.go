package notify

import (
	"context"
	"errors"
	"math/rand/v2"
)

// send makes one attempt of a delivery. The result lacks what concerns the endpoint, which the book adds. The error is a failure of
// ours, which is no attempt.
func (s *Sender) send(ctx context.Context, c Claimed) (Result, verdict, error) {
	r := Result{Delivery: c.Delivery, EndpointUpdate: c.Target.UpdateTime}
	body, err := s.body(ctx, c)
	if errors.Is(err, errTooLarge) {
		r.Attempt, r.State = Attempt{StartTime: s.Now(), Error: err.Error()}, DeliveryFailed // It stays too large.
		return r, verdict{outcome: outcomeTooLarge}, nil
	}
	if err != nil {
		return r, verdict{outcome: outcomeInternal}, err
	}
	a, v, err := s.poster.post(ctx, message{id: c.Event.String(), url: c.Target.URL, secrets: c.Target.Secrets, body: body})
	if err != nil {
		return r, verdict{outcome: outcomeInternal}, err
	}
	r.Attempt = a
	retry, more := RetryAfter(c.Attempts+1, rand.Float64()) //nolint:gosec // Jitter is no secret.
	switch {
	case v.outcome == outcomeSucceeded:
		r.State = DeliverySucceeded
	case !more, v.outcome == outcomeGone && c.PerTask: // The endpoint of other tasks can't be disabled for one URI.
		r.State = DeliveryFailed
	default:
		r.State, r.Retry = DeliveryPending, max(retry, v.retryAfter)
	}
	return r, v, nil
}

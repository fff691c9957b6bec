package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ServiceConfig is the retry policy of Dial, as a gRPC service config. A unary call ends after 45 seconds. The service ends a try
// after 30, and asks not to repeat that one, so its reason arrives. gRPC tries a call up to four times while the answer is
// UNAVAILABLE. It is safe to repeat these calls: reads change nothing, CancelTask and the settings of operators are idempotent, and a
// submission carries its request id. RetryTask is not repeated, nor are calls that make an API token, a webhook endpoint or a secret,
// or send events. Streams have no policy here, because the methods of Client resume them.
const ServiceConfig = `{"methodConfig": [
  {
    "name": [
      {"service": "refract.v1.TaskService", "method": "SubmitTask"},
      {"service": "refract.v1.TaskService", "method": "BatchSubmitTasks"},
      {"service": "refract.v1.TaskService", "method": "GetTask"},
      {"service": "refract.v1.TaskService", "method": "ExplainTask"},
      {"service": "refract.v1.TaskService", "method": "ListTasks"},
      {"service": "refract.v1.TaskService", "method": "GetTaskStatistics"},
      {"service": "refract.v1.TaskService", "method": "CancelTask"},
      {"service": "refract.v1.TaskService", "method": "ListTaskEvents"},
      {"service": "refract.v1.ModelService"},
      {"service": "refract.v1.WebhookService", "method": "GetWebhookEndpoint"},
      {"service": "refract.v1.WebhookService", "method": "ListWebhookEndpoints"},
      {"service": "refract.v1.WebhookService", "method": "UpdateWebhookEndpoint"},
      {"service": "refract.v1.WebhookService", "method": "ListWebhookDeliveries"},
      {"service": "refract.v1.WebhookService", "method": "GetWebhookDelivery"},
      {"service": "refract.v1.OperatorService"}
    ],
    "timeout": "45s",
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  },
  {
    "name": [
      {"service": "refract.v1.TaskService", "method": "RetryTask"},
      {"service": "refract.v1.OperatorService", "method": "CreateAPIToken"},
      {"service": "refract.v1.WebhookService"}
    ],
    "timeout": "45s"
  }
]}`

// Transient reports whether a call that ended with this error may succeed a little later: the service says so, or the
// connection to it broke. A submission can then be repeated with the same request id.
func Transient(err error) bool {
	st, ok := statusOf(err)
	if !ok {
		return false
	}
	d := detailsOf(st)
	// A status without a reason comes from the transport. Canceled means that the stream broke: a caller that cancels on
	// purpose checks its context first.
	fromTransport := d.reason == "" && slices.Contains([]codes.Code{codes.Internal, codes.Unknown, codes.Canceled, codes.DeadlineExceeded}, st.Code())
	return st.Code() == codes.Unavailable || d.delay > 0 || fromTransport
}

// Reason returns the reason of an error of the service, such as TASK_NOT_FOUND: an ErrorReason of the contract without its
// prefix. It returns an empty string for an error that is not the service's own.
func Reason(err error) string {
	st, ok := statusOf(err)
	if !ok {
		return ""
	}
	return detailsOf(st).reason
}

// statusOf returns the status in an error as the service sent it, and reports whether there is one.
func statusOf(err error) (*status.Status, bool) {
	if err == nil {
		return nil, false
	}
	return status.FromError(err)
}

// details holds the details of a status that the client uses.
type details struct {
	reason string        // Of ErrorInfo.
	delay  time.Duration // Of RetryInfo; 0 where there is none.
}

func detailsOf(st *status.Status) (d details) {
	for _, detail := range st.Details() {
		switch m := detail.(type) {
		case *errdetails.ErrorInfo:
			d.reason = m.GetReason()
		case *errdetails.RetryInfo:
			d.delay = m.GetRetryDelay().AsDuration()
		}
	}
	return d
}

const (
	streamTimeout = 45 * time.Second // A stream is dead after this time: the service sends a bookmark at least every 15 seconds.
	watchTimeout  = 5 * time.Minute  // A watch fails after this time without a message from the service.
	maxTries      = 5                // A transfer fails after this many tries without progress.
	maxRequested  = 30 * time.Second // The longest pause that the service can request.
	firstPause    = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// pauses computes the pauses between tries: exponential backoff with jitter.
type pauses struct{ next time.Duration }

// reset makes the next pause the shortest one.
func (p *pauses) reset() { p.next = 0 }

// wait waits for the next pause, or for the delay that the service requests in err if it is longer. It returns the error of ctx
// if ctx ends first.
func (p *pauses) wait(ctx context.Context, err error) error {
	p.next = min(max(p.next*3/2, firstPause), longestPause)
	d := p.next/2 + rand.N(p.next) //nolint:gosec // Jitter is no secret.
	if st, ok := statusOf(err); ok {
		d = max(d, min(detailsOf(st).delay, maxRequested))
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

// persist calls stream until it reports that it has delivered everything. Each call delivers one stream to its end. persist
// fails when ctx ends, when an error is not transient, or when no message arrives for watchTimeout.
func persist(ctx context.Context, onRetry func(error), stream func() (over, alive bool, err error)) error {
	var pause pauses
	heard := time.Now()
	for {
		over, alive, err := stream()
		switch {
		case over:
			return nil
		case errors.Is(err, errStopped): // This has priority over the end of the context: the body of the caller's loop must not run again.
			return err
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !Transient(err):
			return err
		}
		if alive {
			pause.reset()
			heard = time.Now()
		}
		if err != nil {
			if time.Since(heard) >= watchTimeout {
				return fmt.Errorf("no message from the service for %s: %w", watchTimeout, err)
			}
			onRetry(err)
		}
		if err := pause.wait(ctx, err); err != nil {
			return err
		}
	}
}

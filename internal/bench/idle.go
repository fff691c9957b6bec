package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Latency is how long single calls took, one after another on an idle service.
type Latency struct {
	P50, P99, Max time.Duration
}

// Idle is a service that has nothing else to do.
type Idle struct {
	Address string // Of gRPC.
	Token   string // The API token.
	Calls   int    // The number of calls that are measured.
}

// arrival bounds the wait for what one call causes, also on a busy machine.
const arrival = 2 * time.Minute

// SubmitToPost submits tasks and returns the latency from the call to the arrival of the provider's POST, followed by those of
// the baselines, which take turns with the submissions.
//
// Each task has a source of its own, source with its number in place of %d, so that each is looked at as well. The function
// posted waits for the POST with a prompt and returns when it arrived, on this machine's clock.
func (i Idle) SubmitToPost(
	ctx context.Context, source string, posted func(ctx context.Context, prompt string) (time.Time, error), baselines ...Call,
) ([]Latency, error) {
	return i.measure(ctx, baselines, func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error) {
		prompt := fmt.Sprintf("idle %d of %s", n, uuid.NewString())
		req := submissionOf(prompt, fmt.Sprintf(source, n))
		began := time.Now()
		if _, err := client.SubmitTask(ctx, req); err != nil {
			return 0, err
		}
		at, err := posted(ctx, prompt)
		return at.Sub(began), err
	})
}

// CallbackToWatcher watches prepared tasks from c.From on, posts their callbacks, and returns the latency from each post to
// the watcher's message, followed by those of the baselines, which take turns with the callbacks.
func (i Idle) CallbackToWatcher(ctx context.Context, c Callbacks, baselines ...Call) ([]Latency, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.Ingress)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in it any more.
	answers := bufio.NewReader(conn)
	return i.measure(ctx, baselines, func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error) {
		stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: TaskID(c.From + n)})
		if err != nil {
			return 0, err
		}
		if _, err := stream.Recv(); err != nil { // The task as it is.
			return 0, err
		}
		began := time.Now()
		posted := make(chan error, 1)
		go func() { posted <- c.post(conn, answers, c.From+n) }()
		for {
			m, err := stream.Recv()
			if err != nil {
				return 0, errors.Join(err, <-posted)
			}
			if m.GetEvent() != nil {
				return time.Since(began), <-posted
			}
		}
	})
}

func (i Idle) measure(
	ctx context.Context, baselines []Call, call func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error),
) ([]Latency, error) {
	var latencies []Latency
	err := withClient(ctx, i.Address, i.Token, func(ctx context.Context, client refractv1.TaskServiceClient) (err error) {
		own := func(ctx context.Context, n int) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(ctx, arrival)
			defer cancel()
			return call(ctx, client, n)
		}
		latencies, err = Measure(ctx, i.Calls, append([]Call{own}, baselines...)...)
		return err
	})
	return latencies, err
}

// Call is the nth call of a measurement. It returns how long the part took that is measured.
type Call func(ctx context.Context, n int) (time.Duration, error)

// warmUp is the number of calls before those that are measured; no more than these. rest is the pause before each call: the
// service must have finished with the previous one, or else it is not idle.
const (
	warmUp = 20
	rest   = 25 * time.Millisecond
)

// Measure makes the calls in turn, so that all run under the same conditions, and returns the latency of each.
func Measure(ctx context.Context, times int, turns ...Call) ([]Latency, error) {
	took := make([][]time.Duration, len(turns))
	warm := min(warmUp, times)
	for n := range warm + times {
		for i, call := range turns {
			time.Sleep(rest)
			d, err := call(ctx, n)
			if err != nil {
				return nil, fmt.Errorf("call %d: %w", n, err)
			}
			if n >= warm {
				took[i] = append(took[i], d)
			}
		}
	}
	latencies := make([]Latency, len(turns))
	for i := range took {
		latencies[i] = latencyOf(took[i])
	}
	return latencies, nil
}

// Timed returns a call that runs a function.
func Timed(do func(ctx context.Context) error) Call {
	return func(ctx context.Context, _ int) (time.Duration, error) {
		began := time.Now()
		err := do(ctx)
		return time.Since(began), err
	}
}

// ListTasks returns the latency of the first page of a tenant's tasks.
func (i Idle) ListTasks(ctx context.Context) ([]Latency, error) {
	return i.measure(ctx, nil, func(ctx context.Context, client refractv1.TaskServiceClient, _ int) (time.Duration, error) {
		began := time.Now()
		_, err := client.ListTasks(ctx, &refractv1.ListTasksRequest{PageSize: 50})
		return time.Since(began), err
	})
}

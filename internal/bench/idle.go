package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

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
	Calls   int    // How many calls are measured, one after another.
}

// arrival bounds the wait for what one call causes.
const arrival = 10 * time.Second

// SubmitToPost submits tasks and returns how long it took from the call to the arrival of the provider's POST.
// Each task has a source of its own, source with its number in place of %d, so that each is looked at as well. posted
// waits for the POST with a prompt and returns when it arrived, on this machine's clock.
func (i Idle) SubmitToPost(ctx context.Context, source string, posted func(ctx context.Context, prompt string) (time.Time, error)) (Latency, error) {
	return i.measure(ctx, func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error) {
		prompt := fmt.Sprintf("idle %d of %s", n, uuid.NewString())
		req := &refractv1.SubmitTaskRequest{
			RequestId: uuid.NewString(), Prompt: prompt,
			Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: fmt.Sprintf(source, n)}},
		}
		began := time.Now()
		if _, err := client.SubmitTask(ctx, req); err != nil {
			return 0, err
		}
		at, err := posted(ctx, prompt)
		return at.Sub(began), err
	})
}

// CallbackToWatcher watches prepared tasks from c.From on, posts their callbacks, and returns how long it took from each
// post to the watcher's message.
func (i Idle) CallbackToWatcher(ctx context.Context, c Callbacks) (Latency, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.Ingress)
	if err != nil {
		return Latency{}, err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in it any more.
	answers := bufio.NewReader(conn)
	return i.measure(ctx, func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error) {
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

func (i Idle) measure(ctx context.Context, call func(ctx context.Context, client refractv1.TaskServiceClient, n int) (time.Duration, error)) (Latency, error) {
	conn, err := grpc.NewClient(i.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return Latency{}, fmt.Errorf("prepare the connection to %s: %w", i.Address, err)
	}
	defer conn.Close()
	client := refractv1.NewTaskServiceClient(conn)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+i.Token)
	return measure(i.Calls, func(n int) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(ctx, arrival)
		defer cancel()
		return call(ctx, client, n)
	})
}

// warmUp is how many calls come before those that are measured, and rest is what comes before each: the service has to be
// done with the one before, or it is not idle.
const (
	warmUp = 20
	rest   = 25 * time.Millisecond
)

func measure(calls int, call func(n int) (time.Duration, error)) (Latency, error) {
	var took []time.Duration
	for n := range warmUp + calls {
		time.Sleep(rest)
		d, err := call(n)
		if err != nil {
			return Latency{}, fmt.Errorf("call %d: %w", n, err)
		}
		if n >= warmUp {
			took = append(took, d)
		}
	}
	p50, p99, most := quantiles(took)
	return Latency{p50, p99, most}, nil
}

// PlainPost returns how long plain HTTP posts to a server take, one after another on one connection: what the machine and
// its network stack need by themselves.
func PlainPost(ctx context.Context, url string, calls int) (Latency, error) {
	return measure(calls, func(int) (time.Duration, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(CallbackBody(ProviderTaskID(0))))
		if err != nil {
			return 0, err
		}
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return time.Since(began), errors.Join(err, resp.Body.Close())
	})
}

// Repeat returns how long a function takes, called again and again.
func Repeat(calls int, do func() error) (Latency, error) {
	return measure(calls, func(int) (time.Duration, error) {
		began := time.Now()
		err := do()
		return time.Since(began), err
	})
}

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/redact"
)

const (
	forwardTimeout = 15 * time.Second // As the service waits for an endpoint.
	maxForwarded   = 64 << 10         // The size of the largest body, in bytes, as of the service.
	maxShownAnswer = 4 << 10
	minSecretKey   = 24 // The size of the shortest key, in bytes, that verifiers accept.
	// taskPause is when a task is read again after the service was out of reach.
	taskPause = time.Second
)

type webhookListenCmd struct {
	clientFlags

	Forward string            `name:"forward" required:"" placeholder:"URL" help:"URL of the program that receives the events, such as http://127.0.0.1:3000/hook."`
	Events  []string          `name:"event" placeholder:"TYPE" help:"Type of events to forward, such as task.running; can be repeated. Default: task.succeeded, task.failed and task.canceled."`
	Labels  map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Forward events of tasks with this label; can be repeated, and then all must match."`
	Secret  redact.Secret     `name:"secret" env:"REFRACT_WEBHOOK_SECRET" placeholder:"WHSEC" help:"Secret that signs the events, such as whsec_…. Default: a new one, which is printed."`
	After   string            `name:"after" placeholder:"TOKEN" help:"Go on after the event with this resume token. Default: from now."`
}

// Run forwards events in their order until ctx ends. An event that the program does not take is not repeated.
func (c *webhookListenCmd) Run(ctx context.Context, con Console) error {
	states, err := c.states()
	if err != nil {
		return err
	}
	if u, err := url.Parse(c.Forward); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("--forward must be a URL such as http://127.0.0.1:3000/hook")
	}
	f, err := c.forwarder(con)
	if err != nil {
		return err
	}
	return c.connected(func(service *client.Client) error {
		// A service that does not answer is an error at once. Only later interruptions are waited for.
		if _, err := service.Tasks().ListTasks(ctx, &refractv1.ListTasksRequest{PageSize: 1}); err != nil {
			return err
		}
		f.tasks = service.Tasks()
		req := &refractv1.WatchTasksRequest{ResumeToken: c.After, States: states, Labels: c.Labels}
		lost := client.OnRetry(func(error) { _, _ = fmt.Fprintln(con.Err, "connection lost, resuming") }) // The events matter more than the remark.
		for m, err := range service.WatchAll(ctx, req, lost) {
			if err == nil && m.GetEvent() != nil {
				err = f.forward(ctx, m.GetEvent())
			}
			if ctx.Err() != nil && req.GetResumeToken() != "" {
				return fmt.Errorf("stopped; `refract webhook listen --after=%s`, with the same flags, goes on from here", OneLine(req.GetResumeToken()))
			}
			if err != nil {
				return err
			}
			req.ResumeToken = m.GetResumeToken()
		}
		return nil
	})
}

// states returns the states of tasks whose events are forwarded.
func (c *webhookListenCmd) states() ([]refractv1.TaskState, error) {
	types, err := parseEvents(c.Events)
	if err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return []refractv1.TaskState{
			refractv1.TaskState_TASK_STATE_SUCCEEDED, refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED,
		}, nil
	}
	states := make([]refractv1.TaskState, len(types))
	for i, t := range types {
		states[i] = refractv1.TaskState(refractv1.TaskState_value["TASK_STATE_"+strings.TrimPrefix(t.String(), eventPrefix+"TASK_")])
	}
	return states, nil
}

// forwarder makes what forwards events, and prints a secret where none was given.
func (c *webhookListenCmd) forwarder(con Console) (*forwarder, error) {
	secret := c.Secret.Reveal()
	if secret == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // It never fails: a system without randomness ends the process.
		secret = "whsec_" + base64.StdEncoding.EncodeToString(key)
		if _, err := fmt.Fprintln(c.people(con).Out, "secret", secret); err != nil {
			return nil, err
		}
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < minSecretKey {
		return nil, errors.New("--secret must be whsec_ and a key in base64, such as `refract webhook create` prints it")
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return nil, fmt.Errorf("--secret: %w", err)
	}
	f := &forwarder{url: c.Forward, signer: signer, show: func(d *refractv1.WebhookDelivery) error { return printForwarded(con.Out, d) }}
	if c.JSON {
		f.show = func(d *refractv1.WebhookDelivery) error { return printJSON(con.Out, d) }
	}
	f.client = &http.Client{Timeout: forwardTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return f, nil
}

// printForwarded prints what became of an event.
func printForwarded(w io.Writer, d *refractv1.WebhookDelivery) error {
	_, err := fmt.Fprintf(w, "%-20s  %-14s  %s  %s\n", stamp(d.GetEventTime()), eventName(d.GetEventType()), OneLine(d.GetEventId()), attemptOutcome(d.GetAttempts()[0]))
	return err
}

// forwarder posts events to a program.
type forwarder struct {
	url    string
	signer *standardwebhooks.Webhook
	client *http.Client
	tasks  refractv1.TaskServiceClient
	show   func(*refractv1.WebhookDelivery) error
}

// forward posts an event and shows the answer. It returns an error if the task can't be read, or the answer not be shown.
func (f *forwarder) forward(ctx context.Context, e *refractv1.WatchedTaskEvent) error {
	change := e.GetEvent()
	name := strings.ToUpper(stateName(change.GetState()))
	eventType := refractv1.WebhookEventType(refractv1.WebhookEventType_value[eventPrefix+"TASK_"+name])
	d := &refractv1.WebhookDelivery{
		EventId: fmt.Sprintf("evt_%s_%d", e.GetTaskId(), change.GetRevision()), EventType: eventType, TaskId: e.GetTaskId(), Revision: change.GetRevision(),
		State: refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED, AttemptCount: 1, EventTime: change.GetCreateTime(),
	}
	t, err := f.task(ctx, e.GetTaskId())
	if err != nil {
		return err
	}
	a := &refractv1.WebhookAttempt{Error: "the task has been removed"}
	if t != nil {
		body, err := eventBody(d, taskAt(t, change))
		if err != nil {
			return err
		}
		a = f.post(ctx, d.GetEventId(), body)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.Attempts = []*refractv1.WebhookAttempt{a}; a.GetError() == "" {
		d.State = refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_SUCCEEDED
	}
	return f.show(d)
}

// task reads a task as soon as the service can be reached. It returns nil for one that has been removed.
func (f *forwarder) task(ctx context.Context, id string) (*refractv1.Task, error) {
	for {
		resp, err := f.tasks.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: id})
		switch {
		case err == nil:
			return resp.GetTask(), nil
		case status.Code(err) == codes.NotFound:
			return nil, nil //nolint:nilnil // Nothing is what there is.
		case !client.Transient(err):
			return nil, err
		}
		select {
		case <-time.After(taskPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// taskAt returns a task as it was after an event, as far as the event shows it.
func taskAt(t *refractv1.Task, e *refractv1.TaskEvent) *refractv1.Task {
	t.Waiting = nil // It waits for that now.
	if t.GetRevision() == e.GetRevision() {
		return t
	}
	t.State, t.Revision, t.UpdateTime, t.Failure = e.GetState(), e.GetRevision(), e.GetCreateTime(), e.GetFailure()
	if len(e.GetOutputs()) == 0 {
		t.Outputs = nil
	}
	if t.GetAttempt().GetNumber() > e.GetAttempt() && e.GetAttempt() > 0 {
		t.Attempt = nil // It is a later one.
	}
	return t
}

// eventBody returns the body of an event. One that is too large has less of what the caller knows, and then no signed links.
func eventBody(d *refractv1.WebhookDelivery, t *refractv1.Task) ([]byte, error) {
	body, err := encodeEvent(d, t)
	if err != nil || len(body) <= maxForwarded {
		return body, err
	}
	t.Prompt, t.Parameters, t.Source, t.FirstFrameUri, t.Labels = "", nil, nil, "", nil
	body, err = encodeEvent(d, t)
	if err != nil || len(body) <= maxForwarded {
		return body, err
	}
	for _, o := range t.GetOutputs() {
		o.SignedUri, o.SignedUriExpireTime = "", nil
	}
	return encodeEvent(d, t)
}

func encodeEvent(d *refractv1.WebhookDelivery, t *refractv1.Task) ([]byte, error) {
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(t) // As REST shows it.
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"type":%q,"timestamp":%q,"data":`, eventName(d.GetEventType()), d.GetEventTime().AsTime().Format(time.RFC3339Nano))
	if err := json.Compact(&body, data); err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	body.WriteByte('}')
	return body.Bytes(), nil
}

// post posts one event. What fails is in the attempt.
func (f *forwarder) post(ctx context.Context, id string, body []byte) *refractv1.WebhookAttempt {
	start := time.Now()
	a := &refractv1.WebhookAttempt{StartTime: timestamppb.New(start)}
	httpStatus, answer, err := f.send(ctx, id, start, body)
	a.DurationMs, a.HttpStatus, a.Answer = time.Since(start).Milliseconds(), int32(httpStatus), strings.ToValidUTF8(string(answer), "\uFFFD") //nolint:gosec // Three digits.
	switch {
	case err != nil:
		a.Error = redact.Words(err.Error())
	case httpStatus/100 != 2:
		a.Error = "the status is not 2xx"
	}
	return a
}

// send sends a signed request and returns the status and the start of the answer.
func (f *forwarder) send(ctx context.Context, id string, now time.Time, body []byte) (httpStatus int, answer []byte, err error) {
	signature, err := f.signer.Sign(id, now, body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()                          // It was only read.
	answer, _ = io.ReadAll(io.LimitReader(resp.Body, maxShownAnswer)) // The status decides.
	return resp.StatusCode, answer, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Submit submits a task, or many.
type Submit struct {
	clientFlags
	waitFlags

	Video       string            `name:"video" required:"" xor:"what" placeholder:"FILE|URI" help:"Video to modify: a file, which is uploaded, or a public https URI."`
	Prompt      string            `name:"prompt" help:"The wanted change, in words; needed with --video."`
	RequestID   string            `name:"request-id" help:"Id that makes the submission idempotent. Default: a random one."`
	Provider    string            `name:"provider" help:"Provider to use. Default: the service's."`
	Watermark   string            `name:"watermark" help:"Watermark identifier for the provider."`
	Priority    int32             `name:"priority" placeholder:"N" help:"Priority among your tasks, from -100 to 100; a higher one goes first."`
	Labels      map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Label to list tasks by; can be repeated."`
	Deadline    time.Duration     `name:"deadline" help:"Time after which the task fails, such as 2h. Default: the service's."`
	Batch       string            `name:"batch" required:"" xor:"what" type:"existingfile" placeholder:"FILE" help:"Submit every line of this file: the body of POST /v1/tasks as JSON, with its requestId."`
	MaxAttempts int32             `name:"max-attempts" placeholder:"N" help:"Attempts that may be paid for, from 1 to 5. Default: the service's."`
}

// Run submits what was asked for, and prints it or waits for its end.
func (c *Submit) Run(ctx context.Context, con Console) error {
	if c.Batch != "" {
		return c.submitBatch(ctx, con)
	}
	if c.Prompt == "" {
		return errors.New("--video needs --prompt, the wanted change in words")
	}
	if c.RequestID == "" {
		c.RequestID = uuid.NewString()
		// It is printed before it is used, so that a lost answer can be followed by a second submission that makes no second task.
		if _, err := fmt.Fprintln(c.people(con).Out, "request id", c.RequestID); err != nil {
			return err
		}
	}
	return c.connected(func(service *client.Client) error {
		source, err := c.source(ctx, con, service)
		if err != nil {
			return err
		}
		t, err := service.Submit(ctx, c.request(source))
		if err != nil {
			if client.Transient(err) {
				err = fmt.Errorf("%w; submitting again with --request-id=%s makes no second task", explain(err, c.Address), c.RequestID)
			}
			return err
		}
		if !c.waiting() {
			return c.showTask(con, t)
		}
		people := c.people(con)
		if _, err := fmt.Fprintln(people.Out, "task", OneLine(t.GetId())); err != nil {
			return err
		}
		p := newProgress(people)
		defer p.done()
		p.expect(t)
		return c.await(ctx, con, service, t.GetId(), new(int64), c.Output, p)
	})
}

// source returns what the task is about, after uploading it where it is a file.
func (c *Submit) source(ctx context.Context, con Console, service *client.Client) (*refractv1.SubmitTaskSource, error) {
	if !isFile(c.Video) {
		return client.SourceURI(c.Video), nil
	}
	people := c.people(con)
	p := newProgress(people)
	defer p.done()
	resp, err := uploadFile(ctx, service, c.Video, p)
	if err != nil {
		return nil, err
	}
	p.done()
	return client.SourceID(resp.GetSource().GetId()), tellUpload(people, resp)
}

func tellUpload(people Console, resp *refractv1.UploadSourceResponse) error {
	s, how := resp.GetSource(), "uploaded"
	if resp.GetDuplicate() {
		how = "was there already"
	}
	what := OneLine(s.GetContentType())
	if d := s.GetDuration().AsDuration(); d > 0 {
		what += ", " + d.String()
	}
	_, err := fmt.Fprintf(people.Out, "source %s %s: %d bytes, %s\n", OneLine(s.GetId()), how, s.GetSizeBytes(), what)
	return err
}

func (c *Submit) request(source *refractv1.SubmitTaskSource) *refractv1.SubmitTaskRequest {
	req := &refractv1.SubmitTaskRequest{
		RequestId:   c.RequestID,
		Prompt:      c.Prompt,
		Source:      source,
		Watermark:   c.Watermark,
		Provider:    c.Provider,
		Priority:    c.Priority,
		Labels:      c.Labels,
		MaxAttempts: c.MaxAttempts,
	}
	if c.Deadline != 0 {
		req.Deadline = durationpb.New(c.Deadline)
	}
	return req
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Submit submits a task, or many.
type Submit struct {
	clientFlags
	waitFlags

	Video       string            `name:"video" required:"" xor:"what" placeholder:"FILE|URI" help:"Video to modify: a file, which is uploaded, or a public https URI of at most 2048 bytes."`
	Prompt      string            `name:"prompt" help:"Wanted change, in words: up to 6000 characters; required with --video."`
	RequestID   string            `name:"request-id" help:"Id that makes the submission idempotent: up to 128 visible ASCII characters. Default: a random one."`
	Model       string            `name:"model" help:"Model to use, such as luma/ray-2-modify. Default: that of each provider."`
	Parameters  map[string]string `name:"parameter" mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of the model; can be repeated. VALUE is JSON, such as 720, true or [1,2], or else a string."`
	Strength    string            `name:"strength" help:"How far the result may differ from the video: adhere_1 (least) to adhere_3, flex_1 to flex_3, reimagine_1 to reimagine_3 (most). Default: the provider's."`
	FirstFrame  string            `name:"first-frame" placeholder:"URI" help:"Public https URI of an image, at most 2048 bytes: the first frame of the video, already modified."`
	Watermark   string            `name:"watermark" help:"Watermark identifier for the provider: up to 128 characters. Default: none."`
	Provider    string            `name:"provider" help:"Provider to use. Default: the service's route."`
	Fallbacks   []string          `name:"fallback-provider" placeholder:"PROVIDER" help:"Provider to try when the one before it refused the task; needs --provider. Can be repeated up to 4 times, in order."`
	Priority    int32             `name:"priority" placeholder:"N" help:"Priority among your tasks, from -100 to 100; one step counts as a minute of waiting, and the higher goes first. Default: 0."`
	Labels      map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Label by which the task can be listed; can be repeated up to 16 times."`
	Deadline    time.Duration     `name:"deadline" help:"Time from now after which the task fails, such as 90m: from 1s to 168h. Default: the service's."`
	MaxAttempts int32             `name:"max-attempts" placeholder:"N" help:"Most attempts to pay for, from 1 to 5. Default: the service's."`
	WebhookURI  string            `name:"webhook-uri" placeholder:"URI" help:"Public https URI that receives the events with which the task ends, signed by the endpoint of refract webhook create --for-tasks."`
	Batch       string            `name:"batch" required:"" xor:"what" type:"existingfile" placeholder:"FILE" help:"Submit every line of this file: the body of POST /v1/tasks as JSON, with its requestId."`
}

// Run submits one task, and prints it or waits for its end; or it submits a batch.
func (c *Submit) Run(ctx context.Context, con Console) error {
	req, err := c.request()
	if err != nil {
		return err
	}
	if c.Batch != "" {
		if proto.Size(req) > 0 {
			return errors.New("--batch takes every field from the lines of its file: drop the flags that set one, such as --prompt")
		}
		return c.submitBatch(ctx, con)
	}
	if c.Prompt == "" {
		return errors.New("--video needs --prompt, the wanted change in words")
	}
	if c.RequestID == "" {
		c.RequestID = uuid.NewString()
		req.RequestId = c.RequestID
		// The id is printed before it is used: when the answer is lost, a second submission with it creates no second task.
		if _, err := fmt.Fprintln(c.people(con).Out, "request id", c.RequestID); err != nil {
			return err
		}
	}
	return c.connected(func(service *client.Client) error {
		source, err := c.source(ctx, con, service)
		if err != nil {
			return err
		}
		req.Source = source
		t, err := service.Submit(ctx, req)
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

// source returns the source of the task. It uploads --video first where that is a file.
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
	return client.SourceID(resp.GetSource().GetId()), printUpload(people, resp)
}

// printUpload writes which source the clip became, and what the service found in it.
func printUpload(people Console, resp *refractv1.UploadSourceResponse) error {
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

// request returns the submission that the flags describe, without its source. A test checks that every field has a flag.
func (c *Submit) request() (*refractv1.SubmitTaskRequest, error) {
	strength, err := parseStrength(c.Strength)
	if err != nil {
		return nil, err
	}
	req := &refractv1.SubmitTaskRequest{
		RequestId:         c.RequestID,
		Prompt:            c.Prompt,
		Model:             c.Model,
		Parameters:        parseParameters(c.Parameters),
		Strength:          strength,
		FirstFrameUri:     c.FirstFrame,
		WebhookUri:        c.WebhookURI,
		Watermark:         c.Watermark,
		Provider:          c.Provider,
		FallbackProviders: c.Fallbacks,
		Priority:          c.Priority,
		Labels:            c.Labels,
		MaxAttempts:       c.MaxAttempts,
	}
	if c.Deadline != 0 {
		req.Deadline = durationpb.New(c.Deadline)
	}
	return req, nil
}

// parseParameters returns parameters by name. A value that is not JSON is a string.
func parseParameters(values map[string]string) *structpb.Struct {
	if len(values) == 0 {
		return nil
	}
	fields := make(map[string]*structpb.Value, len(values))
	for name, text := range values {
		value := &structpb.Value{}
		if err := protojson.Unmarshal([]byte(text), value); err != nil {
			value = structpb.NewStringValue(text)
		}
		fields[name] = value
	}
	return &structpb.Struct{Fields: fields}
}

// strengthPrefix is what the contract puts before the name of a strength.
const strengthPrefix = "STRENGTH_"

// parseStrength reads the name of a strength in upper or lower case. Empty means the provider's default.
func parseStrength(name string) (refractv1.Strength, error) {
	if name == "" {
		return refractv1.Strength_STRENGTH_UNSPECIFIED, nil
	}
	value := refractv1.Strength_value[strengthPrefix+strings.ToUpper(name)]
	if value == 0 {
		return 0, fmt.Errorf("--strength=%s is unknown: use adhere_1 to adhere_3, flex_1 to flex_3 or reimagine_1 to reimagine_3", name)
	}
	return refractv1.Strength(value), nil
}

// strengthName returns a strength as --strength takes it, or nothing where it is the provider's default.
func strengthName(s refractv1.Strength) string {
	if s == refractv1.Strength_STRENGTH_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), strengthPrefix))
}

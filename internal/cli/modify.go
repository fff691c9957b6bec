package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Modification is a clip and the change that is wanted.
type Modification struct {
	Clip   []byte // Used where Video is empty.
	Video  string // A file.
	Prompt string
	Model  string // Empty means the provider's default.
	Output string // The file or folder of the result. Empty means refract-output/<task id>.mp4.
}

// Modify does all that a caller does: it uploads the clip, submits a task, follows it to its end and downloads the result. It
// shows each step on the console.
func Modify(ctx context.Context, con Console, service *client.Client, m Modification) error {
	source, err := m.upload(ctx, con, service)
	if err != nil {
		return err
	}
	t, err := service.Submit(ctx, &refractv1.SubmitTaskRequest{RequestId: uuid.NewString(), Prompt: m.Prompt, Model: m.Model, Source: source})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(con.Out, "Task %s: %q\n", t.GetId(), m.Prompt); err != nil {
		return err
	}
	p := newProgress(con)
	defer p.done()
	p.expect(t)
	return (&clientFlags{}).await(ctx, con, service, t.GetId(), new(int64), m.Output, p)
}

func (m Modification) upload(ctx context.Context, con Console, service *client.Client) (*refractv1.SubmitTaskSource, error) {
	p := newProgress(con)
	defer p.done()
	var resp *refractv1.UploadSourceResponse
	var err error
	if m.Video == "" {
		resp, err = upload(ctx, service, bytes.NewReader(m.Clip), p)
	} else {
		resp, err = uploadFile(ctx, service, m.Video, p)
	}
	if err != nil {
		return nil, err
	}
	p.done()
	return client.SourceID(resp.GetSource().GetId()), printUpload(con, resp)
}

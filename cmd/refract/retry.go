package main

import (
	"context"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// retryCmd continues a failed or canceled task.
type retryCmd struct {
	clientFlags
	waitFlags

	ID         string `arg:"" help:"Id of the task."`
	NewAttempt bool   `name:"new-attempt" help:"Pay for another attempt even where a result could be adopted for free."`
}

// Run continues the task, and prints it or waits for its end.
func (c *retryCmd) Run(ctx context.Context, con console) error {
	return c.call(func(client refractv1.TaskServiceClient) error {
		req := &refractv1.RetryTaskRequest{TaskId: c.ID, NewAttempt: c.NewAttempt}
		// The call is made once: should its answer get lost and the task fail again meanwhile, a second one would
		// pay for one more attempt.
		resp, err := client.RetryTask(ctx, req, retry.Disable())
		if err != nil {
			return err
		}
		t := resp.GetTask()
		if !c.waiting() {
			return c.showTask(con, t)
		}
		p := newProgress(c.people(con))
		defer p.done()
		p.task(t)
		after := t.GetRevision()
		return c.await(ctx, con, client, t.GetId(), &after, c.Output, p)
	})
}

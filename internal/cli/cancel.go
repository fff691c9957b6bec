package cli

import (
	"context"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Cancel cancels a task.
type Cancel struct {
	clientFlags

	ID string `arg:"" help:"Id of the task."`
}

// Run cancels the task and prints it. A terminal task is only printed.
func (c *Cancel) Run(ctx context.Context, con Console) error {
	return c.call(func(client refractv1.TaskServiceClient) error {
		resp, err := client.CancelTask(ctx, &refractv1.CancelTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		return c.showTask(con, resp.GetTask())
	})
}

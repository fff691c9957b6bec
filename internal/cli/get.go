package cli

import (
	"context"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Get shows a task.
type Get struct {
	clientFlags

	ID string `arg:"" help:"Id of the task."`
}

// Run prints the task as it is now.
func (c *Get) Run(ctx context.Context, con Console) error {
	return c.call(func(client refractv1.TaskServiceClient) error {
		resp, err := client.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		return c.showTask(con, resp.GetTask())
	})
}

package main

import (
	"context"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// getCmd shows a task.
type getCmd struct {
	clientFlags

	ID string `arg:"" help:"Id of the task."`
}

// Run prints the task as it is now.
func (c *getCmd) Run(ctx context.Context, con console) error {
	return c.call(func(client refractv1.TaskServiceClient) error {
		resp, err := client.GetTask(ctx, &refractv1.GetTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		return c.showTask(con, resp.GetTask())
	})
}

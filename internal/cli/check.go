package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Check asks the provider about a task.
type Check struct {
	clientFlags

	ID string `arg:"" help:"Id of the task, of any tenant."`
}

// Run has the provider asked.
func (c *Check) Run(ctx context.Context, con Console) error {
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		resp, err := client.CheckTask(ctx, &refractv1.CheckTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		return c.showInquiry(con.Out, resp.GetInquiry())
	})
}

// showInquiry prints the outcome of an inquiry.
func (f *clientFlags) showInquiry(w io.Writer, q *refractv1.Inquiry) error {
	if f.JSON {
		return printJSON(w, q)
	}
	_, err := fmt.Fprintf(w, "%s: %s\ntask %s is %s\n", strings.TrimPrefix(q.GetOutcome().String(), "INQUIRY_OUTCOME_"), OneLine(q.GetMessage()),
		OneLine(q.GetTaskId()), stateName(q.GetTaskState()))
	return err
}

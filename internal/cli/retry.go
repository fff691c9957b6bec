package cli

import (
	"context"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Retry continues a failed or canceled task, or all that match filters.
type Retry struct {
	clientFlags
	waitFlags

	ID         string            `arg:"" optional:"" help:"Id of the task."`
	NewAttempt bool              `name:"new-attempt" help:"Pay for another attempt even where a result could be adopted for free."`
	States     []string          `name:"state" help:"Retry the tasks in this state, FAILED or CANCELED; can be repeated."`
	Reasons    []string          `name:"reason" help:"Retry the tasks that failed with this reason, such as OUTPUT_UNAVAILABLE; can be repeated."`
	Labels     map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Retry the tasks with this label; can be repeated, and then all must match."`
	DryRun     bool              `name:"dry-run" help:"Count the tasks that match, with what their retries cost, and retry none."`
	Yes        bool              `name:"yes" help:"Retry all that match without asking."`
}

// Run continues the task, and prints it or waits for its end.
func (c *Retry) Run(ctx context.Context, con Console) error {
	if err := c.checkFilters(); err != nil {
		return err
	}
	if c.ID == "" {
		return c.retryMany(ctx, con)
	}
	return c.connected(func(service *client.Client) error {
		req := &refractv1.RetryTaskRequest{TaskId: c.ID, NewAttempt: c.NewAttempt}
		resp, err := service.Tasks().RetryTask(ctx, req)
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
		return c.await(ctx, con, service, t.GetId(), &after, c.Output, p)
	})
}

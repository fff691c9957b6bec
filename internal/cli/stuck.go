package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Stuck lists the tasks that are longer in their state than is usual.
type Stuck struct {
	clientFlags

	Tenant   string `name:"tenant" help:"List tasks of this tenant."`
	Provider string `name:"provider" help:"List tasks at this provider."`
	Limit    int    `name:"limit" default:"50" help:"Maximum number of tasks to list; 0 lists all."`
}

// Run prints the tasks page by page, the longest in their state first.
func (c *Stuck) Run(ctx context.Context, con Console) error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit=%d is negative", c.Limit)
	}
	return c.operate(func(client refractv1.OperatorServiceClient) error {
		req := &refractv1.ListStuckTasksRequest{Tenant: c.Tenant, Provider: c.Provider}
		for found := 0; ; {
			req.PageSize = maxPage
			if c.Limit > 0 {
				req.PageSize = int32(min(c.Limit-found, maxPage))
			}
			resp, err := client.ListStuckTasks(ctx, req)
			if err != nil {
				return err
			}
			if err := c.print(con.Out, resp.GetTasks()); err != nil {
				return err
			}
			found += len(resp.GetTasks())
			req.PageToken = resp.GetNextPageToken()
			if req.GetPageToken() == "" || c.Limit > 0 && found >= c.Limit {
				return c.printNone(con.Out, found)
			}
		}
	})
}

// printNone says that nothing was found, so that an empty list is not taken for a failure.
func (c *Stuck) printNone(w io.Writer, found int) error {
	if found > 0 || c.JSON {
		return nil
	}
	_, err := fmt.Fprintln(w, "no task has been in its state for longer than is usual")
	return err
}

func (c *Stuck) print(w io.Writer, tasks []*refractv1.StuckTask) error {
	if c.JSON {
		return printLines(w, tasks)
	}
	p := page{now: time.Now()}
	for _, t := range tasks {
		p.stuck(t)
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

// stuck writes a task on a few short lines: what it is, its cause, and what to do.
func (p *page) stuck(t *refractv1.StuckTask) {
	usual := ""
	if t.GetUsualDuration() != nil {
		usual = ", usually " + roughly(t.GetUsualDuration().AsDuration())
	}
	p.printf("%s  %s for %s%s\n", OneLine(t.GetTaskId()), stateName(t.GetState()), roughly(p.now.Sub(t.GetStateTime().AsTime())), usual)
	p.printf("    tenant %s, provider %s", OneLine(t.GetTenant()), OneLine(t.GetProvider()))
	if t.GetModel() != "" {
		p.printf(", model %s", OneLine(t.GetModel()))
	}
	p.printf("\n")
	if cause := waitingLine(t.GetWaiting()); cause != "" {
		p.printf("    waits for %s\n", cause)
	}
	p.printf("    %s\n", OneLine(t.GetAdvice()))
}

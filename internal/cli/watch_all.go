package cli

import (
	"context"
	"fmt"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// all prints a line for each event of all tasks until ctx ends.
func (c *Watch) all(ctx context.Context, con Console) error {
	states, err := parseStates(c.States)
	if err != nil {
		return err
	}
	return c.connected(func(service *client.Client) error {
		// A service that does not answer is an error at once. Only later interruptions are waited for.
		if _, err := service.Tasks().ListTasks(ctx, &refractv1.ListTasksRequest{PageSize: 1}); err != nil {
			return err
		}
		req := &refractv1.WatchTasksRequest{ResumeToken: c.After, States: states, Labels: c.Labels}
		lost := client.OnRetry(func(error) { _, _ = fmt.Fprintln(con.Err, "connection lost, resuming") }) // The watch matters more than the remark.
		for m, err := range service.WatchAll(ctx, req, lost) {
			if ctx.Err() != nil && req.GetResumeToken() != "" {
				return fmt.Errorf("stopped; `refract watch --after=%s`, with the same filters, goes on from here", OneLine(req.GetResumeToken()))
			}
			if err != nil {
				return err
			}
			if err := c.showChange(con, m); err != nil {
				return err
			}
			req.ResumeToken = m.GetResumeToken()
		}
		return nil
	})
}

// showChange prints a message, unless it is a bookmark.
func (c *Watch) showChange(con Console, m *refractv1.WatchTasksResponse) error {
	switch {
	case m.GetEvent() == nil:
		return nil
	case c.JSON:
		return printJSON(con.Out, m)
	default:
		return printChange(con, m.GetEvent())
	}
}

// printChange prints an event of a task among others.
func printChange(con Console, e *refractv1.WatchedTaskEvent) error {
	change := e.GetEvent()
	_, err := fmt.Fprintf(con.Out, "%-20s  %-36s  %-10s  %s\n", stamp(change.GetCreateTime()), OneLine(e.GetTaskId()),
		stateName(change.GetState()), OneLine(change.GetMessage()))
	return err
}

package cli

import (
	"context"
	"fmt"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// all prints a line for each event of all tasks until ctx ends.
func (c *Watch) all(ctx context.Context, con Console) error {
	states, err := parseStates(c.States)
	if err != nil {
		return err
	}
	return c.call(func(client refractv1.TaskServiceClient) error {
		// A service that is not there is told at once; only what follows is waited for.
		if _, err := client.ListTasks(ctx, &refractv1.ListTasksRequest{PageSize: 1}); err != nil {
			return err
		}
		f := allFollower{
			client: client, req: &refractv1.WatchTasksRequest{ResumeToken: c.After, States: states, Labels: c.Labels},
			show: func(m *refractv1.WatchTasksResponse) error {
				if c.JSON {
					return printJSON(con.Out, m)
				}
				return printChange(con, m.GetEvent())
			},
		}
		note := func(text string) { _, _ = fmt.Fprintln(con.Err, text) } // Where remarks can't be shown the watch still goes on.
		err := persist(ctx, patience, note, func() (over, alive bool, err error) {
			alive, err = f.stream(ctx)
			return false, alive, err
		})
		if ctx.Err() != nil && f.req.GetResumeToken() != "" {
			return fmt.Errorf("stopped; `refract watch --after=%s`, with the same filters, goes on from here", OneLine(f.req.GetResumeToken()))
		}
		return err
	})
}

// allFollower follows all tasks that match a request.
type allFollower struct {
	client refractv1.TaskServiceClient
	req    *refractv1.WatchTasksRequest // Its token is the newest one seen.
	show   func(*refractv1.WatchTasksResponse) error
}

// stream shows what one stream carries, and remembers how far it got.
func (f *allFollower) stream(ctx context.Context) (alive bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(silence, cancel)
	defer dead.Stop()
	stream, err := f.client.WatchTasks(ctx, f.req)
	if err != nil {
		return false, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return alive, err
		}
		alive = true
		dead.Reset(silence)
		if m.GetEvent() != nil {
			if err := f.show(m); err != nil {
				return alive, err
			}
		}
		f.req.ResumeToken = m.GetResumeToken()
	}
}

// printChange prints an event of a task among others.
func printChange(con Console, e *refractv1.WatchedTaskEvent) error {
	change := e.GetEvent()
	_, err := fmt.Fprintf(con.Out, "%-20s  %-36s  %-10s  %s\n", stamp(change.GetCreateTime()), OneLine(e.GetTaskId()),
		stateName(change.GetState()), OneLine(change.GetMessage()))
	return err
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Watch follows a task, or all of them.
type Watch struct {
	clientFlags

	ID            string            `arg:"" optional:"" help:"Id of the task. Without it all tasks are followed, until interrupted."`
	AfterRevision *int64            `name:"after-revision" help:"Newest revision already seen; 0 shows the whole history. Default: the task as it is, then what follows."`
	Output        string            `name:"output" short:"o" placeholder:"PATH" help:"Download the result to this file or folder."`
	States        []string          `name:"state" help:"Without an id: show changes to this state; can be repeated."`
	Labels        map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"Without an id: show tasks with this label; can be repeated, and then all must match."`
	After         string            `name:"after" placeholder:"TOKEN" help:"Without an id: go on after the message with this resume token. Default: from now."`
}

// Run prints a line for each event until the task is terminal.
func (c *Watch) Run(ctx context.Context, con Console) error {
	switch {
	case c.ID == "" && (c.AfterRevision != nil || c.Output != ""):
		return errors.New("--after-revision and --output need the id of a task")
	case c.ID == "":
		return c.all(ctx, con)
	case len(c.States) > 0 || len(c.Labels) > 0 || c.After != "":
		return errors.New("--state, --label and --after are for watching all tasks, without an id")
	}
	return c.connected(func(service *client.Client) error {
		// A service that does not answer, or a task that does not exist, is an error at once. Only later interruptions are waited for.
		resp, err := service.Tasks().GetTask(ctx, &refractv1.GetTaskRequest{TaskId: c.ID})
		if err != nil {
			return err
		}
		p := newProgress(c.people(con))
		defer p.done()
		show := p.show
		if c.JSON {
			show = func(u *refractv1.WatchTaskResponse) error { return printJSON(con.Out, u) }
		} else {
			p.expect(resp.GetTask())
		}
		t, err := follow(ctx, service, c.ID, c.AfterRevision, p, show)
		if err != nil {
			return interrupted(ctx, err, c.ID)
		}
		if c.Output != "" {
			return finish(ctx, c.people(con), service, t, c.Output, p)
		}
		return outcome(t)
	})
}

// follow shows a task's changes until it is terminal, and returns it as it is then. after is the newest revision already seen,
// or nil to begin with the task as it is.
func follow(ctx context.Context, service *client.Client, taskID string, after *int64, p *progress,
	show func(*refractv1.WatchTaskResponse) error,
) (*refractv1.Task, error) {
	options := []client.CallOption{client.OnUpdate(show), client.OnRetry(func(error) { p.note("connection lost, resuming") })}
	if after != nil {
		options = append(options, client.AfterRevision(*after))
	}
	return service.Wait(ctx, taskID, options...)
}

// waitFlags are the settings of commands that can wait for a task.
type waitFlags struct {
	Wait   bool   `name:"wait" help:"Wait for the end of the task and download the result."`
	Output string `name:"output" short:"o" placeholder:"PATH" help:"File or folder for the result; implies --wait. Default: ./refract-output/<task id>.mp4."`
}

func (w waitFlags) waiting() bool { return w.Wait || w.Output != "" }

// await follows a task to its end, prints it for programs, and downloads its outputs.
func (f *clientFlags) await(ctx context.Context, con Console, service *client.Client, taskID string, after *int64,
	output string, p *progress,
) error {
	t, err := follow(ctx, service, taskID, after, p, p.show)
	if status.Code(err) == codes.OutOfRange { // A task submitted long ago: its oldest events are gone.
		t, err = follow(ctx, service, taskID, nil, p, p.show)
	}
	if err != nil {
		return interrupted(ctx, err, taskID)
	}
	if f.JSON {
		if err := printJSON(con.Out, t); err != nil {
			return err
		}
	}
	return finish(ctx, f.people(con), service, t, output, p)
}

// interrupted says how to go on when the user has stopped waiting.
func interrupted(ctx context.Context, err error, taskID string) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("stopped waiting; the task goes on: `refract watch %s` follows it, and with -o PATH downloads the result", OneLine(taskID))
}

// finish downloads the outputs of a task that succeeded. Any other end is an error.
func finish(ctx context.Context, con Console, service *client.Client, t *refractv1.Task, output string, p *progress) error {
	if err := outcome(t); err != nil {
		return err
	}
	for i, o := range t.GetOutputs() {
		path, err := outputPath(output, t.GetId(), o, i)
		if err != nil {
			return err
		}
		if u, err := url.Parse(o.GetDownloadUri()); err == nil && service.WithholdsToken(o.GetDownloadUri()) {
			p.note(fmt.Sprintf("the token is not sent to %s://%s: see --download-host and --insecure", u.Scheme, OneLine(u.Host)))
		}
		err = service.Download(ctx, o, path, shown(p, "download", p.downloading)...)
		p.transferred()
		if err != nil {
			return fmt.Errorf("%w; `refract watch %s -o PATH` downloads it again", err, t.GetId())
		}
		if err := printOutput(con, path, o); err != nil {
			return err
		}
	}
	return nil
}

// outcome is nil for a task that succeeded, and otherwise one line: why, whether a retry can help, and what
// was paid.
func outcome(t *refractv1.Task) error {
	id := OneLine(t.GetId())
	switch t.GetState() {
	case refractv1.TaskState_TASK_STATE_SUCCEEDED:
		return nil
	case refractv1.TaskState_TASK_STATE_CANCELED:
		return fmt.Errorf("task %s was canceled; `refract retry %s` continues it", id, id)
	default:
		advice := "a retry of the same request does not help"
		if t.GetFailure().GetRetryable() {
			advice = fmt.Sprintf("`refract retry %s` can help", id)
		}
		return fmt.Errorf("task %s failed: %s; %s", id, failureLine(t.GetFailure()), advice)
	}
}

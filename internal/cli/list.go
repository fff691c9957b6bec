package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// List lists tasks.
type List struct {
	clientFlags

	States    []string          `name:"state" help:"List tasks in this state; can be repeated."`
	Reasons   []string          `name:"reason" help:"List tasks that failed with this reason; can be repeated."`
	Labels    map[string]string `name:"label" mapsep:"none" placeholder:"KEY=VALUE" help:"List tasks with this label; can be repeated, and then all must match."`
	Models    []string          `name:"model" help:"List tasks of this model, such as luma/ray-2-modify; can be repeated."`
	Providers []string          `name:"provider" help:"List tasks that are assigned to this provider; can be repeated."`
	Text      string            `name:"text" help:"List tasks whose prompt contains this text, in upper or lower case, or that have this id or request id."`
	Limit     int               `name:"limit" default:"50" help:"Maximum number of tasks to list; 0 lists all."`
}

// maxPage is the largest page that the service gives.
const maxPage = 500

// Run prints the tasks page by page, so that a long list begins at once and is never held in memory. A page without tasks is not the
// end, because the service looks at a limited number of tasks for each page.
func (c *List) Run(ctx context.Context, con Console) error {
	states, err := parseStates(c.States)
	if err != nil {
		return err
	}
	reasons, err := parseReasons(c.Reasons)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return fmt.Errorf("--limit=%d is negative", c.Limit)
	}
	return c.call(func(client refractv1.TaskServiceClient) error {
		req := &refractv1.ListTasksRequest{
			States: states, FailureReasons: reasons, Labels: c.Labels, Models: c.Models, Providers: c.Providers, Text: c.Text,
		}
		for left := c.Limit; ; {
			req.PageSize = maxPage
			if c.Limit > 0 {
				req.PageSize = int32(min(left, maxPage))
			}
			resp, err := client.ListTasks(ctx, req)
			if err != nil {
				return err
			}
			if err := c.printPage(con.Out, resp.GetTasks(), req.GetPageToken() == ""); err != nil {
				return err
			}
			left -= len(resp.GetTasks())
			req.PageToken = resp.GetNextPageToken()
			if req.GetPageToken() == "" || (c.Limit > 0 && left <= 0) {
				return nil
			}
		}
	})
}

// listRow is a row of the table. Its columns have fixed widths, since the rows of later pages are not known.
const listRow = "%-36s  %-10s  %-20s  %-12s  %s\n"

func (c *List) printPage(w io.Writer, tasks []*refractv1.Task, first bool) error {
	if first && !c.JSON {
		if _, err := fmt.Fprintf(w, listRow, "TASK", "STATE", "CREATED", "PROVIDER", "PROMPT"); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if c.JSON {
			if err := printJSON(w, t); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, listRow, OneLine(t.GetId()), stateName(t.GetState()), stamp(t.GetCreateTime()),
			OneLine(t.GetProvider()), shorten(OneLine(t.GetPrompt()), 48)); err != nil {
			return err
		}
	}
	return nil
}

// parseStates reads names of states in upper or lower case.
func parseStates(names []string) ([]refractv1.TaskState, error) {
	states := make([]refractv1.TaskState, len(names))
	for i, name := range names {
		value, ok := refractv1.TaskState_value["TASK_STATE_"+strings.ToUpper(name)]
		if !ok || value == 0 {
			return nil, fmt.Errorf("--state=%s is no state: there are QUEUED, SUBMITTING, RUNNING, SAVING, SUCCEEDED, FAILED and CANCELED", name)
		}
		states[i] = refractv1.TaskState(value)
	}
	return states, nil
}

// shorten cuts text to a number of characters.
func shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

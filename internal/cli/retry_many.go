package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// retryPage is how many tasks are listed at a time. Their prompts may be long.
const retryPage = 100

// maxRetryErrors is after how many errors in a row no more tasks are retried: the service is in trouble.
const maxRetryErrors = 5

// filtered reports whether filters choose the tasks.
func (c *Retry) filtered() bool {
	return len(c.States) > 0 || len(c.Reasons) > 0 || len(c.Labels) > 0
}

// checkFilters refuses options that do not go together.
func (c *Retry) checkFilters() error {
	switch {
	case c.ID != "" && c.filtered():
		return errors.New("pass the id of a task, or --state, --reason and --label, and not both")
	case c.ID == "" && !c.filtered():
		return errors.New("pass the id of a task, or choose tasks by --state, --reason or --label")
	case c.ID != "" && (c.DryRun || c.Yes):
		return errors.New("--dry-run and --yes are for many tasks: choose them by --state, --reason or --label")
	case c.ID == "" && c.waiting():
		return errors.New("--wait and --output are for one task: pass its id")
	}
	return nil
}

// filters returns the request that lists the chosen tasks. Only those are listed that RetryTask takes.
func (c *Retry) filters() (*refractv1.ListTasksRequest, error) {
	states, err := parseStates(c.States)
	if err != nil {
		return nil, err
	}
	reasons, err := parseReasons(c.Reasons)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		if s != refractv1.TaskState_TASK_STATE_FAILED && s != refractv1.TaskState_TASK_STATE_CANCELED {
			return nil, fmt.Errorf("--state=%s: only tasks that are FAILED or CANCELED can be retried", stateName(s))
		}
	}
	if len(states) == 0 {
		states = []refractv1.TaskState{refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED}
	}
	return &refractv1.ListTasksRequest{States: states, FailureReasons: reasons, Labels: c.Labels, PageSize: retryPage}, nil
}

// parseReasons reads names of reasons in upper or lower case.
func parseReasons(names []string) ([]refractv1.FailureReason, error) {
	reasons := make([]refractv1.FailureReason, len(names))
	for i, name := range names {
		value, ok := refractv1.FailureReason_value["FAILURE_REASON_"+strings.ToUpper(name)]
		if !ok || value == 0 {
			return nil, fmt.Errorf("--reason=%s is no reason of a failure: there are %s", name, strings.Join(reasonNames(), ", "))
		}
		reasons[i] = refractv1.FailureReason(value)
	}
	return reasons, nil
}

func reasonNames() []string {
	var names []string
	for _, number := range slices.Sorted(maps.Keys(refractv1.FailureReason_name)) {
		if number != 0 {
			names = append(names, reasonName(refractv1.FailureReason(number)))
		}
	}
	return names
}

func reasonName(r refractv1.FailureReason) string {
	return strings.TrimPrefix(r.String(), "FAILURE_REASON_")
}

// retryMany counts the tasks that the filters choose, and retries those.
func (c *Retry) retryMany(ctx context.Context, con Console) error {
	req, err := c.filters()
	if err != nil {
		return err
	}
	return c.call(func(client refractv1.TaskServiceClient) error {
		ids, groups, err := c.choose(ctx, client, req)
		if err != nil {
			return err
		}
		if err := c.printGroups(c.people(con).Out, len(ids), groups); err != nil || c.DryRun || len(ids) == 0 {
			return err
		}
		if !c.Yes {
			question := fmt.Sprintf("Retry %d tasks?", len(ids))
			if err := confirm(con, question, "nothing was retried", "pass --yes to retry them, or --dry-run to count them"); err != nil {
				return err
			}
		}
		return c.retryAll(ctx, con, client, ids)
	})
}

// choose lists the tasks page by page, some of which may be empty, and keeps their ids: those that are counted are the ones that are retried, whatever
// fails meanwhile. It counts them by why they ended.
func (c *Retry) choose(ctx context.Context, client refractv1.TaskServiceClient, req *refractv1.ListTasksRequest) (ids []string, groups map[string]int, err error) {
	groups = map[string]int{}
	for {
		resp, err := client.ListTasks(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range resp.GetTasks() {
			ids = append(ids, t.GetId())
			groups[c.group(t)]++
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return ids, groups, nil
		}
	}
}

// group says why a task ended and what its retry costs.
func (c *Retry) group(t *refractv1.Task) string {
	const pays = "adopts a result or an attempt that still runs for free, and pays for another attempt without one"
	name, costs := stateName(t.GetState()), pays
	if f := t.GetFailure(); f != nil {
		name += " with " + reasonName(f.GetReason())
		switch f.GetReason() {
		case refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID:
			costs = "fetches the result again for free"
		default:
		}
		if !f.GetRetryable() {
			costs += "; does not help without another request"
		}
	}
	if c.NewAttempt {
		costs = "pays for another attempt"
	}
	return name + ": each retry " + costs
}

func (c *Retry) printGroups(w io.Writer, total int, groups map[string]int) error {
	if _, err := fmt.Fprintf(w, "%d tasks match\n", total); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if _, err := fmt.Fprintf(w, "%7d  %s\n", groups[name], name); err != nil {
			return err
		}
	}
	return nil
}

// confirm asks a person whether to go on. A program must say so beforehand, as the advice says. refused says what did not happen.
func confirm(con Console, question, refused, advice string) error {
	in, ok := con.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New(refused + ": " + advice)
	}
	if _, err := fmt.Fprint(con.Err, question, " [y/N] "); err != nil {
		return err
	}
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New(refused)
	}
	return nil
}

// retryAll retries tasks one by one, each with one call, as Retry.Run does.
func (c *Retry) retryAll(ctx context.Context, con Console, client refractv1.TaskServiceClient, ids []string) error {
	retried, elsewhere, inARow := 0, 0, 0
	var failed []string
	for i, id := range ids {
		resp, err := client.RetryTask(ctx, &refractv1.RetryTaskRequest{TaskId: id, NewAttempt: c.NewAttempt})
		switch code := status.Code(err); {
		case err == nil:
			retried, inARow = retried+1, 0
			if err := c.printRetried(con, resp.GetTask()); err != nil {
				return err
			}
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted after %d of %d tasks; call again to go on", i, len(ids))
		case code == codes.FailedPrecondition || code == codes.NotFound:
			elsewhere, inARow = elsewhere+1, 0 // Another caller continued it, or it has expired.
			continue
		}
		failed, inARow = append(failed, id), inARow+1
		if _, err := fmt.Fprintf(con.Err, "%s  not retried: %s\n", OneLine(id), statusLine(statusOf(err), c.Address)); err != nil {
			return err
		}
		if inARow == maxRetryErrors {
			return fmt.Errorf("given up after %d errors in a row: %d of %d tasks were retried; call again to go on", inARow, retried, len(ids))
		}
	}
	if _, err := fmt.Fprintf(c.people(con).Out, "%d retried, %d went on or were removed meanwhile, %d not retried\n", retried, elsewhere, len(failed)); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d tasks could not be retried; call again for those that still match", len(failed))
	}
	return nil
}

func (c *Retry) printRetried(con Console, t *refractv1.Task) error {
	if c.JSON {
		return printJSON(con.Out, t)
	}
	_, err := fmt.Fprintf(con.Out, "%s  %s\n", OneLine(t.GetId()), stateName(t.GetState()))
	return err
}

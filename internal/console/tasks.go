package console

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	// maxWaiting bounds the tasks of a page for which the page asks why they wait.
	maxWaiting = 10
	// waitingCalls bounds how many of these questions are asked at a time.
	waitingCalls = 4
)

// taskList is what the list of tasks shows.
type taskList struct {
	Filter     taskFilter
	States     []string
	Reasons    []string
	Models     []string
	Providers  []string
	Tasks      []taskRow
	First      bool                   // Whether this is the page of the newest tasks.
	Newest     string                 // The URL of the first page.
	Older      string                 // The URL of the next page; empty at the end.
	SearchedTo *timestamppb.Timestamp // How far back the page looked, where it stopped before it was full.
	Self       string                 // The URL of this page.
	Active     bool                   // Whether a task of the page can still change by itself.
}

// taskRow is a task as a row of the list.
type taskRow struct {
	*refractv1.Task

	Waits   string        // Why the task waits; empty if it does not, or if the page did not ask.
	Elapsed time.Duration // How long the newest attempt has been worked on.
}

// State returns the name of the task's state.
func (r taskRow) StateName() string { return stateName(r.GetState()) }

// Ended reports whether the task is terminal.
func (r taskRow) Ended() bool { return terminal(r.GetState()) }

// Took returns the time from the submission to the last change.
func (r taskRow) Took() string { return formatDuration(took(r.Task)) }

// Working reports whether the row shows progress.
func (r taskRow) Working() bool {
	return !r.Ended() && r.GetState() != refractv1.TaskState_TASK_STATE_QUEUED && r.GetTypicalDuration().AsDuration() > 0
}

// Seconds returns for how long the newest attempt has been worked on, at most for as long as is typical.
func (r taskRow) Seconds() int64 { return min(int64(r.Elapsed.Seconds()), r.TypicalSeconds()) }

// TypicalSeconds returns how long an attempt usually takes.
func (r taskRow) TypicalSeconds() int64 { return r.GetTypicalDuration().GetSeconds() }

// ElapsedText returns for how long the newest attempt has been worked on, in words.
func (r taskRow) ElapsedText() string { return formatDuration(r.Elapsed) }

// newTaskRow returns the row of a task. now is the time of the page.
func newTaskRow(t *refractv1.Task, now time.Time) taskRow {
	row := taskRow{Task: t}
	if since := t.GetAttempt().GetCreateTime(); since.IsValid() && !row.Ended() {
		row.Elapsed = max(0, now.Sub(since.AsTime()))
	}
	return row
}

// took returns the time from the submission of a task to its last change.
func took(t *refractv1.Task) time.Duration {
	return max(0, t.GetUpdateTime().AsTime().Sub(t.GetCreateTime().AsTime()))
}

// terminal reports whether a state is the end of a task.
func terminal(s refractv1.TaskState) bool {
	return s == refractv1.TaskState_TASK_STATE_SUCCEEDED || s == refractv1.TaskState_TASK_STATE_FAILED || s == refractv1.TaskState_TASK_STATE_CANCELED
}

// listTasks shows the tenant's tasks, newest first.
func (c *Console) listTasks(v *visit) error {
	query := v.r.URL.Query()
	filter, token := taskFilterOf(query), query.Get(pageParameter)
	list := taskList{
		Filter: filter, States: enumWords("TASK_STATE_", refractv1.TaskState_name), Reasons: enumWords("FAILURE_REASON_", refractv1.FailureReason_name),
		First: token == "", Newest: filter.path(""), Self: filter.path(token),
	}
	if err := c.offerChoices(v, &list); err != nil {
		return err
	}
	req, err := filter.request(token)
	if err != nil {
		return v.showStatus(http.StatusBadRequest, "tasks", "Tasks", err.Error(), list)
	}
	resp, err := c.tasks.ListTasks(v, req)
	if err != nil {
		if p := errorPageOf(err); p.Status == http.StatusBadRequest {
			return v.showStatus(p.Status, "tasks", "Tasks", p.Message, list)
		}
		return err
	}
	now := time.Now()
	for _, t := range resp.GetTasks() {
		row := newTaskRow(t, now)
		list.Active = list.Active || !row.Ended()
		list.Tasks = append(list.Tasks, row)
	}
	list.SearchedTo = resp.GetSearchedToTime()
	if next := resp.GetNextPageToken(); next != "" {
		list.Older = filter.path(next)
	}
	c.askWhyTasksWait(v, list.Tasks)
	return v.show("tasks", "Tasks", list)
}

// offerChoices adds the models and providers that the filter offers, and those that it has.
func (c *Console) offerChoices(v *visit, list *taskList) error {
	resp, err := c.models.ListModels(v, &refractv1.ListModelsRequest{})
	if err != nil {
		return err
	}
	models, providers := []string{list.Filter.Model}, []string{list.Filter.Provider}
	for _, m := range resp.GetModels() {
		models = append(models, m.GetName())
		for _, o := range m.GetOfferings() {
			providers = append(providers, o.GetProvider())
		}
	}
	list.Models, list.Providers = choices(models), choices(providers)
	return nil
}

// choices returns the values in order, once each, without the empty one.
func choices(values []string) []string {
	slices.Sort(values)
	return slices.DeleteFunc(slices.Compact(values), func(s string) bool { return s == "" })
}

// enumWords returns the values of an enum without the prefix of its type, in the order of their numbers and without the first, which
// means none.
func enumWords(prefix string, names map[int32]string) []string {
	type value struct {
		number int32
		name   string
	}
	var values []value
	for number, name := range names {
		if number != 0 {
			values = append(values, value{number, name[len(prefix):]})
		}
	}
	slices.SortFunc(values, func(a, b value) int { return cmp.Compare(a.number, b.number) })
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, v.name)
	}
	return words
}

// mayWait reports whether a task may wait for something that the service can name.
func mayWait(t *refractv1.Task) bool {
	switch t.GetState() {
	case refractv1.TaskState_TASK_STATE_QUEUED, refractv1.TaskState_TASK_STATE_SAVING:
		return true
	case refractv1.TaskState_TASK_STATE_RUNNING:
		return t.GetAttempt().GetState() == refractv1.AttemptState_ATTEMPT_STATE_UNCONFIRMED
	default:
		return false
	}
}

// askWhyTasksWait adds to the newest tasks that wait what they wait for. A list does not say it, so each task is a call of its own. A
// task whose call fails is shown without the answer.
func (c *Console) askWhyTasksWait(v *visit, rows []taskRow) {
	var calls sync.WaitGroup
	free := make(chan struct{}, waitingCalls)
	asked := 0
	for i := range rows {
		if asked == maxWaiting {
			break
		}
		if !mayWait(rows[i].Task) {
			continue
		}
		asked++
		free <- struct{}{}
		calls.Go(func() {
			defer func() { <-free }()
			resp, err := c.tasks.GetTask(v, &refractv1.GetTaskRequest{TaskId: rows[i].GetId()})
			if err == nil {
				rows[i].Waits = resp.GetTask().GetWaiting().GetMessage()
			}
		})
	}
	calls.Wait()
}

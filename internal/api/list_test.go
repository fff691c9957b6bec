package api

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/task"
)

// filters stands in for the table of tasks, and keeps what it was called with.
type filters struct {
	Tasks

	page task.Page // What all calls answer.

	mu    sync.Mutex
	tasks []task.Filter
	ctx   context.Context //nolint:containedctx // That of the last call.
}

func (f *filters) ListTasks(ctx context.Context, filter task.Filter) (task.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks, f.ctx = append(f.tasks, filter), ctx
	return f.page, nil
}

// seen returns the filters of all calls.
func (f *filters) seen() []task.Filter {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tasks
}

func serveFilters(t *testing.T) (refractv1.TaskServiceClient, *filters) {
	t.Helper()
	f := &filters{}
	conn, _ := serveInMemory(t, Config{Tasks: NewTaskService(TaskServiceConfig{Tasks: f})})
	return refractv1.NewTaskServiceClient(conn), f
}

func TestListTasks_RefusesWhatTheContractForbids(t *testing.T) {
	t.Parallel()
	client, f := serveFilters(t)
	many := map[string]string{}
	for i := range 17 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	unspecified, unknown := refractv1.TaskState_TASK_STATE_UNSPECIFIED, refractv1.TaskState(99)
	queued := refractv1.TaskState_TASK_STATE_QUEUED
	for field, req := range map[string]*refractv1.ListTasksRequest{
		"page_size":          {PageSize: 501},
		"page_size ":         {PageSize: -1},
		"page_token":         {PageToken: strings.Repeat("x", 129)},
		"page_token ":        {PageToken: "not one of ours"},
		"states[0]":          {States: []refractv1.TaskState{unspecified}},
		"states[1]":          {States: []refractv1.TaskState{queued, unknown}},
		"states":             {States: []refractv1.TaskState{queued, queued}},
		"failure_reasons[0]": {FailureReasons: []refractv1.FailureReason{0}},
		"labels":             {Labels: many},
		`labels["Team"]`:     {Labels: map[string]string{"Team": "films"}},
		`labels["team"]`:     {Labels: map[string]string{"team": strings.Repeat("v", 129)}},
		"models":             {Models: []string{"luma/ray-2-modify", "luma/ray-2-modify"}},
		"models[0]":          {Models: []string{""}},
		"providers[0]":       {Providers: []string{strings.Repeat("x", 33)}},
		"text":               {Text: strings.Repeat("x", 129)},
		"text ":              {Text: "a\x00b"},
		"create_time_from":   {CreateTimeFrom: &timestamppb.Timestamp{Seconds: 1 << 40}},
		"create_time_to":     {CreateTimeTo: &timestamppb.Timestamp{Nanos: -1}},
	} {
		_, err := client.ListTasks(as(t, "good"), req)
		got := fieldsOfStatus(status.Convert(err))
		if status.Code(err) != codes.InvalidArgument || len(got) == 0 || got[0] != strings.TrimSpace(field) {
			t.Errorf("%v is answered %v and names %q, want %s", req, err, got, field)
		}
	}
	if n := len(f.seen()); n > 0 {
		t.Errorf("the table was read %d times", n)
	}
}

func TestListTasks_FiltersAreThoseOfTheRequest(t *testing.T) {
	t.Parallel()
	client, f := serveFilters(t)
	last := task.ID("01990000-0000-7000-8000-000000000001")
	for _, req := range []*refractv1.ListTasksRequest{
		{},
		{
			PageSize: 500, PageToken: taskPageToken(last), Labels: map[string]string{"team": "films"},
			States:         []refractv1.TaskState{refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED},
			FailureReasons: []refractv1.FailureReason{refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE},
			CreateTimeFrom: timestamppb.New(noon), CreateTimeTo: timestamppb.New(noon.Add(time.Hour)),
			Models: []string{"luma/ray-2-modify", "unknown"}, Providers: []string{"kie"}, Text: "snow",
		},
	} {
		if _, err := client.ListTasks(as(t, "good"), req); err != nil {
			t.Fatal(err)
		}
	}
	// One more than the page is read, to know whether there is another one.
	want := []task.Filter{
		{Tenant: "acme", States: []task.State{}, Reasons: []task.Reason{}, Limit: 51, LimitBytes: listBytes},
		{
			Tenant: "acme", Before: last, States: []task.State{task.Failed, task.Canceled}, Reasons: []task.Reason{task.OutputUnavailable},
			Labels: map[string]string{"team": "films"}, FromTime: noon, ToTime: noon.Add(time.Hour), Limit: 501, LimitBytes: listBytes,
			Models: []string{"luma/ray-2-modify", "unknown"}, Providers: []string{"kie"}, Text: "snow",
		},
	}
	if diff := cmp.Diff(want, f.seen()); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
}

func TestListTasks_TokenContinuesWhereThePageEnded(t *testing.T) {
	t.Parallel()
	listed := []task.Task{{ID: "01990000-0000-7000-8000-000000000003"}, {ID: "01990000-0000-7000-8000-000000000002"}}
	end := &task.Place{ID: "01990000-0000-7000-8000-000000000001", CreateTime: noon}
	for name, tc := range map[string]struct {
		page     task.Page
		size     int32
		tasks    int
		next     task.ID
		searched bool
	}{
		"the end":                      {task.Page{Tasks: listed}, 2, 2, "", false},
		"more tasks":                   {task.Page{Tasks: listed}, 1, 1, listed[0].ID, false},
		"more tasks, and more to find": {task.Page{Tasks: listed, SearchedTo: end}, 1, 1, listed[0].ID, false},
		"more to find":                 {task.Page{Tasks: listed, SearchedTo: end}, 2, 2, end.ID, true},
		"nothing found yet":            {task.Page{SearchedTo: end}, 2, 0, end.ID, true},
		"the named, alone":             {task.Page{Tasks: listed, Named: true}, 1, 1, newestID, false},
		"the named and more":           {task.Page{Tasks: append(slices.Clone(listed), task.Task{ID: end.ID}), Named: true}, 2, 2, listed[1].ID, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, f := serveFilters(t)
			f.page = tc.page
			resp, err := client.ListTasks(as(t, "good"), &refractv1.ListTasksRequest{PageSize: tc.size})
			if err != nil {
				t.Fatal(err)
			}
			next, err := parseTaskPageToken(resp.GetNextPageToken())
			if err != nil || next != tc.next || len(resp.GetTasks()) != tc.tasks {
				t.Errorf("%d tasks, and the next page begins after %q, %v; want %d, %q", len(resp.GetTasks()), next, err, tc.tasks, tc.next)
			}
			if got := resp.GetSearchedToTime(); (got != nil) != tc.searched || got != nil && !got.AsTime().Equal(noon) {
				t.Errorf("searched to %v, want the time: %t", got, tc.searched)
			}
		})
	}
}

func TestOfferingsOf_AreTheOtherNamesOfAModel(t *testing.T) {
	t.Parallel()
	models, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := NewTaskService(TaskServiceConfig{Catalog: func() *catalog.Catalog { return models }})
	got := s.offeringsOf([]string{"no such model", "luma/ray-2-modify"})
	for _, o := range models.Model("luma/ray-2-modify").Offerings {
		if !slices.Contains(got, task.Offering{Provider: o.Provider, Model: o.Remote}) || slices.Contains(got, task.Offering{Provider: o.Provider}) != o.Default {
			t.Errorf("%s has the other names %v, want its own name, and no name: %t", o, got, o.Default)
		}
	}
}

// TestFill_APageEndsAtItsItemsOrItsBytes fills pages with prompts of a size. An escaped prompt takes six bytes for one in JSON.
func TestFill_APageEndsAtItsItemsOrItsBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		items, bytes int
		char         string
		size, want   int
		more         bool
	}{
		{"none", 0, 0, "p", 50, 0, false},
		{"fewer than a page", 49, 10, "p", 50, 49, false},
		{"a page", 50, 10, "p", 50, 50, false},
		{"one more than a page", 51, 10, "p", 50, 50, true},
		{"the bytes of a page", 9, 512 << 10, "p", 50, 7, true},
		{"bytes that JSON escapes", 9, 512 << 10, "\x01", 50, 1, true},
		{"bytes that JSON escapes by one more", 9, 512 << 10, `"`, 50, 3, true},
		{"an item that is too large alone", 2, 5 << 20, "p", 50, 1, true},
		{"the last item is too large", 1, 5 << 20, "p", 50, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prompts := make([]string, tt.items)
			for i := range prompts {
				prompts[i] = strings.Repeat(tt.char, tt.bytes)
			}
			page, more := fill(prompts, tt.size, func(p *string) *refractv1.Task { return &refractv1.Task{Prompt: *p} })
			if len(page) != tt.want || more != tt.more {
				t.Errorf("the page has %d items, and there are more: %t; want %d, %t", len(page), more, tt.want, tt.more)
			}
		})
	}
}

func TestPageSize_HasADefault(t *testing.T) {
	t.Parallel()
	for n, want := range map[int32]int{0: defaultPage, 1: 1, 500: 500} {
		if got := pageSize(n); got != want {
			t.Errorf("pageSize(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestPageTokens_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	id := task.ID("01990000-0000-7000-8000-00000000abcd")
	if got, err := parseTaskPageToken(taskPageToken(id)); got != id || err != nil {
		t.Errorf("the token of task %s gave %q, %v", id, got, err)
	}
	for _, revision := range []int64{1, 400, 1 << 62} {
		if got, err := parseEventPageToken(eventPageToken(revision)); got != revision || err != nil {
			t.Errorf("the token of revision %d gave %d, %v", revision, got, err)
		}
	}
	// A token belongs to one method.
	if got, err := parseTaskPageToken(eventPageToken(7)); err == nil {
		t.Errorf("the token of a revision gave task %q", got)
	}
	if got, err := parseEventPageToken(taskPageToken(id)); err == nil {
		t.Errorf("the token of a task gave revision %d", got)
	}
}

func TestMatching_AllFiltersMustMatch(t *testing.T) {
	t.Parallel()
	if matching(&refractv1.WatchTasksRequest{}) != nil {
		t.Error("a request without filters does not take every entry")
	}
	films := map[string]string{"team": "films", "shot": "7"}
	failed := []refractv1.TaskState{refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED}
	for _, tt := range []struct {
		name  string
		req   *refractv1.WatchTasksRequest
		entry task.Entry
		want  bool
	}{
		{"the state", &refractv1.WatchTasksRequest{States: failed}, task.Entry{Event: task.Event{State: task.Canceled}}, true},
		{"another state", &refractv1.WatchTasksRequest{States: failed}, task.Entry{Event: task.Event{State: task.Running}}, false},
		{"the label", &refractv1.WatchTasksRequest{Labels: map[string]string{"shot": "7"}}, task.Entry{Labels: films}, true},
		{"both labels", &refractv1.WatchTasksRequest{Labels: films}, task.Entry{Labels: films}, true},
		{"one of two labels", &refractv1.WatchTasksRequest{Labels: films}, task.Entry{Labels: map[string]string{"shot": "7"}}, false},
		{"another value", &refractv1.WatchTasksRequest{Labels: map[string]string{"shot": "8"}}, task.Entry{Labels: films}, false},
		{"no label, where it must be empty", &refractv1.WatchTasksRequest{Labels: map[string]string{"cut": ""}}, task.Entry{Labels: films}, false},
		{
			"the label in another state", &refractv1.WatchTasksRequest{States: failed, Labels: films},
			task.Entry{Labels: films, Event: task.Event{State: task.Running}},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := matching(tt.req)(&tt.entry); got != tt.want {
				t.Errorf("%+v matches: %t, want %t", tt.entry, got, tt.want)
			}
		})
	}
}

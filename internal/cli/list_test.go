package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// pages is a remote with a number of tasks. Tokens are offsets.
func pages(t *testing.T, total int) (*clienttest.Service, *[]*refractv1.ListTasksRequest) {
	t.Helper()
	var asked []*refractv1.ListTasksRequest
	return clienttest.Start(t, &clienttest.Service{List: func(req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
		asked = append(asked, req)
		resp := &refractv1.ListTasksResponse{}
		var first int
		_, _ = fmt.Sscan(req.GetPageToken(), &first)
		for i := first; i < min(total, first+int(req.GetPageSize())); i++ {
			task := clienttest.NewTask(int64(i)+1, clienttest.Queued)
			task.Prompt = fmt.Sprintf("task %d\nof a very long list, with a prompt that does not fit in a table", i)
			resp.Tasks = append(resp.Tasks, task)
		}
		if next := first + len(resp.GetTasks()); next < total {
			resp.NextPageToken = fmt.Sprint(next)
		}
		return resp, nil
	}}), &asked
}

func TestList_PagesUpToItsLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		total, limit, want int
		sizes              []int32
	}{
		{total: 0, limit: 50, want: 0, sizes: []int32{50}},
		{total: 1200, limit: 50, want: 50, sizes: []int32{50}},
		{total: 1200, limit: 700, want: 700, sizes: []int32{500, 200}},
		{total: 600, limit: 700, want: 600, sizes: []int32{500, 200}},
		{total: 1200, limit: 0, want: 1200, sizes: []int32{500, 500, 500}},
	} {
		t.Run(fmt.Sprintf("%d of %d", tt.limit, tt.total), func(t *testing.T) {
			t.Parallel()
			r, asked := pages(t, tt.total)
			exit, out, errs := command(t, r, "list", "--json", fmt.Sprintf("--limit=%d", tt.limit))
			if exit != 0 || len(jsonLines(t, out)) != tt.want {
				t.Errorf("exit %d: %s, %d tasks, want %d", exit, errs, strings.Count(out, "\n"), tt.want)
			}
			var sizes []int32
			for _, req := range *asked {
				sizes = append(sizes, req.GetPageSize())
			}
			if diff := cmp.Diff(tt.sizes, sizes); diff != "" {
				t.Errorf("page sizes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestList_PrintsATableOfWhatMatches(t *testing.T) {
	t.Parallel()
	r, asked := pages(t, 1)
	exit, out, errs := command(t, r, "list", "--state=running", "--state", "FAILED,CANCELED", "--label=team=a;b",
		"--model=luma/ray-2-modify", "--provider=kie", "--provider=luma", "--text=a, b")
	want := `TASK                                  STATE       CREATED               PROVIDER      PROMPT
01990000-0000-7000-8000-000000000001  QUEUED      2026-11-05T12:00:00Z  kie           task 0 of a very long list, with a prompt that …
`
	if diff := cmp.Diff(want, out); diff != "" || exit != 0 {
		t.Errorf("exit %d: %s, output (-want +got):\n%s", exit, errs, diff)
	}
	filter := &refractv1.ListTasksRequest{
		PageSize: 50, States: []refractv1.TaskState{clienttest.Running, clienttest.Failed, clienttest.Canceled}, Labels: map[string]string{"team": "a;b"},
		Models: []string{"luma/ray-2-modify"}, Providers: []string{"kie", "luma"}, Text: "a, b",
	}
	if diff := cmp.Diff([]*refractv1.ListTasksRequest{filter}, *asked, protocmp.Transform()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestList_RefusesWhatIsNoState(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"DONE", "UNSPECIFIED"} {
		exit, _, errs := command(t, &clienttest.Service{Address: "127.0.0.1:1"}, "list", "--state="+state)
		if exit != 1 || !strings.HasPrefix(errs, "refract: --state="+state+" is no state: there are QUEUED,") {
			t.Errorf("exit %d: %s", exit, errs)
		}
	}
}

// TestList_GoesOnAfterPagesWithoutTasks gives pages without tasks, as of a service that has to look at many.
func TestList_GoesOnAfterPagesWithoutTasks(t *testing.T) {
	t.Parallel()
	tokens := map[string]string{"": "1", "1": "2", "2": "3", "3": ""}
	r := clienttest.Start(t, &clienttest.Service{List: func(req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
		resp := &refractv1.ListTasksResponse{NextPageToken: tokens[req.GetPageToken()]}
		if req.GetPageToken() == "2" {
			resp.Tasks = append(resp.Tasks, clienttest.NewTask(1, clienttest.Failed))
		}
		return resp, nil
	}})
	for _, args := range [][]string{{"list", "--json"}, {"list", "--json", "--limit=0", "--text=snow"}} {
		if exit, out, errs := command(t, r, args...); exit != 0 || len(jsonLines(t, out)) != 1 {
			t.Errorf("%q: exit %d: %s, output %q, want one task", args, exit, errs, out)
		}
	}
	if exit, out, errs := command(t, r, "retry", "--state=FAILED", "--dry-run"); exit != 0 || !strings.HasPrefix(out, "1 tasks match") {
		t.Errorf("exit %d: %s, output %q, want one task", exit, errs, out)
	}
}

package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// failures is a remote with failed tasks, in pages, and what was asked of it. Retries of the tasks with an answer get that.
func failures(t *testing.T, total int, answers map[int]error) (r *clienttest.Service, asked *[]*refractv1.ListTasksRequest, retried *[]string) {
	t.Helper()
	asked, retried = &[]*refractv1.ListTasksRequest{}, &[]string{}
	id := func(i int) string { return fmt.Sprintf("01990000-0000-7000-8000-%012d", i) }
	r = clienttest.Start(t, &clienttest.Service{
		List: func(req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
			*asked = append(*asked, req)
			resp := &refractv1.ListTasksResponse{}
			var first int
			_, _ = fmt.Sscan(req.GetPageToken(), &first)
			for i := first; i < min(total, first+int(req.GetPageSize())); i++ {
				task := clienttest.NewTask(3, clienttest.Failed)
				task.Id = id(i)
				task.Failure = &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, Retryable: true}
				if i%3 == 2 {
					task.Failure.Reason = refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED
				}
				resp.Tasks = append(resp.Tasks, task)
			}
			if next := first + len(resp.GetTasks()); next < total {
				resp.NextPageToken = fmt.Sprint(next)
			}
			return resp, nil
		},
		Retry: func(req *refractv1.RetryTaskRequest) (*refractv1.Task, error) {
			*retried = append(*retried, req.GetTaskId())
			for i, err := range answers {
				if id(i) == req.GetTaskId() {
					return nil, err
				}
			}
			task := clienttest.NewTask(4, clienttest.Queued)
			task.Id = req.GetTaskId()
			return task, nil
		},
	})
	return r, asked, retried
}

func TestRetryMany_CountsFirst(t *testing.T) {
	t.Parallel()
	r, asked, retried := failures(t, 250, nil)
	exit, out, errs := command(t, r, "retry", "--state", "FAILED", "--reason", "OUTPUT_UNAVAILABLE,provider_failed", "--label=team=a", "--dry-run")
	if exit != 0 || len(*retried) != 0 {
		t.Fatalf("exit %d: %s; %d retried", exit, errs, len(*retried))
	}
	want := `250 tasks match
    167  FAILED with OUTPUT_UNAVAILABLE: each retry fetches the result again for free
     83  FAILED with PROVIDER_FAILED: each retry adopts a result or an attempt that still runs for free, and pays for another attempt without one
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	filter := &refractv1.ListTasksRequest{
		PageSize: 100, States: []refractv1.TaskState{clienttest.Failed}, Labels: map[string]string{"team": "a"},
		FailureReasons: []refractv1.FailureReason{refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED},
	}
	if diff := cmp.Diff(filter, (*asked)[0], protocmp.Transform()); diff != "" || len(*asked) != 3 {
		t.Errorf("%d requests, the first (-want +got):\n%s", len(*asked), diff)
	}
}

func TestRetryMany_AsksAPersonAndTakesYesFromAProgram(t *testing.T) {
	t.Parallel()
	r, _, retried := failures(t, 3, nil)
	if exit, _, errs := command(t, r, "retry", "--state=FAILED"); exit != 1 || len(*retried) != 0 || !strings.Contains(errs, "pass --yes") {
		t.Errorf("without a terminal: exit %d, %d retried: %s", exit, len(*retried), errs)
	}
	exit, out, errs := command(t, r, "retry", "--state=FAILED", "--yes")
	if exit != 0 || len(*retried) != 3 || !strings.Contains(out, "000000000002  QUEUED\n3 retried, 0 went on or were removed meanwhile, 0 not retried\n") {
		t.Errorf("exit %d: %s; %d retried:\n%s", exit, errs, len(*retried), out)
	}
}

// TestRetryMany_CallsOnceForEachTask has tasks that went on meanwhile, and calls whose outcome is unknown.
func TestRetryMany_CallsOnceForEachTask(t *testing.T) {
	t.Parallel()
	r, _, retried := failures(t, 6, map[int]error{
		1: status.Error(codes.FailedPrecondition, "the task is not FAILED"), 2: clienttest.ErrDraining, 3: status.Error(codes.NotFound, "no such task"),
	})
	exit, out, errs := command(t, r, "retry", "--reason=provider_failed", "--yes", "--new-attempt")
	if unique := slices.Compact(slices.Clone(*retried)); exit != 1 || len(*retried) != 6 || len(unique) != 6 {
		t.Errorf("exit %d after %d calls for %d tasks, want one each", exit, len(*retried), len(unique))
	}
	if !strings.Contains(out, "3 retried, 2 went on or were removed meanwhile, 1 not retried\n") || !strings.Contains(out, "PROVIDER_FAILED: each retry pays for another attempt\n") {
		t.Errorf("output:\n%s", out)
	}
	if !strings.Contains(errs, "000000000002  not retried: ") || !strings.Contains(errs, "1 tasks could not be retried") {
		t.Errorf("errors:\n%s", errs)
	}
	dead := map[int]error{}
	for i := range 20 {
		dead[i] = clienttest.ErrDraining
	}
	r, _, retried = failures(t, 20, dead)
	if exit, _, errs := command(t, r, "retry", "--state=failed", "--yes"); exit != 1 || len(*retried) != maxRetryErrors || !strings.Contains(errs, "given up") {
		t.Errorf("a service in trouble: exit %d after %d calls: %s", exit, len(*retried), errs)
	}
}

func TestRetryMany_RefusesWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	r, asked, retried := failures(t, 1, nil)
	for _, args := range [][]string{
		{},
		{clienttest.TaskID, "--state=FAILED"},
		{clienttest.TaskID, "--dry-run"},
		{clienttest.TaskID, "--yes"},
		{"--dry-run"},
		{"--state=RUNNING"},
		{"--state=odd"},
		{"--reason=odd"},
		{"--state=FAILED", "--wait"},
	} {
		if exit, _, errs := command(t, r, append([]string{"retry"}, args...)...); exit != 1 || errs == "" {
			t.Errorf("retry %v: exit %d: %s", args, exit, errs)
		}
	}
	if len(*asked)+len(*retried) > 0 {
		t.Error("the service was called")
	}
}

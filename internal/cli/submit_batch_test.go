package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// batching is a remote that refuses what has no prompt, and notes how many items came in each call.
func batching(t *testing.T, calls *[]int) *clienttest.Service {
	t.Helper()
	return clienttest.Start(t, &clienttest.Service{Batch: func(req *refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error) {
		*calls = append(*calls, len(req.GetRequests()))
		resp := &refractv1.BatchSubmitTasksResponse{}
		for _, item := range req.GetRequests() {
			r := &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Task{Task: &refractv1.Task{Id: clienttest.TaskID}}}
			if item.GetPrompt() == "" {
				r.Outcome = &refractv1.BatchSubmitTasksResult_Status{Status: status.New(codes.InvalidArgument, "prompt: is empty").Proto()}
			}
			resp.Results = append(resp.Results, r)
		}
		return resp, nil
	}})
}

func batchFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "batch.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSubmit_BatchPrintsTheResultOfEachLine(t *testing.T) {
	t.Parallel()
	var calls []int
	r := batching(t, &calls)
	file := batchFile(t, `{"requestId":"a","prompt":"snow","source":{"uri":"https://example.com/a.mp4"}}`, "", `{"requestId":"b"}`)
	exit, out, errs := command(t, r, "submit", "--batch="+file)
	if want := "a  task " + clienttest.TaskID + "\nb  refused: prompt: is empty\n"; exit != 1 || out != want || !strings.Contains(errs, "1 of 2 submissions were refused") {
		t.Errorf("exit %d, output %q, errors %q, want 1 with %q", exit, out, errs, want)
	}
	if exit, out, _ := command(t, r, "submit", "--batch="+file, "--json"); exit != 1 || len(jsonLines(t, out)) != 2 {
		t.Errorf("with --json: exit %d, output %q, want 1 with two lines", exit, out)
	}
}

func TestSubmit_BatchIsCutIntoCalls(t *testing.T) {
	t.Parallel()
	var calls []int
	var lines []string
	for i := range 2100 {
		prompt := "snow"
		if i < 1000 {
			prompt = strings.Repeat("x", 3000)
		}
		lines = append(lines, fmt.Sprintf(`{"requestId":"r%d","prompt":%q}`, i, prompt))
	}
	exit, out, errs := command(t, batching(t, &calls), "submit", "--batch="+batchFile(t, lines...))
	if exit != 0 || strings.Count(out, "\n") != 2100 {
		t.Fatalf("exit %d with %d lines: %s", exit, strings.Count(out, "\n"), errs)
	}
	if len(calls) != 3 || calls[0] < 600 || calls[0] > 800 || calls[1] != 1000 {
		t.Errorf("calls of %v items, want the first cut by its bytes and the second by its items", calls)
	}
}

func TestSubmit_BatchRefusesWhatItCantSubmitAgain(t *testing.T) {
	t.Parallel()
	var calls []int
	r := batching(t, &calls)
	for want, file := range map[string]string{
		"line 2 of":           batchFile(t, `{"requestId":"a"}`, `{"requestId":`),
		"has no requestId":    batchFile(t, `{"prompt":"snow"}`),
		"without submissions": batchFile(t, "", " "),
	} {
		if exit, _, errs := command(t, r, "submit", "--batch="+file); exit != 1 || !strings.Contains(errs, want) {
			t.Errorf("exit %d with %q, want 1 with %q", exit, errs, want)
		}
	}
	for want, args := range map[string][]string{
		"--prompt": {"--video=https://example.com/a.mp4"}, "--batch": {"--prompt=x"},
		"takes every field from the lines": {"--model=ray-2", "--batch=" + batchFile(t, `{"requestId":"a"}`)},
		"can't be used together":           {"--video=https://example.com/a.mp4", "--prompt=x", "--batch=" + batchFile(t, `{"requestId":"a"}`)},
	} {
		if exit, _, errs := command(t, r, append([]string{"submit"}, args...)...); exit != 1 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d with %q, want 1 with %q", args, exit, errs, want)
		}
	}
	if len(calls) != 0 {
		t.Errorf("%d calls were made", len(calls))
	}
}

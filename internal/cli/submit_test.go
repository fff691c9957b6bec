package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

// jsonLines reads output that must be one JSON object a line.
func jsonLines(t *testing.T, out string) (objects []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q is no JSON: %v", line, err)
		}
		objects = append(objects, object)
	}
	return objects
}

// finishing is a remote whose task is submitted and succeeds, with one file as output.
func finishing(t *testing.T, f *clienttest.FileServer) (*clienttest.Service, *refractv1.Task) {
	t.Helper()
	done := clienttest.NewTask(3, clienttest.Succeeded)
	done.Outputs = []*refractv1.Output{f.Output()}
	return clienttest.Start(t, &clienttest.Service{
		Submit: func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
			return clienttest.NewTask(1, clienttest.Queued), nil
		},
		Get: func() (*refractv1.Task, error) { return done, nil },
		Watch: []func(clienttest.WatchStream) error{
			clienttest.Sends(clienttest.ErrDraining, clienttest.Event(1, clienttest.Queued, "submitted")),
			clienttest.Sends(nil, clienttest.Event(2, clienttest.Running, "kie accepted attempt 1"), clienttest.Event(3, clienttest.Succeeded, "1 output saved")),
		},
	}), done
}

func TestSubmit_SetsEveryFieldOfTheRequest(t *testing.T) {
	t.Parallel()
	var got *refractv1.SubmitTaskRequest
	r := clienttest.Start(t, &clienttest.Service{Submit: func(req *refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
		got = req
		return clienttest.NewTask(1, clienttest.Queued), nil
	}})
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=a neon city", "--request-id=order-1", "--provider=kie",
		"--watermark=me", "--priority=-5", "--label", "team=a;b=c", "--label", "shot=7,8", "--deadline=90m", "--max-attempts=2",
		"--fallback-provider=luma-agents", "--fallback-provider=luma", "--model=ray-2", "--parameter=resolution=720p", "--parameter=seed=7", "--strength=Flex_2", "--first-frame=https://example.com/a.png", "--webhook-uri=https://example.com/hook")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	want := &refractv1.SubmitTaskRequest{
		RequestId: "order-1", Prompt: "a neon city", Provider: "kie", Watermark: "me", Priority: -5, MaxAttempts: 2,
		Source:   &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/a.mp4"}},
		Labels:   map[string]string{"team": "a;b=c", "shot": "7,8"},
		Deadline: durationpb.New(90 * time.Minute), FallbackProviders: []string{"luma-agents", "luma"},
		Model: "ray-2", Parameters: &structpb.Struct{Fields: map[string]*structpb.Value{
			"resolution": structpb.NewStringValue("720p"), "seed": structpb.NewNumberValue(7),
		}}, Strength: refractv1.Strength_STRENGTH_FLEX_2, FirstFrameUri: "https://example.com/a.png", WebhookUri: "https://example.com/hook",
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	// A field that is added to the contract needs a flag, which the command line above then uses.
	for fields, i := got.ProtoReflect().Descriptor().Fields(), 0; i < fields.Len(); i++ {
		if field := fields.Get(i); !got.ProtoReflect().Has(field) {
			t.Errorf("no flag sets the field %s of SubmitTaskRequest", field.Name())
		}
	}
	if !strings.HasPrefix(out, "task        "+clienttest.TaskID+"\nrequest id  order-1\nstate       QUEUED (revision 1)\n") {
		t.Errorf("output:\n%s", out)
	}
}

func TestSubmit_TakesEveryStrengthOfTheContract(t *testing.T) {
	t.Parallel()
	for number, name := range refractv1.Strength_name {
		strength := refractv1.Strength(number)
		if got, err := parseStrength(strengthName(strength)); got != strength || err != nil {
			t.Errorf("%s as --strength=%s is read as %s, %v", name, strengthName(strength), got, err)
		}
	}
	for _, name := range []string{"flex", "unspecified", "flex_4"} {
		if got, err := parseStrength(name); err == nil {
			t.Errorf("--strength=%s is read as %s, want an error", name, got)
		}
	}
}

func TestSubmit_WaitsThroughAnOutageAndDownloads(t *testing.T) {
	t.Parallel()
	f := clienttest.ServeFile(t, &clienttest.FileServer{Cuts: []int{1000}})
	r, done := finishing(t, f)
	path := filepath.Join(t.TempDir(), "x.mp4")
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--request-id=order-1", "--output="+path, "--token="+clienttest.Token)
	if exit != 0 || errs != "" {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	want := "task " + clienttest.TaskID + `
     +0.0s  QUEUED      submitted
                        connection lost, resuming
     +1.0s  RUNNING     kie accepted attempt 1
     +2.0s  SUCCEEDED   1 output saved
                        download cut after 1000 of 300000 bytes, resuming
path    ` + path + `
size    300000 bytes
sha256  ` + done.GetOutputs()[0].GetSha256() + "\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, f.Content) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
	for _, header := range append(f.Authorizations(), r.Authorizations()...) {
		if header != "Bearer "+clienttest.Token {
			t.Errorf("authorization was %q", header)
		}
	}
}

func TestSubmit_KeepsProgressOutOfJSON(t *testing.T) {
	t.Parallel()
	r, done := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	path := filepath.Join(t.TempDir(), "x.mp4")
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--wait", "--output="+path, "--json")
	if exit != 0 || len(jsonLines(t, out)) != 1 {
		t.Fatalf("exit %d, output:\n%s", exit, out)
	}
	var got refractv1.Task
	if err := protojson.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(done, &got, protocmp.Transform()); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	for _, want := range []string{"request id ", "task " + clienttest.TaskID, "kie accepted attempt 1", "path    " + path} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is missing in:\n%s", want, errs)
		}
	}
}

func TestSubmit_LeavesNothingOfADamagedDownload(t *testing.T) {
	t.Parallel()
	r, done := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	done.Outputs[0].Sha256 = strings.Repeat("0", 64)
	dir := t.TempDir()
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--output="+dir)
	if exit != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "the file is damaged") || strings.Contains(out, "path  ") {
		t.Errorf("exit %d, output:\n%s\nerror: %s", exit, out, errs)
	}
	if got := clienttest.FileNames(t, dir); len(got) > 0 {
		t.Errorf("left in the folder: %q", got)
	}
}

func TestSubmit_PrintsHowATaskEnded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		end   refractv1.TaskState
		cause *refractv1.Failure
		want  string
	}{
		{"canceled", clienttest.Canceled, nil, "task " + clienttest.TaskID + " was canceled; `refract retry " + clienttest.TaskID + "` continues it"},
		{
			"refused", clienttest.Failed, &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_INPUT_REJECTED, Message: "The prompt was\nrefused.", Payment: refractv1.Payment_PAYMENT_NONE},
			"task " + clienttest.TaskID + " failed: INPUT_REJECTED: The prompt was refused (nothing was paid); a retry of the same request does not help",
		},
		{
			"unknown", clienttest.Failed, &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_OUTCOME_UNKNOWN, Message: "No answer came.", Retryable: true, Payment: refractv1.Payment_PAYMENT_UNKNOWN},
			"task " + clienttest.TaskID + " failed: OUTCOME_UNKNOWN: No answer came (it is unknown whether the attempt was paid for); `refract retry " + clienttest.TaskID + "` can help",
		},
		{
			"paid", clienttest.Failed, &refractv1.Failure{Reason: refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, Message: "The link is dead.", Retryable: true, Payment: refractv1.Payment_PAYMENT_PAID},
			"task " + clienttest.TaskID + " failed: OUTPUT_UNAVAILABLE: The link is dead (the attempt was paid for, unless the provider refunds it); `refract retry " + clienttest.TaskID + "` can help",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			end := clienttest.NewTask(2, tt.end)
			end.Failure = tt.cause
			r := clienttest.Start(t, &clienttest.Service{
				Submit: func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
					return clienttest.NewTask(1, clienttest.Queued), nil
				},
				Get:   func() (*refractv1.Task, error) { return end, nil },
				Watch: []func(clienttest.WatchStream) error{clienttest.Sends(nil, clienttest.Event(1, clienttest.Queued, "submitted"), clienttest.Event(2, tt.end, "the end"))},
			})
			exit, _, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--wait")
			if exit != 1 || errs != "refract: "+tt.want+"\n" {
				t.Errorf("exit %d\ngot  %swant refract: %s", exit, errs, tt.want)
			}
		})
	}
}

func TestSubmit_PrintsHowToRepeatWhenTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Submit: func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) { return nil, clienttest.ErrDraining }})
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x")
	id, found := strings.CutPrefix(strings.TrimSpace(out), "request id ")
	if exit != 1 || !found || r.Calls()["SubmitTask"] != 4 ||
		!strings.HasSuffix(errs, "submitting again with --request-id="+id+" makes no second task\n") {
		t.Errorf("exit %d after %d calls, output %q, error %q", exit, r.Calls()["SubmitTask"], out, errs)
	}
}

func TestSubmit_PrintsHowToContinueWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := clienttest.Start(t, &clienttest.Service{
		Submit: func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
			return clienttest.NewTask(1, clienttest.Queued), nil
		},
		Watch: []func(clienttest.WatchStream) error{func(stream clienttest.WatchStream) error {
			cancel()
			<-stream.Context().Done()
			return nil
		}},
	})
	var out, errs bytes.Buffer
	exit := run(ctx, []string{"submit", "--video=https://example.com/a.mp4", "--prompt=x", "--wait", "--address=" + r.Address}, Console{Out: &out, Err: &errs})
	if exit != 1 || !strings.Contains(errs.String(), "the task goes on: `refract watch "+clienttest.TaskID+"`") {
		t.Errorf("exit %d: %s", exit, errs.String())
	}
}

func TestSubmit_FollowsATaskWhoseOldEventsAreGone(t *testing.T) {
	t.Parallel()
	r, _ := finishing(t, clienttest.ServeFile(t, &clienttest.FileServer{}))
	r.Watch = []func(clienttest.WatchStream) error{
		clienttest.Sends(status.Error(codes.OutOfRange, "the oldest revision is 3")),
		clienttest.Sends(nil, clienttest.Snapshot(clienttest.NewTask(3, clienttest.Succeeded))),
	}
	exit, out, errs := command(t, r, "submit", "--video=https://example.com/a.mp4", "--prompt=x", "--output="+t.TempDir())
	if exit != 0 || !strings.Contains(out, "+2.0s  SUCCEEDED   revision 3") {
		t.Errorf("exit %d: %s\n%s", exit, errs, out)
	}
}

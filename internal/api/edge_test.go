package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
	"github.com/refract-video/refract/internal/task"
)

// hung is how long a test waits for what must happen, so that only one that hangs reaches it.
const hung = 5 * time.Minute

// shelf has tasks to list.
type shelf struct {
	Tasks
	all []task.Task
}

func (s *shelf) ListTasks(_ context.Context, f task.Filter) (task.Page, error) {
	begin := 0
	if f.Before != "" {
		begin = slices.IndexFunc(s.all, func(t task.Task) bool { return t.ID == f.Before }) + 1
	}
	return task.Page{Tasks: s.all[begin:min(len(s.all), begin+f.Limit)]}, nil
}

func (s *shelf) TaskEvents(_ context.Context, _ task.ID, after int64, limit int) ([]task.Event, error) {
	var events []task.Event
	for revision := after + 1; revision <= 400 && len(events) < limit; revision++ {
		events = append(events, task.Event{Revision: revision, State: task.Running, Message: strings.Repeat("m", 40_000)})
	}
	return events, nil
}

func (s *shelf) Task(context.Context, string, task.ID) (task.Task, error) { return s.all[0], nil }

// serveEdge serves the API on a socket. The token "good" is a tenant's.
func serveEdge(t *testing.T, tasks *shelf) *grpc.ClientConn {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	statuses := &Statuses{Unavailable: func(error) bool { return false }, Log: log}
	server := NewServer(Config{
		Tasks:     NewTaskService(TaskServiceConfig{Tasks: tasks, Events: tasks, Statuses: statuses}),
		Models:    &ModelService{},
		Webhooks:  &WebhookService{},
		Operators: &OperatorService{}, Callbacks: &CallbackService{}, Statuses: statuses, Meters: noop.NewMeterProvider(), Log: log,
		Authenticator: testTenants,
	})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return conn
}

func as(t *testing.T, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// bytesCodec sends bytes as they are.
type bytesCodec struct{ encoding.CodecV2 }

func (c bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// TestServer_RefusesWithFewWords makes calls that are refused, each with more of the caller's text than a status may hold.
func TestServer_RefusesWithFewWords(t *testing.T) {
	t.Parallel()
	conn := serveEdge(t, &shelf{})
	raw := grpc.ForceCodecV2(bytesCodec{encoding.GetCodecV2(protocodec.Name)})
	long := strings.Repeat("é", 500_000)
	encoded := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	many := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil), 700_000)
	wrong := map[string]string{}
	for i := range 16 {
		wrong[fmt.Sprintf("%s %d", long[:20_000], i)] = long[:20_000]
	}
	for name, tc := range map[string]struct {
		method, token string
		body          []byte
		code          codes.Code
		field         string
	}{
		"too many items":              {refractv1.TaskService_BatchSubmitTasks_FullMethodName, "good", many, codes.InvalidArgument, "requests"},
		"too many items of strangers": {refractv1.TaskService_BatchSubmitTasks_FullMethodName, "bad", many, codes.Unauthenticated, ""},
		"too many labels":             {refractv1.TaskService_SubmitTask_FullMethodName, "good", bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), nil), 700_000), codes.InvalidArgument, "labels"},
		"long labels":                 {refractv1.TaskService_SubmitTask_FullMethodName, "good", encoded(&refractv1.SubmitTaskRequest{Labels: wrong}), codes.InvalidArgument, "request_id"},
		"a long id":                   {refractv1.TaskService_GetTask_FullMethodName, "good", encoded(&refractv1.GetTaskRequest{TaskId: long}), codes.InvalidArgument, "task_id"},
		"no message":                  {refractv1.TaskService_SubmitTask_FullMethodName, "good", []byte("\xff\xff\xff"), codes.InvalidArgument, ""},
		"no method":                   {"/refract.v1.TaskService/" + long[:8_000], "good", nil, codes.Unimplemented, ""},
		"no service":                  {"/" + strings.Repeat("x", 8_000) + "/Get", "good", nil, codes.Unimplemented, ""},
		"a time of no calendar":       {refractv1.TaskService_ListTasks_FullMethodName, "good", encoded(&refractv1.ListTasksRequest{CreateTimeTo: &timestamppb.Timestamp{Seconds: 1 << 62}}), codes.InvalidArgument, "create_time_to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := status.Convert(conn.Invoke(as(t, tc.token), tc.method, tc.body, &refractv1.GetTaskResponse{}, raw))
			size := proto.Size(st.Proto())
			if st.Code() != tc.code || size > publicerr.MaxSize {
				t.Errorf("answered %v with %d bytes: %.200s; want %v with at most %d", st.Code(), size, st.Message(), tc.code, publicerr.MaxSize)
			}
			var fields []string
			for _, d := range st.Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					for _, v := range bad.GetFieldViolations() {
						fields = append(fields, v.GetField())
					}
				}
			}
			if len(fields) > publicerr.MaxViolations || tc.field != "" && (len(fields) == 0 || fields[0] != tc.field) {
				t.Errorf("it names %d fields, %.200q, want %s first", len(fields), fields, tc.field)
			}
		})
	}
}

// TestServer_BoundsMetadata sends as much as a stranger could make us hold.
func TestServer_BoundsMetadata(t *testing.T) {
	t.Parallel()
	conn := serveEdge(t, &shelf{})
	ctx := metadata.AppendToOutgoingContext(as(t, "good"), "x-pad", strings.Repeat("x", 64<<10))
	if _, err := refractv1.NewTaskServiceClient(conn).ListTasks(ctx, &refractv1.ListTasksRequest{}); err == nil {
		t.Error("a call with 64 KiB of metadata was answered")
	}
	if _, err := refractv1.NewTaskServiceClient(conn).ListTasks(as(t, "good"), &refractv1.ListTasksRequest{}); err != nil {
		t.Errorf("the next call ended with %v", err)
	}
}

// TestServer_SpeaksNoHTTP1 sends what a browser sends for a page of another site.
func TestServer_SpeaksNoHTTP1(t *testing.T) {
	t.Parallel()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", serveEdge(t, &shelf{}).Target())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hung))
	_, _ = io.WriteString(conn, "POST /refract.v1.TaskService/ListTasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		resp.Body.Close()
		t.Errorf("HTTP/1 is answered %d", resp.StatusCode)
	}
}

// TestLists_FitIntoAnAnswer lists tasks and events of the largest kind, in pages of the largest size. Without the bound of fill
// the first page is refused by the client.
func TestLists_FitIntoAnAnswer(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	add := func(n int, prompt string) {
		for range n {
			s.all = append(s.all, task.Task{ID: task.ID(uuid.NewString()), State: task.Queued, Spec: task.Spec{Prompt: prompt}})
		}
	}
	add(300, strings.Repeat("ü", 6000))
	add(201, strings.Repeat("\x01", 6000))
	add(150, strings.Repeat("🎬", 6000)) // With the next, a page of long prompts and of short ones that JSON makes long.
	add(350, strings.Repeat("\x01", 850))
	client := refractv1.NewTaskServiceClient(serveEdge(t, s))
	var got, want []string
	for _, known := range s.all {
		want = append(want, string(known.ID))
	}
	pages := 0
	for token := ""; pages == 0 || token != ""; pages++ {
		resp, err := client.ListTasks(as(t, "good"), &refractv1.ListTasksRequest{PageSize: 500, PageToken: token})
		if err != nil {
			t.Fatalf("page %d: %v", pages+1, err)
		}
		for _, listed := range resp.GetTasks() {
			got = append(got, listed.GetId())
		}
		if text, err := protojson.Marshal(resp); err != nil || len(text) > 4<<20 {
			t.Errorf("page %d has %d bytes in JSON, %v", pages+1, len(text), err)
		}
		token = resp.GetNextPageToken()
	}
	if !slices.Equal(got, want) || pages < 2 {
		t.Errorf("%d pages have %d tasks, want all %d in their order", pages, len(got), len(want))
	}
	var revisions int64
	for token, first := "", true; first || token != ""; first = false {
		resp, err := client.ListTaskEvents(as(t, "good"), &refractv1.ListTaskEventsRequest{TaskId: uuid.NewString(), PageSize: 500, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range resp.GetEvents() {
			if revisions++; e.GetRevision() != revisions {
				t.Fatalf("revision %d follows %d", e.GetRevision(), revisions-1)
			}
		}
		token = resp.GetNextPageToken()
	}
	if revisions != 400 {
		t.Errorf("%d events were listed, want 400", revisions)
	}
}

// TestShrink_ABatchFitsIntoAnAnswer has the largest results that there are. Without shrink they have more than 8 MB.
func TestShrink_ABatchFitsIntoAnAnswer(t *testing.T) {
	t.Parallel()
	refusal := publicerr.Invalid(strings.Repeat("m", 1000), publicerr.Violation("prompt", strings.Repeat("d", 250)),
		publicerr.Violation("source", strings.Repeat("d", 250)), publicerr.Violation("model", strings.Repeat("d", 250)),
		publicerr.Violation("priority", strings.Repeat("d", 250)), publicerr.Violation("deadline", strings.Repeat("d", 250)),
		publicerr.Violation("labels", strings.Repeat("d", 250)), publicerr.Violation("provider", strings.Repeat("d", 250))).Proto()
	for name, refused := range map[string]int{"refusals": 1000, "tasks": 0, "both": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := &refractv1.BatchSubmitTasksResponse{}
			for i := range 1000 {
				r := &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Task{Task: &refractv1.Task{
					Id: "t", RequestId: fmt.Sprint(i), State: refractv1.TaskState_TASK_STATE_QUEUED, Revision: 1, Prompt: strings.Repeat("p", 7000),
				}}}
				if i < refused {
					r = &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Status{Status: refusal}}
				}
				resp.Results = append(resp.Results, r)
			}
			shrink(resp.GetResults())
			if size := proto.Size(resp); size > 4<<20 {
				t.Errorf("it has %d bytes", size)
			}
			for i, r := range resp.GetResults() {
				if i < refused && (r.GetStatus().GetCode() != int32(codes.InvalidArgument) || len(r.GetStatus().GetDetails()) == 0) ||
					i >= refused && (r.GetTask().GetId() != "t" || r.GetTask().GetRequestId() != fmt.Sprint(i) || r.GetTask().GetRevision() != 1) {
					t.Fatalf("result %d is %v", i, r)
				}
			}
		})
	}
}

func TestReceive_StopsWhenTheCallerIsGone(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	err := receive(gone, func(any) error {
		t.Error("the request was decoded")
		return nil
	}, &refractv1.GetTaskRequest{}, protovalidate.GlobalValidator)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := (&TaskService{}).BatchSubmitTasks(gone, &refractv1.BatchSubmitTasksRequest{Requests: []*refractv1.SubmitTaskRequest{{}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a batch ended with %v", err)
	}
}

// TestSentences_EveryPatternIsSaidInWords walks the contract.
func TestSentences_EveryPatternIsSaidInWords(t *testing.T) {
	t.Parallel()
	var walk func(md protoreflect.MessageDescriptor)
	walk = func(md protoreflect.MessageDescriptor) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			rules, err := protovalidate.ResolveFieldRules(fd)
			if err != nil {
				continue
			}
			for _, pattern := range []string{rules.GetString().GetPattern(), rules.GetMap().GetKeys().GetString().GetPattern(), rules.GetMap().GetValues().GetString().GetPattern(), rules.GetRepeated().GetItems().GetString().GetPattern()} {
				if pattern != "" && patterns[pattern] == "" {
					t.Errorf("%s: nothing says what %s means", fd.FullName(), pattern)
				}
			}
		}
		for i := range md.Messages().Len() {
			walk(md.Messages().Get(i))
		}
	}
	for _, file := range []protoreflect.FileDescriptor{
		refractv1.File_refract_v1_task_service_proto, refractv1.File_refract_v1_operator_service_proto, refractv1.File_refract_v1_source_proto,
	} {
		for i := range file.Messages().Len() {
			walk(file.Messages().Get(i))
		}
	}
	s := &Statuses{Unavailable: func(error) bool { return false }}
	st := s.describe(t.Context(), protovalidate.Validate(&refractv1.SubmitTaskRequest{RequestId: "a b", Labels: map[string]string{"Team": "\x00"}}))
	if strings.ContainsAny(st.Message(), "^$[]`\\") && !strings.Contains(st.Message(), `labels["Team"]: must be 1 to 63`) || strings.Contains(st.Message(), "regex") {
		t.Errorf("it says %q", st.Message())
	}
}

// TestContract_BlankIsWhatShowsNothing has texts that show nothing and texts that do.
func TestContract_BlankIsWhatShowsNothing(t *testing.T) {
	t.Parallel()
	for text, blank := range map[string]bool{
		" ": true, "\t\n\r": true, "\u00a0": true, "\u2003\u3000": true, "\u200b": true, "\ufeff": true, "\u2060\u200d": true,
		"\u2028\u2029": true, "\u00ad": true, "\u3164": true, "\u2800": true, "\u034f": true, "\ufe0f": true, "\U000e0041": true, "\u0085": true, "\x01": true,
		"a": false, "\u00a0a": false, ".": false, "雪": false, "❄️": false, "\u200bא": false,
	} {
		for name, m := range map[string]proto.Message{
			"prompt": &refractv1.SubmitTaskRequest{Prompt: text}, "reason": &refractv1.PauseProviderRequest{Account: "kie", Reason: text},
		} {
			err := protovalidate.Validate(m)
			if got := err != nil && strings.Contains(err.Error(), name+": must not be blank"); got != blank {
				t.Errorf("%s %q is blank: %t, want %t (%v)", name, text, got, blank, err)
			}
		}
	}
}

// TestRequestID_ARefusalIsAStatusAlone makes a call that is refused: a header before the status would keep clients from repeating
// calls that end with UNAVAILABLE.
func TestRequestID_ARefusalIsAStatusAlone(t *testing.T) {
	t.Parallel()
	client := refractv1.NewTaskServiceClient(serveEdge(t, &shelf{}))
	for name, tc := range map[string]struct {
		page    int32
		refused bool
	}{"taken": {1, false}, "refused": {-1, true}} {
		var header, trailer metadata.MD
		_, err := client.ListTasks(as(t, "good"), &refractv1.ListTasksRequest{PageSize: tc.page}, grpc.Header(&header), grpc.Trailer(&trailer))
		if (err != nil) != tc.refused {
			t.Fatalf("%s: %v", name, err)
		}
		if inHeader, inTrailer := len(header.Get("x-request-id")) == 1, len(trailer.Get("x-request-id")) == 1; inHeader == tc.refused || inTrailer != tc.refused {
			t.Errorf("%s: the request id is in the header: %t, in the trailer: %t", name, inHeader, inTrailer)
		}
	}
}

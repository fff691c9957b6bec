package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	testID    = "01990000-0000-7000-8000-000000000001"
	testToken = "refract_sesame-open-0123456789"
)

// remote is the far side of the client: a service that does what a test's script says.
type remote struct {
	refractv1.UnimplementedTaskServiceServer
	address string

	submit func(*refractv1.SubmitTaskRequest) (*refractv1.Task, error)
	batch  func(*refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error)
	retry  func(*refractv1.RetryTaskRequest) (*refractv1.Task, error)
	list   func(*refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error)
	get    func() (*refractv1.Task, error)
	upload func(uploadStream) error
	watch  []func(watchStream) error // One a call; the last one answers further calls.
	all    func(*refractv1.WatchTasksRequest, tasksStream) error

	mu      sync.Mutex
	calls   map[string]int
	watched []*int64 // after_revision of each call.
	headers []string // What came as authorization.
}

type watchStream = grpc.ServerStreamingServer[refractv1.WatchTaskResponse]

// startRemote starts a remote, which ends with the test.
func startRemote(t *testing.T, r *remote, options ...grpc.ServerOption) *remote {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Listening on this machine does not wait.
	if err != nil {
		t.Fatal(err)
	}
	r.serve(t, lis, options...)
	r.address = lis.Addr().String()
	return r
}

// serve serves the remote until the test ends.
func (r *remote) serve(t *testing.T, lis net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	r.calls = map[string]int{}
	server := grpc.NewServer(options...)
	refractv1.RegisterTaskServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the remote ended: %v", err)
		}
	})
}

func (r *remote) count(ctx context.Context, method string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	r.headers = append(r.headers, md.Get("authorization")...)
	r.calls[method]++
	return r.calls[method]
}

func (r *remote) SubmitTask(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
	r.count(ctx, "SubmitTask")
	task, err := r.submit(req)
	return &refractv1.SubmitTaskResponse{Task: task}, err
}

func (r *remote) BatchSubmitTasks(ctx context.Context, req *refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error) {
	r.count(ctx, "BatchSubmitTasks")
	return r.batch(req)
}

func (r *remote) RetryTask(ctx context.Context, req *refractv1.RetryTaskRequest) (*refractv1.RetryTaskResponse, error) {
	r.count(ctx, "RetryTask")
	task, err := r.retry(req)
	return &refractv1.RetryTaskResponse{Task: task}, err
}

func (r *remote) CancelTask(ctx context.Context, _ *refractv1.CancelTaskRequest) (*refractv1.CancelTaskResponse, error) {
	r.count(ctx, "CancelTask")
	task, err := r.get()
	return &refractv1.CancelTaskResponse{Task: task}, err
}

func (r *remote) GetTask(ctx context.Context, _ *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
	r.count(ctx, "GetTask")
	task, err := r.get()
	return &refractv1.GetTaskResponse{Task: task}, err
}

func (r *remote) ListTasks(ctx context.Context, req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
	r.count(ctx, "ListTasks")
	return r.list(req)
}

func (r *remote) UploadSource(stream uploadStream) error { return r.upload(stream) }

func (r *remote) WatchTask(req *refractv1.WatchTaskRequest, stream watchStream) error {
	n := r.count(stream.Context(), "WatchTask")
	r.mu.Lock()
	r.watched = append(r.watched, req.AfterRevision)
	r.mu.Unlock()
	return r.watch[min(n, len(r.watch))-1](stream)
}

type tasksStream = grpc.ServerStreamingServer[refractv1.WatchTasksResponse]

func (r *remote) WatchTasks(req *refractv1.WatchTasksRequest, stream tasksStream) error {
	r.count(stream.Context(), "WatchTasks")
	return r.all(req, stream)
}

// command runs a command line and returns its exit status and what it wrote.
func command(t *testing.T, r *remote, args ...string) (exit int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	exit = run(t.Context(), append(args, "--address="+r.address), Console{Out: &o, Err: &e})
	return exit, o.String(), e.String()
}

func TestDial_RefusesATokenInTheClear(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		flags clientFlags
		want  string
	}{
		{"loopback", clientFlags{Address: "127.0.0.1:9090", Token: testToken}, ""},
		{"loopback by name", clientFlags{Address: "localhost:9090", Token: testToken}, ""},
		{"elsewhere", clientFlags{Address: "192.0.2.1:9090", Token: testToken}, "would travel to 192.0.2.1:9090 in the clear"},
		{"elsewhere by name", clientFlags{Address: "refract.example.com:9090", Token: testToken}, "in the clear"},
		{"elsewhere without a token", clientFlags{Address: "192.0.2.1:9090"}, ""},
		{"elsewhere with TLS", clientFlags{Address: "192.0.2.1:9090", Token: testToken, TLS: true}, ""},
		{"elsewhere on the user's word", clientFlags{Address: "192.0.2.1:9090", Token: testToken, Insecure: true}, ""},
		{"no port", clientFlags{Address: "192.0.2.1"}, "not of the form host:port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service, err := tt.flags.dial()
			if service != nil {
				defer func() { _ = service.Close() }()
			}
			if tt.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDial_TrustsTheHostsOfTheFlagsAlone(t *testing.T) {
	t.Parallel()
	flags := clientFlags{Address: "refract.example.com:9090", Token: testToken, TLS: true}
	named, insecure := flags, flags
	named.DownloadHost = "files.example.com"
	insecure.Insecure = true
	for _, tt := range []struct {
		name  string
		flags clientFlags
		uri   string
		want  bool // Whether the download carries the token.
	}{
		{"the host of --address", flags, "https://refract.example.com/x", true},
		{"another host", flags, "https://files.example.com/x", false},
		{"the host of --download-host", named, "https://files.example.com/x", true},
		{"the clear", flags, "http://refract.example.com/x", false},
		{"the clear with --insecure", insecure, "http://refract.example.com/x", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service, err := tt.flags.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = service.Close() }()
			if got := !service.WithholdsToken(tt.uri); got != tt.want {
				t.Errorf("the download from %s carries the token: %t, want %t", tt.uri, got, tt.want)
			}
		})
	}
}

func TestClient_SendsTheTokenAndNeverPrintsIt(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{get: func() (*refractv1.Task, error) {
		return nil, status.Error(codes.Unauthenticated, "the API token is missing, wrong or revoked")
	}})
	exit, out, errs := command(t, r, "get", testID, "--token="+testToken)
	if exit != 1 || len(r.headers) != 1 || r.headers[0] != "Bearer "+testToken {
		t.Errorf("exit %d, the service got %q", exit, r.headers)
	}
	for _, args := range [][]string{{"get", "--help"}, {"get", "--bogus"}, {"get", testID, "--address=192.0.2.1:1"}} {
		var o, e bytes.Buffer
		run(t.Context(), append(args, "--token="+testToken), Console{Out: &o, Err: &e})
		out, errs = out+o.String(), errs+e.String()
	}
	if strings.Contains(out+errs, testToken) {
		t.Errorf("the token was printed:\n%s\n%s", out, errs)
	}
}

func TestClient_TrustsTheGivenCA(t *testing.T) {
	t.Parallel()
	pair := httptest.NewTLSServer(nil) // Lends its certificate.
	defer pair.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startRemote(t, &remote{get: func() (*refractv1.Task, error) { return newTask(1, running), nil }},
		grpc.Creds(credentials.NewServerTLSFromCert(&pair.TLS.Certificates[0])))
	if exit, _, errs := command(t, r, "get", testID, "--ca="+ca); exit != 0 {
		t.Errorf("with --ca: exit %d: %s", exit, errs)
	}
	if exit, _, errs := command(t, r, "get", testID, "--tls"); exit != 1 || !strings.Contains(errs, "check --tls and --ca") {
		t.Errorf("with --tls alone: exit %d: %s", exit, errs)
	}
	if exit, _, errs := command(t, r, "get", testID); exit != 1 || !strings.Contains(errs, "pass --tls") {
		t.Errorf("in the clear: exit %d: %s", exit, errs)
	}
}

func TestClient_SaysWhatToDoWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	for _, args := range [][]string{{"get", testID}, {"list"}, {"watch", testID}, {"cancel", testID}, {"retry", testID}} {
		exit, out, errs := command(t, &remote{address: address}, args...)
		want := "refract: nothing answers at " + address + ": start the service with `refract serve`, or pass --address\n"
		if exit != 1 || out != "" || errs != want {
			t.Errorf("%v: exit %d, output %q, error %q, want %q", args, exit, out, errs, want)
		}
	}
}

func TestClient_RepeatsReadsThatMeetUnavailable(t *testing.T) {
	t.Parallel()
	r := &remote{}
	r.get = func() (*refractv1.Task, error) {
		if r.calls["GetTask"] < 3 {
			return nil, status.Error(codes.Unavailable, "draining")
		}
		return newTask(1, running), nil
	}
	startRemote(t, r)
	exit, out, errs := command(t, r, "get", testID, "--json")
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, errs)
	}
	var got struct{ ID, State string }
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.ID != testID || got.State != "TASK_STATE_RUNNING" {
		t.Errorf("got %q (%v)", out, err)
	}
}

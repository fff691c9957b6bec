package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hung is how long a test waits for what must happen. Only a test that hangs reaches it.
const hung = 5 * time.Minute

const taskID = "0190b0a8-5a0b-7c1e-8f00-000000000001"

type watchStream = grpc.ServerStreamingServer[refractv1.WatchTaskResponse]

type uploadStream = grpc.ClientStreamingServer[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse]

// remote is the gRPC server on the other side of the connection.
type remote struct {
	refractv1.UnimplementedTaskServiceServer
	refractv1.UnimplementedModelServiceServer

	submit func(context.Context, *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error)
	get    func(context.Context, *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error)
	list   func(context.Context, *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error)
	watch  func(*refractv1.WatchTaskRequest, watchStream) error
	upload func(uploadStream) error
	all    func(*refractv1.WatchTasksRequest, grpc.ServerStreamingServer[refractv1.WatchTasksResponse]) error
	models func(*refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error)
	model  func(*refractv1.GetModelRequest) (*refractv1.GetModelResponse, error)
}

func (r *remote) ListModels(_ context.Context, req *refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error) {
	return r.models(req)
}

func (r *remote) GetModel(_ context.Context, req *refractv1.GetModelRequest) (*refractv1.GetModelResponse, error) {
	return r.model(req)
}

func (r *remote) SubmitTask(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
	return r.submit(ctx, req)
}

func (r *remote) GetTask(ctx context.Context, req *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
	return r.get(ctx, req)
}

func (r *remote) ListTasks(ctx context.Context, req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
	return r.list(ctx, req)
}

func (r *remote) WatchTask(req *refractv1.WatchTaskRequest, stream watchStream) error {
	return r.watch(req, stream)
}

func (r *remote) UploadSource(stream uploadStream) error {
	if r.upload == nil {
		return r.UnimplementedTaskServiceServer.UploadSource(stream)
	}
	return r.upload(stream)
}

func (r *remote) WatchTasks(req *refractv1.WatchTasksRequest, stream grpc.ServerStreamingServer[refractv1.WatchTasksResponse]) error {
	return r.all(req, stream)
}

// dial starts the remote side and returns a connection to it.
func dial(t *testing.T, r *remote) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	refractv1.RegisterTaskServiceServer(server, r)
	refractv1.RegisterModelServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the gRPC server ended with %v", err)
		}
	})
	return conn
}

// callerStandIn is a caller without a gRPC server that knows it.
type callerStandIn struct {
	authenticate func() error    // Nil accepts it.
	token        context.Context //nolint:containedctx // It ends with the credentials; nil never ends.
}

func (c callerStandIn) Authenticate(context.Context) error {
	if c.authenticate == nil {
		return nil
	}
	return c.authenticate()
}

func (c callerStandIn) Bind(ctx context.Context) (context.Context, func(), error) {
	if err := c.Authenticate(ctx); err != nil {
		return nil, nil, err
	}
	live, end := context.WithCancel(ctx)
	forget := context.AfterFunc(c.token, end)
	return live, func() { forget(); end() }, nil
}

func (callerStandIn) Metadata() metadata.MD { return metadata.Pairs("x-refract-caller", "stand-in") }

func (callerStandIn) Leave() {}

// site is a handler on a socket, and its log.
type site struct {
	*httptest.Server
	log *logText
}

// serveInternal puts the internal handler over the remote side on a socket.
func serveInternal(t *testing.T, r *remote, change ...func(*httpapi.InternalConfig)) site {
	t.Helper()
	text := &logText{}
	cfg := httpapi.InternalConfig{Conn: dial(t, r), Log: text.logger()}
	for _, c := range change {
		c(&cfg)
	}
	return serve(t, httpapi.NewInternal(cfg), text)
}

func serve(t *testing.T, h http.Handler, text *logText, change ...func(*http.Server)) site {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = httpapi.NewServer(h, text.logger())
	for _, c := range change {
		c(s.Config)
	}
	s.Start()
	t.Cleanup(s.Close)
	return site{Server: s, log: text}
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with headers in pairs and returns the whole answer.
func (s site) do(t *testing.T, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	resp := s.start(t, method, path, body, headers...)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

// start sends a request and returns the answer as soon as its header is there.
func (s site) start(t *testing.T, method, path string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// logText collects log lines.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logText) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// refusal is an error as package api makes them.
func refusal(t *testing.T, code codes.Code, reason, message string, more ...protoadapt.MessageV1) error {
	t.Helper()
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "refract"}}, more...)
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

func retryAfter(d time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

func boom() { panic("boom") } //nolint:forbidigo // The tests of what happens then need one.

// callersMetadata returns the metadata of a call without what the transport adds.
func callersMetadata(ctx context.Context) map[string][]string {
	md, _ := metadata.FromIncomingContext(ctx)
	callers := map[string][]string{}
	for key, values := range md {
		switch {
		case strings.HasPrefix(key, ":"), key == "content-type", key == "user-agent", key == "grpc-accept-encoding":
		default:
			callers[key] = values
		}
	}
	return callers
}

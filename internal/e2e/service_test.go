package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

const (
	testAPIKey     = "kie-key-3f6a1c"
	testWebhookKey = "test-webhook-hmac-key"
)

// fewConnections bounds the pool of a service. A test needs few connections at a time, and each one costs a process of
// PostgreSQL and the planning of every statement.
const fewConnections = "&pool_max_conns=4"

// simConfig is the configuration of the simulator with all profiles.
type simConfig struct {
	sim.Config
	profiles.Set
}

// testService is the whole service, in this process, with its own database and provider.
type testService struct {
	*server.Server
	sim   *sim.Server
	token string // An API token of tenant "acme".
	tasks refractv1.TaskServiceClient
	pool  *pgxpool.Pool
	log   *logBuffer

	bucketURL string
	stop      func() // Drains the service, once. The end of the test calls it in any case.
}

// startService starts the service with tokens required, and stops it when the test ends. Its log must contain no secret
// and no stack trace then.
func startService(t *testing.T, configure func(*server.Config, *simConfig)) *testService {
	t.Helper()
	return startFleet(t, configure).start(t)
}

// fleet holds what replicas of the service share: a database, a bucket and a provider.
type fleet struct {
	flags server.Config
	sim   *sim.Server
	token string
	pool  *pgxpool.Pool
}

// startFleet returns a fleet with a running provider and no replica.
func startFleet(t *testing.T, configure func(*server.Config, *simConfig)) *fleet {
	t.Helper()
	sc := simConfig{
		sim.Config{APIKeys: []string{testAPIKey}},
		profiles.Set{Kie: simkie.Profile{WebhookKey: testWebhookKey, CallbackSpacing: 50 * time.Millisecond}},
	}
	f := server.Config{
		DatabaseURL: redact.Secret(postgrestest.URL(t) + fewConnections), Bucket: "file://" + filepath.Join(t.TempDir(), "bucket"),
		Auth: "tokens", AllowPrivate: true, Probe: "off", // The sources of most tests do not exist.
		GRPC: server.Listener{Address: "127.0.0.1:0"}, HTTP: server.Listener{Address: "127.0.0.1:0"}, Ingress: server.Listener{Address: "127.0.0.1:0"},
		Providers: server.Providers{
			KIE: server.Upstream{APIKeys: []redact.Secret{testAPIKey}, WebhookKeys: []redact.Secret{testWebhookKey}},
		},
	}
	if configure != nil {
		configure(&f, &sc)
	}
	provider, err := sim.Start(sc.Config, sc.List()...)
	if err != nil {
		t.Fatalf("start the simulator: %v", err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	for url, its := range map[*string]string{
		&f.KIE.URL: provider.URL(), &f.Luma.URL: provider.BaseURL("luma"), &f.LumaAgents.URL: provider.BaseURL("luma-agents"),
		&f.Fal.URL: provider.BaseURL("fal"), &f.Fal.RestURL: provider.URL() + simfal.RestPath,
	} {
		if *url == "" {
			*url = its
		}
	}
	pool := postgrestest.Connect(t, f.DatabaseURL.Reveal())
	return &fleet{flags: f, sim: provider, token: createToken(t, pool, "acme"), pool: pool}
}

// bucket opens the bucket of the service.
func (ts *testService) bucket(t *testing.T) *media.Bucket {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), ts.bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

// store returns the store of the service's database.
func (ts *testService) store(t *testing.T) *postgres.Stores {
	t.Helper()
	store, err := postgres.NewStores(postgres.Config{Pool: ts.pool})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// everyProvider configures a service with all providers and not only kie. Each provider has its own loops, which most
// tests do not need.
func everyProvider(f *server.Config, _ *simConfig) {
	f.Luma = server.Upstream{APIKeys: []redact.Secret{testAPIKey}}
	f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{testAPIKey}, Poll: 300 * time.Millisecond}
	f.Fal.Upstream = server.Upstream{APIKeys: []redact.Secret{testAPIKey}, Poll: 300 * time.Millisecond, Limits: []string{"100/1s/100"}}
}

// start starts one more replica.
func (f *fleet) start(t *testing.T) *testService {
	t.Helper()
	ts := &testService{sim: f.sim, token: f.token, pool: f.pool, log: &logBuffer{}, bucketURL: f.flags.Bucket}
	log := slog.New(slog.NewTextHandler(ts.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if ts.Server, err = server.New(t.Context(), f.flags, log); err != nil {
		t.Fatalf("start the service: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- ts.Run(ctx) }()
	ts.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := ts.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
		ts.log.check(t, ts.token)
	})
	t.Cleanup(ts.stop)
	if ts.GRPCAddr() != "" {
		ts.tasks = refractv1.NewTaskServiceClient(dial(t, ts.GRPCAddr()))
	}
	return ts
}

// startAll starts replicas.
func (f *fleet) startAll(t *testing.T, n int) []*testService {
	t.Helper()
	replicas := make([]*testService, n)
	for i := range replicas {
		replicas[i] = f.start(t)
	}
	return replicas
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func createToken(t *testing.T, pool *pgxpool.Pool, tenant string) string {
	t.Helper()
	return newToken(t, pool, tenant, false)
}

func newToken(t *testing.T, pool *pgxpool.Pool, tenant string, operator bool) string {
	t.Helper()
	_, token, err := credentials.NewAPITokens(pool).Issue(t.Context(), tenant, operator)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// as returns a context whose calls carry a token.
func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// ctx returns a context with the token of tenant "acme" and a deadline.
func (ts *testService) ctx(t *testing.T) context.Context {
	t.Helper()
	return as(ts.anonymous(t), ts.token)
}

// anonymous returns a context without a token and with a deadline.
func (*testService) anonymous(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	t.Cleanup(cancel)
	return ctx
}

// submit submits a task whose prompt ends with the simulator's directives.
func (ts *testService) submit(t *testing.T, prompt string, amend ...func(*refractv1.SubmitTaskRequest)) *refractv1.Task {
	t.Helper()
	req := goodRequest()
	req.Prompt += " " + prompt
	for _, f := range amend {
		f(req)
	}
	resp, err := ts.tasks.SubmitTask(ts.ctx(t), req)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return resp.GetTask()
}

func goodRequest() *refractv1.SubmitTaskRequest {
	return &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: "A neon city",
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4"}},
	}
}

// await follows a task from its first event until one satisfies the condition, and returns the events up to and
// including that one.
func (ts *testService) await(t *testing.T, id string, until func(*refractv1.TaskEvent) bool) []*refractv1.TaskEvent {
	t.Helper()
	ctx, cancel := context.WithCancel(ts.ctx(t))
	defer cancel()
	var events []*refractv1.TaskEvent
	for {
		after := int64(len(events)) // Revisions count from 1.
		stream, err := ts.tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: &after})
		if err != nil {
			t.Fatalf("watch: %v", err)
		}
		for {
			m, err := stream.Recv()
			if resumes(ctx, err) {
				break
			}
			if err != nil {
				t.Fatalf("watch ended after %v: %v", events, err)
			}
			if e := m.GetEvent(); e != nil {
				events = append(events, e)
				if until(e) {
					return events
				}
			}
		}
	}
}

// resumes reports whether a client resumes a stream after an error, and waits a moment then: a service on a machine that is too busy
// to read its log ends streams.
func resumes(ctx context.Context, err error) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return ctx.Err() == nil
}

// end follows a task to its terminal state.
func (ts *testService) end(t *testing.T, id string) *refractv1.TaskEvent {
	t.Helper()
	events := ts.await(t, id, func(e *refractv1.TaskEvent) bool { return terminal(e.GetState()) })
	return events[len(events)-1]
}

// get returns the current task.
func (ts *testService) get(t *testing.T, id string) *refractv1.Task {
	t.Helper()
	resp, err := ts.tasks.GetTask(ts.ctx(t), &refractv1.GetTaskRequest{TaskId: id})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return resp.GetTask()
}

// rest calls the HTTP listener and returns status and body.
func (ts *testService) rest(t *testing.T, method, path, body string, header ...string) (int, []byte) {
	t.Helper()
	status, _, answer := request(t, method, "http://"+ts.HTTPAddr()+path, body,
		append([]string{"Authorization", "Bearer " + ts.token}, header...)...)
	return status, answer
}

// request makes an HTTP request. Its headers are given as name, value, name, value.
func request(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, resp.Header, answer
}

// errorBody is an error of the REST API.
type errorBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type            string            `json:"@type"`
		Reason          string            `json:"reason"`
		Domain          string            `json:"domain"`
		Metadata        map[string]string `json:"metadata"`
		FieldViolations []struct {
			Field string `json:"field"`
		} `json:"fieldViolations"`
	} `json:"details"`
}

func decodeError(t *testing.T, body []byte) errorBody {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("the error is not JSON: %v\n%s", err, body)
	}
	return e
}

// logBuffer collects a service's log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// check fails the test when the log contains a secret or a stack trace.
func (l *logBuffer) check(t *testing.T, secrets ...string) {
	t.Helper()
	text := l.String()
	for _, s := range append(secrets, testAPIKey, testWebhookKey, "/v1/callbacks/kie/", "goroutine ") {
		if strings.Contains(text, s) {
			t.Errorf("the log holds %q:\n%s", s, text)
		}
	}
}

// command runs a command line for the service at an address, and returns its exit status and output.
func command(t *testing.T, address string, args ...string) (exit int, out, errs string) {
	t.Helper()
	return run(t, append(args, "--address="+address)...)
}

// Short names of states.
const (
	queued    = refractv1.TaskState_TASK_STATE_QUEUED
	succeeded = refractv1.TaskState_TASK_STATE_SUCCEEDED
)

// terminal reports whether a task in a state has ended.
func terminal(s refractv1.TaskState) bool {
	switch s {
	case succeeded, refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED:
		return true
	default:
		return false
	}
}

// stateName returns the name of a state without its prefix.
func stateName(s refractv1.TaskState) string { return strings.TrimPrefix(s.String(), "TASK_STATE_") }

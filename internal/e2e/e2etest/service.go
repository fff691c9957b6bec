package e2etest

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
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// The secrets that the service shares with the simulated kie.ai.
const (
	APIKey     = "kie-key-3f6a1c"
	WebhookKey = "test-webhook-hmac-key"
)

// FewConnections bounds the pool of a service. A test needs few connections at a time, and each one costs a process of
// PostgreSQL and the planning of every statement.
const FewConnections = "&pool_max_conns=4"

// SimConfig is the configuration of the simulator with all profiles.
type SimConfig struct {
	sim.Config
	profiles.Set
}

// Service is the whole service, in this process, with its own database and provider.
type Service struct {
	*server.Server
	Sim   *sim.Server
	Token string // An API token of tenant "acme".
	Tasks refractv1.TaskServiceClient
	Pool  *pgxpool.Pool
	Log   *LogBuffer

	BucketURL string
	Stop      func() // Drains the service, once. The end of the test calls it in any case.
}

// Start starts the service with tokens required, and stops it when the test ends. Its log must contain no secret
// and no stack trace then.
func Start(t *testing.T, configure func(*server.Config, *SimConfig)) *Service {
	t.Helper()
	return StartFleet(t, configure).Start(t)
}

// Fleet holds what replicas of the service share: a database, a bucket and a provider.
type Fleet struct {
	Flags server.Config
	Sim   *sim.Server
	Token string
	Pool  *pgxpool.Pool
}

// StartFleet returns a fleet with a running provider and no replica.
func StartFleet(t *testing.T, configure func(*server.Config, *SimConfig)) *Fleet {
	t.Helper()
	sc := SimConfig{
		sim.Config{APIKeys: []string{APIKey}},
		profiles.Set{Kie: simkie.Profile{WebhookKey: WebhookKey, CallbackSpacing: 50 * time.Millisecond}},
	}
	f := server.Config{
		DatabaseURL: redact.Secret(postgrestest.URL(t) + FewConnections), Bucket: "file://" + filepath.Join(t.TempDir(), "bucket"),
		Auth: "tokens", AllowPrivate: true, Probe: "off", // The sources of most tests do not exist.
		GRPC: server.Listener{Address: "127.0.0.1:0"}, HTTP: server.Listener{Address: "127.0.0.1:0"}, Ingress: server.Listener{Address: "127.0.0.1:0"},
		Providers: server.Providers{
			KIE: server.Upstream{APIKeys: []redact.Secret{APIKey}, WebhookKeys: []redact.Secret{WebhookKey}},
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
	return &Fleet{Flags: f, Sim: provider, Token: CreateToken(t, pool, "acme"), Pool: pool}
}

// Bucket opens the bucket of the service.
func (ts *Service) Bucket(t *testing.T) *media.Bucket {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), ts.BucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

// Store returns the store of the service's database.
func (ts *Service) Store(t *testing.T) *postgres.Stores {
	t.Helper()
	store, err := postgres.NewStores(postgres.Config{Pool: ts.Pool})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// EveryProvider configures a service with all providers and not only kie. Each provider has its own loops, which most
// tests do not need.
func EveryProvider(f *server.Config, _ *SimConfig) {
	f.Luma = server.Upstream{APIKeys: []redact.Secret{APIKey}}
	f.LumaAgents = server.Upstream{APIKeys: []redact.Secret{APIKey}, Poll: 300 * time.Millisecond}
	f.Fal.Upstream = server.Upstream{APIKeys: []redact.Secret{APIKey}, Poll: 300 * time.Millisecond, Limits: []string{"100/1s/100"}}
}

// Start starts one more replica.
func (f *Fleet) Start(t *testing.T) *Service {
	t.Helper()
	ts := &Service{Sim: f.Sim, Token: f.Token, Pool: f.Pool, Log: &LogBuffer{}, BucketURL: f.Flags.Bucket}
	log := slog.New(slog.NewTextHandler(ts.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if ts.Server, err = server.New(t.Context(), f.Flags, log); err != nil {
		t.Fatalf("start the service: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- ts.Run(ctx) }()
	ts.Stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := ts.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
		ts.Log.Check(t, ts.Token)
	})
	t.Cleanup(ts.Stop)
	if ts.GRPCAddr() != "" {
		ts.Tasks = refractv1.NewTaskServiceClient(Dial(t, ts.GRPCAddr()))
	}
	return ts
}

// StartAll starts replicas.
func (f *Fleet) StartAll(t *testing.T, n int) []*Service {
	t.Helper()
	replicas := make([]*Service, n)
	for i := range replicas {
		replicas[i] = f.Start(t)
	}
	return replicas
}

// Dial connects to a gRPC listener until the end of the test.
func Dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// CreateToken creates an API token of a tenant.
func CreateToken(t *testing.T, pool *pgxpool.Pool, tenant string) string {
	t.Helper()
	return NewToken(t, pool, tenant, false)
}

// NewToken creates an API token of a tenant, of an operator, or of both.
func NewToken(t *testing.T, pool *pgxpool.Pool, tenant string, operator bool) string {
	t.Helper()
	_, token, err := credentials.NewAPITokens(pool).Issue(t.Context(), tenant, operator)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// As returns a context whose calls carry a token.
func As(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// Ctx returns a context with the token of tenant "acme" and a deadline.
func (ts *Service) Ctx(t *testing.T) context.Context {
	t.Helper()
	return As(ts.Anonymous(t), ts.Token)
}

// Anonymous returns a context without a token and with a deadline.
func (*Service) Anonymous(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Hung)
	t.Cleanup(cancel)
	return ctx
}

// Submit submits a task whose prompt ends with the simulator's directives.
func (ts *Service) Submit(t *testing.T, prompt string, amend ...func(*refractv1.SubmitTaskRequest)) *refractv1.Task {
	t.Helper()
	req := GoodRequest()
	req.Prompt += " " + prompt
	for _, f := range amend {
		f(req)
	}
	resp, err := ts.Tasks.SubmitTask(ts.Ctx(t), req)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return resp.GetTask()
}

// GoodRequest returns a request that the service accepts, with a request id of its own.
func GoodRequest() *refractv1.SubmitTaskRequest {
	return &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: "A neon city",
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4"}},
	}
}

// Await follows a task from its first event until one satisfies the condition, and returns the events up to and
// including that one.
func (ts *Service) Await(t *testing.T, id string, until func(*refractv1.TaskEvent) bool) []*refractv1.TaskEvent {
	t.Helper()
	ctx, cancel := context.WithCancel(ts.Ctx(t))
	defer cancel()
	var events []*refractv1.TaskEvent
	for {
		after := int64(len(events)) // Revisions count from 1.
		stream, err := ts.Tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: &after})
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

// End follows a task to its terminal state.
func (ts *Service) End(t *testing.T, id string) *refractv1.TaskEvent {
	t.Helper()
	events := ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return Terminal(e.GetState()) })
	return events[len(events)-1]
}

// Get returns the current task.
func (ts *Service) Get(t *testing.T, id string) *refractv1.Task {
	t.Helper()
	resp, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: id})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return resp.GetTask()
}

// Rest calls the HTTP listener and returns status and body.
func (ts *Service) Rest(t *testing.T, method, path, body string, header ...string) (int, []byte) {
	t.Helper()
	status, _, answer := Request(t, method, "http://"+ts.HTTPAddr()+path, body,
		append([]string{"Authorization", "Bearer " + ts.Token}, header...)...)
	return status, answer
}

// Request makes an HTTP request. Its headers are given as name, value, name, value.
func Request(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Hung)
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

// ErrorBody is an error of the REST API.
type ErrorBody struct {
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

// DecodeError returns the error in an answer over REST.
func DecodeError(t *testing.T, body []byte) ErrorBody {
	t.Helper()
	var e ErrorBody
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("the error is not JSON: %v\n%s", err, body)
	}
	return e
}

// LogBuffer collects a service's log.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Check fails the test when the log contains a secret or a stack trace.
func (l *LogBuffer) Check(t *testing.T, secrets ...string) {
	t.Helper()
	text := l.String()
	for _, s := range append(secrets, APIKey, WebhookKey, "/v1/callbacks/kie/", "goroutine ") {
		if strings.Contains(text, s) {
			t.Errorf("the log holds %q:\n%s", s, text)
		}
	}
}

// Command runs a command line for the service at an address, and returns its exit status and output.
func Command(t *testing.T, address string, args ...string) (exit int, out, errs string) {
	t.Helper()
	return Run(t, append(args, "--address="+address)...)
}

// Short names of states.
const (
	Queued    = refractv1.TaskState_TASK_STATE_QUEUED
	Succeeded = refractv1.TaskState_TASK_STATE_SUCCEEDED
)

// Terminal reports whether a task in a state has ended.
func Terminal(s refractv1.TaskState) bool {
	switch s {
	case Succeeded, refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED:
		return true
	default:
		return false
	}
}

// StateName returns the name of a state without its prefix.
func StateName(s refractv1.TaskState) string { return strings.TrimPrefix(s.String(), "TASK_STATE_") }

// With starts a replica that has these roles and no other.
func (f *Fleet) With(t *testing.T, roles ...string) *Service {
	t.Helper()
	other := *f
	other.Flags.Roles = roles
	return other.Start(t)
}

// Ingress starts a replica that only stores callbacks, with the database role that is meant for it and without any key of a provider.
func (f *Fleet) Ingress(t *testing.T) *Service {
	t.Helper()
	other := *f
	other.Flags = server.Config{
		Roles: []string{"ingress"}, CallbackKeys: f.Flags.CallbackKeys, HTTP: f.Flags.HTTP, Ingress: f.Flags.Ingress,
		DatabaseURL: redact.Secret(postgrestest.Role(t, f.Flags.DatabaseURL.Reveal(), migrations.IngressRole)),
	}
	if err := other.Flags.Check(); err != nil {
		t.Fatal(err)
	}
	return other.Start(t)
}

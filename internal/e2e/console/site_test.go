package console_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

const (
	providerKey = "kie-key-7b1f0e"
	signingKey  = "test-webhook-hmac-key"
)

// visitor is who visits the site: a tenant, or an operator.
type visitor string

const (
	acme     visitor = "acme"
	other    visitor = "other"
	operator visitor = "ops" // An operator with a tenant of the same name.
	stranger visitor = ""    // A visitor without credentials.
)

// simConfig is the configuration of the simulator with all profiles.
type simConfig struct {
	sim.Config
	profiles.Set
}

// site is the whole service, in this process, with its own database and provider.
type site struct {
	*server.Server
	url       string // The origin of the pages, without a slash at the end.
	sim       *sim.Server
	pool      *pgxpool.Pool
	tokens    map[visitor]string
	tasks     refractv1.TaskServiceClient
	webhooks  refractv1.WebhookServiceClient
	operators refractv1.OperatorServiceClient
	clients   clients
}

// start starts the service with tokens required, and stops it when the test ends. configure may be nil.
func start(t *testing.T, configure func(*server.Config, *simConfig)) *site {
	t.Helper()
	sc := simConfig{
		sim.Config{APIKeys: []string{providerKey}, Processing: 200 * time.Millisecond, Source: sim.SourceFetch, Transform: sim.TransformNone},
		profiles.Set{Kie: simkie.Profile{WebhookKey: signingKey, CallbackSpacing: 50 * time.Millisecond}},
	}
	cfg := server.Config{
		DatabaseURL: redact.Secret(e2etest.FewConnections(postgrestest.URL(t))), Bucket: "file://" + filepath.Join(t.TempDir(), "bucket"),
		Auth: "tokens", AllowPrivate: true, PublicSources: true,
		GRPC: server.Listener{Address: "127.0.0.1:0"}, HTTP: server.Listener{Address: "127.0.0.1:0"}, Ingress: server.Listener{Address: "127.0.0.1:0"},
		Providers: server.Providers{
			KIE: server.Upstream{APIKeys: []redact.Secret{providerKey}, WebhookKeys: []redact.Secret{signingKey}, Poll: time.Second},
		},
	}
	if configure != nil {
		configure(&cfg, &sc)
	}
	provider, err := sim.Start(sc.Config, sc.List()...)
	if err != nil {
		t.Fatalf("start the simulator: %v", err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	cfg.KIE.URL = provider.URL()
	pool := postgrestest.Connect(t, cfg.DatabaseURL.Reveal())
	s := &site{sim: provider, pool: pool, tokens: map[visitor]string{}}
	for _, v := range []visitor{acme, other, operator} {
		s.tokens[v] = newToken(t, pool, v)
	}
	if s.Server, err = server.New(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("start the service: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	s.url = "http://" + s.HTTPAddr()
	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.tasks, s.webhooks, s.operators = refractv1.NewTaskServiceClient(conn), refractv1.NewWebhookServiceClient(conn), refractv1.NewOperatorServiceClient(conn)
	return s
}

// newToken creates an API token of a visitor.
func newToken(t *testing.T, pool *pgxpool.Pool, v visitor) string {
	t.Helper()
	_, token, err := credentials.NewAPITokens(pool).Issue(t.Context(), string(v), v == operator)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// ctx returns a context for calls of the API by a visitor.
func (s *site) ctx(t *testing.T, v visitor) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.tokens[v])
}

// clip is the URI of a clip that the provider can fetch.
func (s *site) clip() string { return s.sim.URL() + "/clips/sample.mp4" }

// submit submits a task of a visitor by the API. Its prompt can have directives of the simulator.
func (s *site) submit(t *testing.T, v visitor, prompt string, amend ...func(*refractv1.SubmitTaskRequest)) *refractv1.Task {
	t.Helper()
	req := &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: prompt,
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: s.clip()}},
	}
	for _, f := range amend {
		f(req)
	}
	resp, err := s.tasks.SubmitTask(s.ctx(t, v), req)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return resp.GetTask()
}

// await waits until a task is in one of the states, and returns it.
func (s *site) await(t *testing.T, v visitor, id string, states ...refractv1.TaskState) *refractv1.Task {
	t.Helper()
	ctx, cancel := context.WithCancel(s.ctx(t, v))
	defer cancel()
	stream, err := s.tasks.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: new(int64)})
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("wait for a task to be %v: %v", states, err)
		}
		if slices.Contains(states, m.GetEvent().GetState()) {
			return s.task(t, v, id)
		}
	}
}

// task returns a task as it is now.
func (s *site) task(t *testing.T, v visitor, id string) *refractv1.Task {
	t.Helper()
	resp, err := s.tasks.GetTask(s.ctx(t, v), &refractv1.GetTaskRequest{TaskId: id})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return resp.GetTask()
}

// Short names of states.
const (
	queued    = refractv1.TaskState_TASK_STATE_QUEUED
	running   = refractv1.TaskState_TASK_STATE_RUNNING
	succeeded = refractv1.TaskState_TASK_STATE_SUCCEEDED
	failed    = refractv1.TaskState_TASK_STATE_FAILED
	canceled  = refractv1.TaskState_TASK_STATE_CANCELED
)

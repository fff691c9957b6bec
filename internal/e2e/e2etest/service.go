package e2etest

import (
	"context"
	"log/slog"
	"strings"
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
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// The secrets that the service shares with the simulated kie.ai.
const (
	APIKey     = "kie-key-3f6a1c"
	WebhookKey = "test-webhook-hmac-key"
)

// FewConnections returns the address of a database for a service with a small pool. A test needs few connections at a time, and each one
// costs a process of PostgreSQL and the planning of every statement.
func FewConnections(databaseURL string) string { return postgrestest.WithPool(databaseURL, "3") }

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

// Another starts another replica of a service. It has its own provider, so a task that both replicas worked on may not
// end.
func (ts *Service) Another(t *testing.T) *Service {
	t.Helper()
	return Start(t, func(f *server.Config, _ *SimConfig) {
		f.DatabaseURL = redact.Secret(ts.Pool.Config().ConnString())
	})
}

// Expire makes retention remove a task that has ended.
func (ts *Service) Expire(t *testing.T, id string) {
	t.Helper()
	const age = `
WITH terms AS (INSERT INTO tenant (tenant, keep_tasks) VALUES ('', '90 days'))
UPDATE task SET create_time = now() - interval '1 year', update_time = now() - interval '1 year' WHERE id = $1`
	if _, err := ts.Pool.Exec(t.Context(), age, id); err != nil {
		t.Fatal(err)
	}
	retainer := &retention.Retainer{Store: ts.Store(t).Retention, Bucket: ts.Bucket(t), Log: slog.New(slog.DiscardHandler)}
	Eventually(t, "its turn to remove tasks", func() bool {
		_, _, held, err := retainer.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return held
	})
	if _, err := ts.Tasks.GetTask(ts.Ctx(t), &refractv1.GetTaskRequest{TaskId: id}); status.Code(err) != codes.NotFound {
		t.Fatalf("a task that has expired: %v, want NOT_FOUND", err)
	}
}

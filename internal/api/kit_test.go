package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"buf.build/go/protovalidate"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
)

// authenticatorFunc is an authenticator of tests, which get by with the Authorization header.
type authenticatorFunc func(authorization string) (*identity.Identity, error)

func (f authenticatorFunc) Authenticate(_ context.Context, c identity.Credentials) (*identity.Identity, error) {
	return f(strings.Join(c.Authorization, ","))
}

// testTenants are the tenants of tests, by token. The tenant "ops" is an operator.
var testTenants = authenticatorFunc(func(authorization string) (*identity.Identity, error) {
	switch authorization {
	case "Bearer good":
		return &identity.Identity{Tenant: "acme", Actor: audit.Actor{Kind: audit.Token, Name: "good", Tenant: "acme"}}, nil
	case "Bearer operator":
		return &identity.Identity{Tenant: "ops", Operator: true, Actor: audit.Actor{Kind: audit.Token, Name: "operator", Tenant: "ops"}}, nil
	case "Bearer operator-without-tenant":
		return &identity.Identity{Operator: true, Actor: audit.Actor{Kind: audit.Certificate, Name: "alice"}}, nil
	}
	return nil, identity.ErrInvalid
})

// logLines is a log of JSON lines.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// find returns the lines with a message.
func (l *logLines) find(t *testing.T, msg string) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == msg {
			found = append(found, line)
		}
	}
	return found
}

// testLogger returns a logger and what it has written.
func testLogger() (*slog.Logger, *logLines) {
	lines := &logLines{}
	return slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug})), lines
}

// testValidator is the one that servers use.
var testValidator = protovalidate.GlobalValidator

// testStatuses returns statuses of a service whose database works.
func testStatuses(log *slog.Logger) *Statuses {
	return &Statuses{Unavailable: func(error) bool { return false }, Log: log}
}

// serveInMemory serves the API without a socket, and returns a connection. What is not configured is that of tests. The server has
// stopped, and its log is complete, once stop has returned.
func serveInMemory(t *testing.T, cfg Config) (conn *grpc.ClientConn, stop func()) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Statuses, cfg.Meters = testStatuses(cfg.Log), noop.NewMeterProvider()
	if cfg.Tasks == nil {
		cfg.Tasks = NewTaskService(TaskServiceConfig{Statuses: cfg.Statuses})
	}
	if cfg.Models == nil {
		cfg.Models = &ModelService{}
	}
	if cfg.Webhooks == nil {
		cfg.Webhooks = &WebhookService{}
	}
	if cfg.Operators == nil {
		cfg.Operators = &OperatorService{}
	}
	if cfg.Callbacks == nil {
		cfg.Callbacks = &CallbackService{}
	}
	if cfg.Authenticator == nil {
		cfg.Authenticator = testTenants
	}
	server := NewServer(cfg)
	lis := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:api", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = conn.Close()
		server.GracefulStop()
		<-served
	})
	t.Cleanup(stop)
	return conn, stop
}

// reasonOfStatus returns the reason of a status, and the facts about it.
func reasonOfStatus(st *status.Status) (reason string, facts map[string]string) {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason(), info.GetMetadata()
		}
	}
	return "", nil
}

// fieldsOfStatus returns the fields that a status names.
func fieldsOfStatus(st *status.Status) (fields []string) {
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

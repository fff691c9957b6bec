package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// webhookKey is the key with which the simulated provider signs callbacks.
const webhookKey = "test-webhook-hmac-key"

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(suite{m})) }

// suite stops the service of the examples after them.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	return max(code, shared.stop())
}

// shared is what the examples share.
var shared sharedService

// service returns the address of a running service and the API token of a tenant. The first call starts it.
func service() (address, token string) {
	shared.once.Do(func() {
		config, token := configure(&shared)
		shared.replica, shared.token = startReplica(&shared, config), token
	})
	return shared.replica.GRPCAddr(), shared.token
}

// sharedService is the part of testing.TB that starting a service needs, for examples, which have none.
type sharedService struct {
	testing.TB // Nil: a method that is missing below would panic.

	once    sync.Once
	replica *server.Server
	token   string
	cleanup []func()
	failed  bool
}

func (s *sharedService) Helper()                  {}
func (s *sharedService) Name() string             { return "examples" }
func (s *sharedService) Context() context.Context { return context.Background() }
func (s *sharedService) Cleanup(f func())         { s.cleanup = append(s.cleanup, f) }
func (s *sharedService) Failed() bool             { return s.failed }

func (s *sharedService) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "examples: "+format+"\n", args...)
}

func (s *sharedService) Errorf(format string, args ...any) {
	s.failed = true
	s.Logf(format, args...)
}

func (s *sharedService) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

func (s *sharedService) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	s.stop()
	os.Exit(1)
}

func (s *sharedService) TempDir() string {
	dir, err := os.MkdirTemp("", "refract-client-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// stop undoes what was started, and returns the exit status.
func (s *sharedService) stop() int {
	for len(s.cleanup) > 0 {
		last := len(s.cleanup) - 1
		undo := s.cleanup[last]
		s.cleanup = s.cleanup[:last]
		undo()
	}
	if s.failed {
		return 1
	}
	return 0
}

// configure starts a simulated provider and returns the configuration of a service on a fresh database, and an API token. The
// provider sends no callback, because one could arrive before the answer to its submission. A check, which needs that answer, finds the
// end of each task.
func configure(t testing.TB) (config server.Config, token string) {
	t.Helper()
	silent := func(s sim.Submission) sim.Script {
		s.Directives.Never = true
		return s.Directives
	}
	provider, err := sim.Start(sim.Config{APIKeys: []string{"key"}, Script: silent}, simkie.Profile{WebhookKey: webhookKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	databaseURL := postgrestest.URL(t)
	pool := postgrestest.Connect(t, databaseURL)
	_, token, err = credentials.NewAPITokens(pool).Issue(t.Context(), "acme", false)
	if err != nil {
		t.Fatal(err)
	}
	anyPort := server.Listener{Address: "127.0.0.1:0"}
	return server.Config{
		DatabaseURL: redact.Secret(postgrestest.WithPool(databaseURL, "3")), Bucket: "file://" + filepath.Join(t.TempDir(), "bucket"),
		Auth: "tokens", AllowPrivate: true, PublicSources: true, Probe: "off", GRPC: anyPort, HTTP: anyPort, Ingress: anyPort,
		Providers: server.Providers{KIE: server.Upstream{
			APIKeys: []redact.Secret{"key"}, WebhookKeys: []redact.Secret{webhookKey}, URL: provider.URL(), Poll: 300 * time.Millisecond,
		}},
	}, token
}

// startReplica starts a service, which drains when the test ends.
func startReplica(t testing.TB, config server.Config) *server.Server {
	t.Helper()
	replica, stop := start(t, config)
	t.Cleanup(stop)
	return replica
}

// start starts a service and returns what drains it.
func start(t testing.TB, config server.Config) (replica *server.Server, stop func()) {
	t.Helper()
	replica, err := server.New(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- replica.Run(ctx) }()
	return replica, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := replica.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestWatch_ResumesAcrossARestartOfTheService(t *testing.T) {
	t.Parallel()
	config, token := configure(t)
	config.GRPC.Address = nettest.FreeAddress(t) // Where the client looks for the service after the restart.
	config.KIE.Poll = time.Hour                  // The test chooses when a check comes.
	pool := postgrestest.Connect(t, config.DatabaseURL.Reveal())
	_, stop := start(t, config)
	c, err := client.Dial(config.GRPC.Address, client.WithToken(token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })

	task, err := c.Submit(t.Context(), &refractv1.SubmitTaskRequest{
		RequestId: "order-1", Prompt: "Snow", Source: client.SourceURI("https://example.com/clip.mp4"),
	})
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan []int64)
	go func() { all <- revisions(t, c) }()
	var seen []int64
	interruptions := 0
	for m, err := range c.Watch(t.Context(), task.GetId(), client.AfterRevision(0), client.OnRetry(func(error) { interruptions++ })) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, m.GetEvent().GetRevision()); m.GetEvent().GetState() == refractv1.TaskState_TASK_STATE_RUNNING && stop != nil {
			stop()
			stop = nil
			config.KIE.Poll = 300 * time.Millisecond
			startReplica(t, config)
			postgrestest.Exec(t, pool, "UPDATE attempt SET next_check_time = now()")
		}
	}
	for i, revision := range seen {
		if revision != int64(i+1) {
			t.Errorf("revisions are %v, want each once", seen)
			break
		}
	}
	if got := <-all; interruptions == 0 || len(got) == 0 || got[len(got)-1] != seen[len(seen)-1] {
		t.Errorf("%d interruptions, WatchTask brought %v and WatchTasks %v", interruptions, seen, got)
	}
}

// revisions follows all tasks until one has ended, and returns the revisions that it saw. Each must follow its predecessor.
func revisions(t *testing.T, c *client.Client) (seen []int64) {
	t.Helper()
	for m, err := range c.WatchAll(t.Context(), &refractv1.WatchTasksRequest{}) {
		if err != nil {
			t.Error(err)
			return seen
		}
		event := m.GetEvent().GetEvent()
		if event == nil {
			continue
		}
		if n := len(seen); n > 0 && event.GetRevision() != seen[n-1]+1 {
			t.Errorf("revision %d follows %v", event.GetRevision(), seen)
		}
		if seen = append(seen, event.GetRevision()); client.Terminal(event.GetState()) {
			return seen
		}
	}
	return seen
}

package e2etest

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/migrations"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// Unlimited configures a provider and its account without effective limits, and makes checks frequent.
func Unlimited(f *server.Config, c *SimConfig) {
	f.KIE.Limits, f.KIE.Poll = []string{"1000/1s/1000"}, 300*time.Millisecond
	c.Kie.SubmitLimit, c.Kie.QueryLimit, c.Credits = sim.Limit{N: -1}, sim.Limit{N: -1}, 1_000_000
}

// SimConfig is the configuration of the simulator with all profiles.
type SimConfig struct {
	sim.Config
	profiles.Set
}

// Fleet holds what replicas of the service share: a database, a bucket and a provider.
type Fleet struct {
	Config server.Config
	Sim    *sim.Server
	Token  string
	Pool   *pgxpool.Pool
}

// StartFleet returns a fleet with a running provider and no replica.
func StartFleet(t *testing.T, configure func(*server.Config, *SimConfig)) *Fleet {
	t.Helper()
	sc := SimConfig{
		sim.Config{APIKeys: []string{APIKey}},
		profiles.Set{Kie: simkie.Profile{WebhookKey: WebhookKey, CallbackSpacing: 50 * time.Millisecond}},
	}
	f := server.Config{
		DatabaseURL: redact.Secret(FewConnections(postgrestest.URL(t))), Bucket: "file://" + filepath.Join(t.TempDir(), "bucket"),
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
	return &Fleet{Config: f, Sim: provider, Token: CreateToken(t, pool, "acme"), Pool: pool}
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
	ts := &Service{Sim: f.Sim, Token: f.Token, Pool: f.Pool, Log: &LogBuffer{}, BucketURL: f.Config.Bucket}
	log := slog.New(slog.NewTextHandler(ts.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if ts.Server, err = server.New(t.Context(), f.Config, log); err != nil {
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

// With starts a replica that has these roles and no other.
func (f *Fleet) With(t *testing.T, roles ...string) *Service {
	t.Helper()
	other := *f
	other.Config.Roles = roles
	return other.Start(t)
}

// Ingress starts a replica that only stores callbacks, with the database role that is meant for it and without any key of a provider.
func (f *Fleet) Ingress(t *testing.T) *Service {
	t.Helper()
	other := *f
	other.Config = server.Config{
		Roles: []string{"ingress"}, CallbackKeys: f.Config.CallbackKeys, HTTP: f.Config.HTTP, Ingress: f.Config.Ingress,
		DatabaseURL: redact.Secret(postgrestest.Role(t, f.Config.DatabaseURL.Reveal(), migrations.IngressRole)),
	}
	if err := other.Config.Check(); err != nil {
		t.Fatal(err)
	}
	return other.Start(t)
}

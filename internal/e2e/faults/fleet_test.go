package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// The secrets of a fleet, which no log may contain.
const (
	apiKey      = "the-api-key-8d1f"
	webhookKey  = "the-webhook-key-5a7c"
	callbackKey = "the-callback-key-of-at-least-32-bytes-3e9b"
)

// The providers of the simulator that the suite uses.
var providers = []string{"kie", "luma", "luma-agents"}

// connections is the size of the pool of a replica; the pool of a pooler has its own. Each start of a replica opens them anew, which
// costs more than the rest of the start. The tag soak sets the size that replicas have by default.
var connections = "6"

// fleetConfig is the configuration of a fleet.
type fleetConfig struct {
	replicas    int
	databaseURL string
	pooler      string                 // The URL by which replicas reach a pooler in front of the database; empty means none.
	limits      map[string]audit.Limit // Of each provider.
	sim         sim.Config
	profiles    profiles.Set
	ownWays     bool     // Whether each replica has its own link to the provider, which can be cut.
	tenants     []string // With API tokens. Without any, every caller is the default tenant.
}

// fleet is a set of replicas of Refract on one database, with a provider.
type fleet struct {
	t        *testing.T
	cfg      fleetConfig
	provider *sim.Server
	replicas []*replica
	grpc     *balancer
	ingress  *balancer
	bucket   string
	args     []string
	env      []string
	work     sync.WaitGroup    // The readers of logs.
	tokens   map[string]string // By tenant.
	hooks    *webhooks         // Nil without webhook endpoints.

	done      counter
	mu        sync.Mutex
	submits   []audit.Submit
	watches   []audit.Watch
	witnesses []audit.Witness
	open      map[string]bool   // The ids of tasks whose watches have not ended.
	owners    map[string]string // The tenants of tasks.
}

// hung bounds every wait of a test. A test that waits longer hangs, on any machine.
const hung = 15 * time.Minute

// newFleet returns a fleet without running replicas.
func newFleet(t *testing.T, cfg fleetConfig) *fleet {
	t.Helper()
	builtFrom.Look()
	cfg.profiles.Kie.WebhookKey, cfg.sim.APIKeys, cfg.sim.Credits = webhookKey, []string{apiKey}, 1_000_000
	cfg.profiles.Kie.QueryLimit = sim.Limit{N: -1, Window: time.Second}
	// The simulator only measures the limits and refuses nothing, so only the fleet keeps them.
	measure := func(provider string) sim.Limit { return sim.Limit{N: -1, Window: cfg.limits[provider].Window} }
	cfg.profiles.Kie.SubmitLimit = measure("kie")
	cfg.profiles.Luma.SubmitLimit, cfg.profiles.Luma.MaxConcurrent = measure("luma"), -1
	cfg.profiles.LumaAgents.SubmitLimit, cfg.profiles.LumaAgents.MaxConcurrent = measure("luma-agents"), -1
	provider, err := sim.Start(cfg.sim, cfg.profiles.List()...)
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	f := &fleet{
		t: t, cfg: cfg, open: map[string]bool{}, owners: map[string]string{}, provider: provider, grpc: newBalancer(t), ingress: newBalancer(t), bucket: filepath.Join(dir, "bucket"),
	}
	t.Cleanup(func() { _ = provider.Close() })
	auth := "none"
	if len(cfg.tenants) > 0 {
		auth, f.tokens = "tokens", createTokens(t, cfg.databaseURL, cfg.tenants)
	}
	f.args = []string{
		"--auth=" + auth, "--allow-private", "--bucket=file://" + f.bucket, "--callback-url=http://" + f.ingress.address,
		"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
		"--kie-poll=3s", "--luma-poll=3s", "--luma-agents-poll=1s",
	}
	f.env = []string{"KIE_WEBHOOK_KEY=" + webhookKey, "REFRACT_CALLBACK_KEY=" + callbackKey}
	for _, p := range providers {
		l := cfg.limits[p]
		f.args = append(f.args, fmt.Sprintf("--%s-limit=%d/%s/%d", p, l.Submissions, l.Window, l.InFlight))
		f.env = append(f.env, strings.ToUpper(strings.ReplaceAll(p, "-", "_"))+"_API_KEY="+apiKey)
	}
	for i := range cfg.replicas {
		name := fmt.Sprintf("replica-%d", i+1)
		r := &replica{
			fleet: f, name: name, link: newLink(t, postgrestest.WithPool(cfg.databaseURL, connections), name), log: filepath.Join(dir, name+".log"), clock: filepath.Join(dir, name+".clock"),
			provider: &link{url: provider.URL()},
		}
		if cfg.ownWays {
			r.provider = newLink(t, provider.URL(), name)
		}
		for _, p := range providers {
			r.args = append(r.args, "--"+p+"-url="+r.provider.url+strings.TrimPrefix(provider.BaseURL(p), provider.URL()))
		}
		f.replicas = append(f.replicas, r)
	}
	t.Cleanup(func() {
		for _, r := range f.replicas {
			_ = r.stop(syscall.SIGKILL)
		}
		f.work.Wait()
	})
	return f
}

// folder returns a folder for logs. It is kept when the test fails.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "refract-faults-") //nolint:usetesting // It may have to stay.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs of the replicas are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// start starts every replica that does not run.
func (f *fleet) start(ctx context.Context) {
	f.t.Helper()
	for _, r := range f.replicas {
		r.link.heal(ctx)
		if err := r.start(ctx); err != nil {
			f.t.Fatal(err)
		}
	}
}

// drain stops all replicas with SIGTERM, and expects a clean end.
func (f *fleet) drain() {
	f.t.Helper()
	var g sync.WaitGroup
	for _, r := range f.replicas {
		g.Go(func() {
			if err := r.stop(syscall.SIGTERM); err != nil {
				f.t.Errorf("%s got SIGTERM and ended with %v", r.name, err)
			}
		})
	}
	g.Wait()
}

// dial returns a client that reaches any running replica.
func (f *fleet) dial() refractv1.TaskServiceClient {
	f.t.Helper()
	return refractv1.NewTaskServiceClient(f.connect())
}

// connect returns a connection that reaches any running replica.
func (f *fleet) connect() *grpc.ClientConn {
	f.t.Helper()
	conn, err := grpc.NewClient(f.grpc.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(
		grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: time.Second}, MinConnectTimeout: time.Second}))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// audit checks the run, and prints the report.
func (f *fleet) audit(ctx context.Context) audit.Report {
	f.t.Helper()
	report := f.report(ctx)
	if len(report.Violations) > 0 {
		f.t.Errorf("%d violations", len(report.Violations))
	}
	return report
}

// report checks the run, prints the report, and leaves the verdict to the caller.
func (f *fleet) report(ctx context.Context) audit.Report {
	f.t.Helper()
	facts := audit.Facts{
		Done: f.done.list(), Submits: f.submits, Watches: f.watches, Witnesses: f.witnesses, Limits: f.cfg.limits,
		Secrets: []string{apiKey, webhookKey, callbackKey, passwordOf(f.t, f.cfg.databaseURL)},
	}
	for _, token := range f.tokens {
		facts.Secrets = append(facts.Secrets, token)
	}
	if f.hooks != nil {
		facts.Endpoints, facts.Receptions, facts.Trapped = f.hooks.endpoints, f.hooks.receptions(), f.hooks.Trap.Connections()
		facts.Secrets = append(facts.Secrets, f.hooks.secrets...)
	}
	sources := audit.Sources{
		SimURL: f.provider.URL(), DatabaseURL: f.cfg.databaseURL, Bucket: f.bucket, Original: sim.ResultClip,
	}
	for _, r := range f.replicas {
		sources.Logs = append(sources.Logs, r.log)
	}
	if err := facts.Load(ctx, sources); err != nil {
		f.t.Fatal(errors.New("load the facts: " + err.Error()))
	}
	report := facts.Check()
	f.t.Logf("\n%s", report)
	return report
}

// counter counts what a run did.
type counter struct {
	mu     sync.Mutex
	counts []audit.Count
}

func (c *counter) add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.counts, func(c audit.Count) bool { return c.Name == name })
	if i < 0 {
		i = len(c.counts)
		c.counts = append(c.counts, audit.Count{Name: name})
	}
	c.counts[i].N += n
}

func (c *counter) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, counted := range c.counts {
		if counted.Name == name {
			return counted.N
		}
	}
	return 0
}

func (c *counter) list() []audit.Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.counts)
}

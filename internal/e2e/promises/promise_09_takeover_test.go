package promises_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise09_ATakeoverKeepsTheLimit delays the submissions of one process in the network, and stops that process or
// its database connection. A second process settles its attempts. It must not release their permits before the
// submissions have arrived.
//
// It fails when updateAttempts (internal/postgres/write_rows.go) leaves in_transit out.
func TestPromise09_ATakeoverKeepsTheLimit(t *testing.T) {
	t.Parallel()
	for name, out := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			takeOver(t, takeover{limit: 3, window: 2 * time.Second, delay: 3 * time.Second, outage: out, given: true})
		})
	}
}

// outages are ways to disable a process, and to enable it again.
var outages = map[string]outage{
	"cut": {
		begin: func(_ *testing.T, _ *e2etest.Process, database *e2etest.Wiretap) { database.SetCut(true) },
		end:   func(_ *testing.T, _ *e2etest.Process, database *e2etest.Wiretap) { database.SetCut(false) },
	},
	"stop": {
		begin: func(t *testing.T, p *e2etest.Process, _ *e2etest.Wiretap) { t.Helper(); p.Signal(t, syscall.SIGSTOP) },
		end:   func(t *testing.T, p *e2etest.Process, _ *e2etest.Wiretap) { t.Helper(); p.Signal(t, syscall.SIGCONT) },
	},
}

type outage struct {
	begin, end func(*testing.T, *e2etest.Process, *e2etest.Wiretap)
}

// takeover is a process that is disabled while its submissions are in the network.
type takeover struct {
	limit  int
	window time.Duration
	delay  time.Duration // Of the first submissions in the network. It ends early when other submissions overtake them.
	outage outage
	given  bool // Whether the test gives the jobs to the second process at once. The delay starts then.
}

func takeOver(t *testing.T, to takeover) {
	t.Helper()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{
		WebhookKey: e2etest.WebhookKey, SubmitLimit: sim.Limit{N: -1, Window: to.window}, QueryLimit: sim.Limit{N: -1},
		CallbackAttempts: 2000, CallbackSpacing: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })

	network := startSlowNetwork(t, provider, to.limit)
	gate, database := e2etest.StartGate(t), postgrestest.URL(t)
	pool := postgrestest.Connect(t, database)
	through, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	wire := e2etest.StartWiretap(t, through.Host)
	through.Host = wire.Address
	args := func(database string) []string {
		args := e2etest.ProcessArgs(t, e2etest.FewConnections(database), network.url, "--callback-url="+gate.URL)
		args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--kie-limit=") })
		return append(args, fmt.Sprintf("--kie-limit=%d/%s/100", to.limit, to.window))
	}

	first := e2etest.StartProcess(t, args(through.String())...)
	tasks := 2 * to.limit // As many again as are delayed.
	for i := range tasks {
		req := e2etest.GoodRequest()
		req.RequestId, req.Prompt = uuid.NewString(), fmt.Sprintf("city %d", i)
		if _, err := first.Tasks.SubmitTask(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	<-network.full
	if !to.given {
		network.deliverAfter(t, to.delay)
	}
	to.outage.begin(t, first, wire)
	endAdmission(t, pool)
	second := e2etest.StartProcess(t, args(database)...)
	gate.ToAddress(second.Ingress)
	gate.Open.Store(true)
	if to.given {
		postgrestest.Exec(t, pool, "UPDATE river_job SET state = 'available', scheduled_at = now() WHERE kind = 'submit_attempt' AND state = 'running'")
	}
	e2etest.Eventually(t, "the second process to settle the attempts of the first", func() bool {
		return postgrestest.Value[int](t, pool, "SELECT count(*) FROM task_event WHERE message LIKE 'outcome of attempt 1 is unknown%'") == to.limit
	})
	if to.given {
		network.deliverAfter(t, to.delay)
	}
	e2etest.Eventually(t, "what was delayed to arrive", func() bool { return len(provider.Ledger()) >= to.limit })
	to.outage.end(t, first, wire)
	e2etest.Eventually(t, "all tasks to succeed", func() bool {
		return postgrestest.Value[int](t, pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'") == tasks
	})
	expectLimits(t, provider, to.limit, 100)
	if paid := len(provider.Ledger()); paid != tasks {
		t.Errorf("%d submissions, want one for each of %d tasks", paid, tasks)
	}
}

// endAdmission ends the round of admission in which a process was stopped, as the database does after 15 seconds.
func endAdmission(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	e2etest.Eventually(t, "the account to be free", func() bool {
		postgrestest.Exec(t, pool, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle in transaction'`)
		return postgrestest.Value[int](t, pool, "SELECT count(*) FROM (SELECT FROM provider_account FOR UPDATE SKIP LOCKED) AS free") == 1
	})
}

// slowNetwork delays the first submissions that it carries to a provider.
type slowNetwork struct {
	*submissionProxy
	full    chan struct{} // Closed when it delays as many as it should.
	deliver func()        // Ends the delay.
}

func startSlowNetwork(t *testing.T, provider *sim.Server, first int) *slowNetwork {
	t.Helper()
	delivered := make(chan struct{})
	n := &slowNetwork{full: make(chan struct{}), deliver: sync.OnceFunc(func() { close(delivered) })}
	var carried atomic.Int32
	n.submissionProxy = startSubmissionProxy(t, provider, func(string, int) ending {
		switch nth := int(carried.Add(1)); {
		case nth > first:
			n.deliver()
			return nil
		case nth == first:
			close(n.full)
		}
		return func(w http.ResponseWriter, pass func() (int, []byte)) {
			<-delivered
			status, body := pass()
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	})
	t.Cleanup(n.deliver)
	return n
}

// deliverAfter ends the delay after a time.
func (n *slowNetwork) deliverAfter(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.AfterFunc(d, n.deliver)
	t.Cleanup(func() { timer.Stop() })
}

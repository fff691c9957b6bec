package e2e_test

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise03_NeverPayTwiceWhenKilled kills the process before the provider has acted, after it has acted and before
// it answers, and just after its answer.
//
// It fails without ErrAlreadySent in internal/task/attempt_inputs.go: the rescued job sends again.
func TestPromise03_NeverPayTwiceWhenKilled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		created bool
		answers bool
	}{
		{"before the provider acts", false, false},
		{"before it answers", true, false},
		{"as it answers", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: testWebhookKey, CallbackAttempts: 2000, CallbackSpacing: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = provider.Close() })
			arrived, killed := make(chan struct{}), make(chan struct{})
			letGo := sync.OnceFunc(func() { close(killed) })
			proxy := startSubmissionProxy(t, provider, func(_ string, nth int) ending {
				if nth > 1 {
					return nil
				}
				return func(w http.ResponseWriter, pass func() (int, []byte)) {
					if tc.created {
						status, body := pass()
						if tc.answers {
							w.WriteHeader(status)
							_, _ = w.Write(body)
							_ = http.NewResponseController(w).Flush()
						}
					}
					close(arrived)
					<-killed
				}
			})
			t.Cleanup(letGo)
			database := postgrestest.URL(t)
			pool := postgrestest.Connect(t, database)
			gate := startGate(t)
			args := processArgs(t, database, proxy.url, "--callback-url="+gate.url)
			first := startProcess(t, args...)
			submitted, err := first.tasks.SubmitTask(t.Context(), goodRequest())
			if err != nil {
				t.Fatal(err)
			}
			id, prompt := submitted.GetTask().GetId(), submitted.GetTask().GetPrompt()
			<-arrived
			first.kill()
			letGo()
			gate.toAddress(startProcess(t, args...).ingress)
			eventually(t, "the attempt to be settled", func() bool {
				return ask[bool](t, pool, "SELECT state IN ('UNCONFIRMED', 'RUNNING') AND sent FROM attempt WHERE task_id = $1", id)
			})
			gate.open.Store(true)
			want := "RUNNING" // No callback will come; it waits.
			if tc.created {
				want = "SUCCEEDED"
			}
			eventually(t, "the task to be "+want, func() bool {
				return ask[string](t, pool, "SELECT state FROM task WHERE id = $1", id) == want
			})
			paid := sim.CountPaid(provider.Ledger(), sim.ByPrompt)[prompt]
			if proxy.sent(prompt) != 1 || paid > 1 || tc.created != (paid == 1) {
				t.Errorf("sent %d times and paid for %d times, want once", proxy.sent(prompt), paid)
			}
		})
	}
}

// TestPromise03_NeverPayTwiceWhenTheDatabaseIsLost cuts the database off while the provider answers.
//
// It fails when settleAnswer in internal/lifecycle/send.go gives up after its first try: the outcome is unknown then.
func TestPromise03_NeverPayTwiceWhenTheDatabaseIsLost(t *testing.T) {
	t.Parallel()
	gate := startGate(t)
	var wire *wiretap
	f := startFleet(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.CallbackURL, c.Kie.CallbackAttempts = gate.url, 2000
		u, err := url.Parse(f.DatabaseURL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		wire = startWiretap(t, u.Host)
	})
	proxy := startSubmissionProxy(t, f.sim, func(string, int) ending {
		return func(w http.ResponseWriter, pass func() (int, []byte)) {
			status, body := pass()
			wire.set(true)
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	})
	u, _ := url.Parse(f.flags.DatabaseURL.Reveal())
	u.Host = wire.address
	f.flags.DatabaseURL, f.flags.KIE.URL = redact.Secret(u.String()), proxy.url
	ts := f.start(t)
	gate.to(ts)
	task := ts.submit(t, "")
	eventually(t, "the service to miss its database", func() bool { return wire.refused.Load() > 3 })
	wire.set(false)
	eventually(t, "the answer to be written down", func() bool {
		return ask[bool](t, f.pool, `SELECT state = 'RUNNING' AND provider_task_id <> '' FROM attempt`)
	})
	if n := ask[int](t, f.pool, "SELECT count(*) FROM task_event WHERE message LIKE '%unknown%'"); n != 0 {
		t.Errorf("the outcome was unknown %d times", n)
	}
	gate.open.Store(true)
	eventually(t, "the task to succeed", func() bool { return ask[string](t, f.pool, "SELECT state FROM task") == "SUCCEEDED" })
	if paid := sim.CountPaid(f.sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 || proxy.sent(task.GetPrompt()) != 1 {
		t.Errorf("sent %d times and paid for %d times, want once", proxy.sent(task.GetPrompt()), paid)
	}
}

// TestPromise03_NeverPayTwiceWhenAJobRunsTwice gives the job of a running submission to the other replica, as happens
// when a replica loses its connection to the database for a while.
//
// It fails without ErrAlreadySent in internal/task/attempt_inputs.go. The answer counts at once because accept there
// takes UNCONFIRMED attempts. Otherwise the next check would ask by the id of the answer.
func TestPromise03_NeverPayTwiceWhenAJobRunsTwice(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{kie.Name, lumaagents.Name} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			answer := make(chan struct{})
			release := sync.OnceFunc(func() { close(answer) })
			r := startPayment(t, provider, func(w http.ResponseWriter, pass func() (int, []byte)) {
				status, body := pass()
				<-answer
				w.WriteHeader(status)
				_, _ = w.Write(body)
			})
			t.Cleanup(release)
			r.gate.to(r.ts, r.fleet.start(t))
			id := r.ts.submit(t, "first", at(provider)).GetId()
			eventually(t, "the submission to be under way", func() bool { return r.paid("first") == 1 })
			do(t, r.ts.pool, "UPDATE river_job SET state = 'available', scheduled_at = now() WHERE kind = 'submit_attempt'")
			r.expect(t, id, "UNCONFIRMED", "RUNNING")
			release()
			eventually(t, "the answer to be adopted", func() bool {
				return ask[bool](t, r.ts.pool, "SELECT provider_task_id <> '' FROM attempt WHERE task_id = $1", id)
			})
			r.gate.open.Store(true)
			r.expectEnd(t, id, "SUCCEEDED", 1, 1)
		})
	}
}

// TestPromise03_NothingWasSent configures a provider address on which no process listens for a while. The refused
// connection proves that nothing was sent, so the task is sent again automatically.
//
// It fails when NotSent in internal/lifecycle/submission_rules.go awaits a callback.
func TestPromise03_NothingWasSent(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	ts := startService(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.KIE.URL = "http://" + address
	})
	task := ts.submit(t, "")
	eventually(t, "the attempt to be refused", func() bool {
		return ask[bool](t, ts.pool, "SELECT EXISTS (SELECT FROM attempt WHERE state = 'REFUSED')")
	})
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("another program took the address meanwhile: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { forward(w, r, ts.sim.URL()) }), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(func() { _ = server.Close() })
	do(t, ts.pool, "UPDATE provider_account SET paused_until_time = now()")
	do(t, ts.pool, "UPDATE task SET not_before_time = now()")
	if last := ts.end(t, task.GetId()); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if paid := sim.CountPaid(ts.sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 {
		t.Errorf("paid for %d times, want once", paid)
	}
}

// TestPromise03_AnOutageIsBraked ends every submission with an unknown outcome. A few of them in a row must pause the
// account before the outage turns the whole queue into attempts that may have been paid for. Then single attempts probe
// the account.
//
// It fails without brake in internal/lifecycle/submission_rules.go.
func TestPromise03_AnOutageIsBraked(t *testing.T) {
	t.Parallel()
	gate := startGate(t)
	f := startFleet(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.KIE.Limits = []string{"2/50ms/1000"}
		f.CallbackURL, c.Kie.CallbackAttempts = gate.url, 2000
	})
	var down atomic.Bool
	down.Store(true)
	proxy := startSubmissionProxy(t, f.sim, func(string, int) ending {
		if down.Load() {
			return answered(500, "")
		}
		return nil
	})
	f.flags.KIE.URL = proxy.url
	replicas := f.startAll(t, 2)
	gate.to(replicas...)
	const tasks = 30
	for i := range tasks {
		replicas[i%2].submit(t, strconv.Itoa(i))
	}
	eventually(t, "the account to pause", func() bool {
		return ask[bool](t, f.pool, "SELECT pause_reason = 'unknown_outcomes' FROM provider_account WHERE account = 'kie'")
	})
	if n := ask[int](t, f.pool, "SELECT count(*) FROM attempt"); n > 8 {
		t.Errorf("%d attempts were made until the account paused, want 3 and what was under way", n)
	}
	do(t, f.pool, "UPDATE provider_account SET paused_until_time = now()")
	eventually(t, "the probe to pause the account again", func() bool {
		return ask[int](t, f.pool, "SELECT pauses FROM provider_account WHERE account = 'kie'") == 2
	})
	down.Store(false)
	gate.open.Store(true)
	do(t, f.pool, "UPDATE provider_account SET paused_until_time = now()")
	eventually(t, "all to succeed", func() bool {
		return ask[int](t, f.pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'") == tasks
	})
	if paid := len(f.sim.Ledger()); paid != tasks {
		t.Errorf("%d submissions, want one for each of %d tasks", paid, tasks)
	}
}

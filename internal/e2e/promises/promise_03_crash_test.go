package promises_test

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/nettest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestPromise03_NeverPayTwiceWhenKilled kills the process with three submissions under way: the provider has not acted on the first, has
// acted on the second and not answered, and has just answered the third.
//
// It fails without ErrAlreadySent in internal/task/attempt_inputs.go, and when a.Sent is not set there.
func TestPromise03_NeverPayTwiceWhenKilled(t *testing.T) {
	t.Parallel()
	provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey, CallbackAttempts: 2000, CallbackSpacing: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	const before, unanswered, answering = "before the provider acts", "before it answers", "as it answers"
	var arrived sync.WaitGroup
	arrived.Add(2) // Those that get no answer.
	answered, killed := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(killed) })
	proxy := startSubmissionProxy(t, provider, func(prompt string, nth int) ending {
		if nth > 1 {
			return nil
		}
		return func(w http.ResponseWriter, pass func() (int, []byte)) {
			switch prompt {
			case before:
				arrived.Done()
			case unanswered:
				pass()
				arrived.Done()
			case answering:
				status, body := pass()
				arrived.Wait()
				w.WriteHeader(status)
				_, _ = w.Write(body)
				_ = http.NewResponseController(w).Flush()
				close(answered)
			}
			<-killed
		}
	})
	t.Cleanup(letGo)
	database := postgrestest.URL(t)
	pool := postgrestest.Connect(t, database)
	gate := e2etest.StartGate(t)
	args := e2etest.ProcessArgs(t, e2etest.FewConnections(database), proxy.url, "--callback-url="+gate.URL)
	first := e2etest.StartProcess(t, args...)
	prompts := []string{before, unanswered, answering}
	ids := map[string]string{}
	for _, prompt := range prompts {
		req := e2etest.GoodRequest()
		req.Prompt = prompt
		submitted, err := first.Tasks.SubmitTask(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ids[prompt] = submitted.GetTask().GetId()
	}
	<-answered
	first.Kill()
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM attempt WHERE NOT sent"); n != 0 {
		t.Fatalf("%d submissions left without a record that they are sent", n)
	}
	letGo()
	gate.ToAddress(e2etest.StartProcess(t, args...).Ingress)
	e2etest.Eventually(t, "the attempts to be settled", func() bool {
		return postgrestest.Value[int](t, pool, "SELECT count(*) FROM attempt WHERE state <> 'SUBMITTING'") == len(prompts)
	})
	gate.Open.Store(true)
	for _, prompt := range []string{unanswered, answering} {
		e2etest.Eventually(t, "the task to succeed that was killed "+prompt, func() bool {
			return postgrestest.Value[string](t, pool, "SELECT state FROM task WHERE id = $1", ids[prompt]) == "SUCCEEDED"
		})
	}
	if state := postgrestest.Value[string](t, pool, "SELECT state FROM task WHERE id = $1", ids[before]); state != "RUNNING" {
		t.Errorf("the task that was killed %s is %s, want RUNNING: no callback will come, and it waits", before, state)
	}
	for _, prompt := range prompts {
		created := 1
		if prompt == before {
			created = 0
		}
		if paid := sim.CountPaid(provider.Ledger(), sim.ByPrompt)[prompt]; proxy.sent(prompt) != 1 || paid != created {
			t.Errorf("killed %s: sent %d times and paid for %d times, want once and %d", prompt, proxy.sent(prompt), paid, created)
		}
	}
	if n := postgrestest.Value[int](t, pool, "SELECT count(*) FROM attempt"); n != len(prompts) {
		t.Errorf("%d attempts were made for %d tasks", n, len(prompts))
	}
}

// loseFirstAnswer makes the database end the session that first writes the answer of a provider down, as a failover does.
const loseFirstAnswer = `
CREATE SEQUENCE answer_writes;
CREATE FUNCTION lose_first_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('answer_writes') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER lose_first_answer BEFORE UPDATE ON attempt FOR EACH ROW
WHEN (OLD.provider_task_id = '' AND NEW.provider_task_id <> '') EXECUTE FUNCTION lose_first_answer()`

// TestPromise03_NeverPayTwiceWhenTheDatabaseIsLost loses the database while the answer of the provider is written down.
//
// It fails when settleAnswer in internal/lifecycle/send.go gives up after its first try: the job of the submission fails then, and another
// run has to find out what the answer was.
func TestPromise03_NeverPayTwiceWhenTheDatabaseIsLost(t *testing.T) {
	t.Parallel()
	gate := e2etest.StartGate(t)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.CallbackURL, c.Kie.CallbackAttempts = gate.URL, 2000
	})
	proxy := startSubmissionProxy(t, f.Sim, func(string, int) ending { return nil })
	f.Config.KIE.URL = proxy.url
	postgrestest.Exec(t, f.Pool, loseFirstAnswer)
	ts := f.Start(t)
	gate.To(ts)
	task := ts.Submit(t, "")
	e2etest.Eventually(t, "the answer to be written down", func() bool {
		return postgrestest.Value[bool](t, f.Pool, `SELECT EXISTS (SELECT FROM attempt WHERE provider_task_id <> '')`)
	})
	if n := postgrestest.Value[int](t, f.Pool, "SELECT last_value FROM answer_writes"); n < 2 {
		t.Fatalf("the answer was written %d times, want another time after the first was lost", n)
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT attempt FROM river_job WHERE kind = 'submit_attempt'"); n != 1 {
		t.Errorf("the job of the submission ran %d times, want the first run to keep the answer", n)
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM task_event WHERE message LIKE '%unknown%'"); n != 0 {
		t.Errorf("the outcome was unknown %d times", n)
	}
	gate.Open.Store(true)
	e2etest.Eventually(t, "the task to succeed", func() bool { return postgrestest.Value[string](t, f.Pool, "SELECT state FROM task") == "SUCCEEDED" })
	if paid := sim.CountPaid(f.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 || proxy.sent(task.GetPrompt()) != 1 {
		t.Errorf("sent %d times and paid for %d times, want once", proxy.sent(task.GetPrompt()), paid)
	}
}

// TestPromise03_NeverPayTwiceWhenAJobRunsTwice gives the jobs of running submissions to the other replica, as happens
// when a replica loses its connection to the database for a while.
//
// It fails without ErrAlreadySent in internal/task/attempt_inputs.go. The answer counts at once because accept there
// takes UNCONFIRMED attempts. Otherwise the next check would ask by the id of the answer.
func TestPromise03_NeverPayTwiceWhenAJobRunsTwice(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	r := startPayment(t, true, func(w http.ResponseWriter, pass func() (int, []byte)) {
		status, body := pass()
		<-answer
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	t.Cleanup(release)
	r.gate.To(r.ts, r.fleet.Start(t))
	ids := map[string]string{} // By provider.
	for _, provider := range []string{kie.Name, lumaagents.Name} {
		ids[provider] = r.ts.Submit(t, provider+": first", e2etest.At(provider)).GetId()
	}
	e2etest.Eventually(t, "the submissions to be under way", func() bool { return r.paid("first") == len(ids) })
	if n := postgrestest.Value[int](t, r.ts.Pool, "SELECT count(*) FROM attempt WHERE NOT sent"); n != 0 {
		t.Fatalf("%d submissions are under way without a record that they are sent", n)
	}
	postgrestest.Exec(t, r.ts.Pool, "UPDATE river_job SET state = 'available', scheduled_at = now() WHERE kind = 'submit_attempt'")
	for _, id := range ids {
		r.expect(t, id, "UNCONFIRMED", "RUNNING")
	}
	release()
	for provider, id := range ids {
		e2etest.Eventually(t, "the answer of "+provider+" to be adopted", func() bool {
			return postgrestest.Value[bool](t, r.ts.Pool, "SELECT provider_task_id <> '' FROM attempt WHERE task_id = $1", id)
		})
	}
	r.gate.Open.Store(true)
	for _, id := range ids {
		r.expectEnd(t, id, "SUCCEEDED", 1, 1)
	}
}

// TestPromise03_NothingWasSent configures a provider address on which no process listens for a while. The refused
// connection proves that nothing was sent, so the task is sent again automatically.
//
// It fails when NotSent in internal/lifecycle/submission_rules.go awaits a callback.
func TestPromise03_NothingWasSent(t *testing.T) {
	t.Parallel()
	address := nettest.FreeAddress(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.KIE.URL = "http://" + address
	})
	task := ts.Submit(t, "")
	e2etest.Eventually(t, "the attempt to be refused", func() bool {
		return postgrestest.Value[bool](t, ts.Pool, "SELECT EXISTS (SELECT FROM attempt WHERE state = 'REFUSED')")
	})
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("another program took the address meanwhile: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e2etest.Forward(w, r, ts.Sim.URL()) }), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(func() { _ = server.Close() })
	postgrestest.Exec(t, ts.Pool, "UPDATE provider_account SET paused_until_time = now()")
	postgrestest.Exec(t, ts.Pool, "UPDATE task SET not_before_time = now()")
	if last := ts.End(t, task.GetId()); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Errorf("ended %v, want SUCCEEDED", last)
	}
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 {
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
	gate := e2etest.StartGate(t)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.KIE.Limits = []string{"2/50ms/1000"}
		f.CallbackURL, c.Kie.CallbackAttempts = gate.URL, 2000
	})
	var down atomic.Bool
	down.Store(true)
	proxy := startSubmissionProxy(t, f.Sim, func(string, int) ending {
		if down.Load() {
			return answered(500, "")
		}
		return nil
	})
	f.Config.KIE.URL = proxy.url
	replicas := f.StartAll(t, 2)
	gate.To(replicas...)
	const tasks = 16 // Twice as many as may be sent before the account pauses.
	for i := range tasks {
		replicas[i%2].Submit(t, strconv.Itoa(i))
	}
	e2etest.Eventually(t, "the account to pause", func() bool {
		return postgrestest.Value[bool](t, f.Pool, "SELECT pause_reason = 'unknown_outcomes' FROM provider_account WHERE account = 'kie'")
	})
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM attempt"); n > 8 {
		t.Errorf("%d attempts were made until the account paused, want 3 and what was under way", n)
	}
	postgrestest.Exec(t, f.Pool, "UPDATE provider_account SET paused_until_time = now()")
	e2etest.Eventually(t, "the probe to pause the account again", func() bool {
		return postgrestest.Value[int](t, f.Pool, "SELECT pauses FROM provider_account WHERE account = 'kie'") >= 2
	})
	down.Store(false)
	gate.Open.Store(true)
	postgrestest.Exec(t, f.Pool, "UPDATE provider_account SET paused_until_time = now()")
	e2etest.Eventually(t, "all to succeed", func() bool {
		return postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'") == tasks
	})
	if paid := len(f.Sim.Ledger()); paid != tasks {
		t.Errorf("%d submissions, want one for each of %d tasks", paid, tasks)
	}
}

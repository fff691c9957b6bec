package promises_test

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/provider/lumaagents"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// ending is a way in which a submission can end. It answers in place of the provider, which it can reach by pass.
type ending func(w http.ResponseWriter, pass func() (status int, body []byte))

// answered lets the provider create the task, and then gives another answer.
func answered(status int, body string, header ...string) ending {
	return func(w http.ResponseWriter, pass func() (int, []byte)) {
		pass()
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// broken resets the connection after a part of the answer.
func broken(created bool, part string) ending {
	return func(w http.ResponseWriter, pass func() (int, []byte)) {
		if created {
			pass()
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, part)
		if tcp, ok := conn.(*net.TCPConn); ok && part == "" {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// submissionProxy is a proxy to the provider. It changes the end of submissions whose prompt names an ending, once
// each, and passes everything else.
type submissionProxy struct {
	url   string
	mu    sync.Mutex
	posts map[string]int // The number of submissions, by prompt.
}

func startSubmissionProxy(t *testing.T, provider *sim.Server, end func(prompt string, nth int) ending) *submissionProxy {
	t.Helper()
	m := &submissionProxy{posts: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if r.Method != http.MethodPost || !strings.Contains(string(body), `"prompt"`) {
			e2etest.Forward(w, r, provider.URL())
			return
		}
		prompt := promptIn(body)
		m.mu.Lock()
		m.posts[prompt]++
		e := end(prompt, m.posts[prompt])
		m.mu.Unlock()
		if e == nil {
			e2etest.Forward(w, r, provider.URL())
			return
		}
		e(w, func() (int, []byte) {
			status, answer, _ := e2etest.PassOn(r, provider.URL())
			return status, answer
		})
	}))
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// promptIn returns the prompt of a submission.
func promptIn(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"prompt":"`)
	prompt, _, _ := strings.Cut(rest, `"`)
	return prompt
}

// sent returns the number of submissions of a prompt.
func (m *submissionProxy) sent(prompt string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.posts[prompt]
}

// total returns the number of submissions.
func (m *submissionProxy) total() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, posts := range m.posts {
		n += posts
	}
	return n
}

// TestPromise03_NeverPayTwice ends a submission in every possible way. Columns: the state of the attempt and the task
// afterwards, whether the task is sent again automatically, and how often the ledger says it was paid then. An unknown
// outcome is followed in two ways: to the callback, which names the attempt through its URL token, and to the end of
// the wait for one, and the retry.
//
// It fails when the row of Ambiguous in internal/lifecycle/submission_rules.go says sendAgain. The tests of internal/provider
// fail with a GetBody in wire/call.go, and those of internal/lifecycle without the index of migration 00021.
func TestPromise03_NeverPayTwice(t *testing.T) {
	t.Parallel()
	const (
		queued, running, failed = "QUEUED", "RUNNING", "FAILED"
		refused, unconfirmed    = "REFUSED", "UNCONFIRMED"
	)
	drop := func(created bool) ending { return broken(created, "") }
	for name, rows := range byService([]submissionEnd{
		{"accepted", "", nil, running, running, false, 1},
		{"refused with 429", "", without(429, `{"code":429,"msg":"slow down"}`), refused, queued, true, 0},
		{"refused with 429 in the body", "", without(200, `{"code":429,"msg":"slow down"}`), refused, queued, true, 0},
		{"no credits", "", without(200, `{"code":402,"msg":"pay"}`), refused, queued, true, 0},
		{"turned away by a firewall", "", without(403, `<html>error code: 1010</html>`), refused, queued, true, 0},
		{"allowance of the key used up", "", without(200, `{"code":433,"msg":"later"}`), refused, queued, true, 0},
		{"rejected", "", without(200, `{"code":422,"msg":"bad prompt"}`), refused, failed, false, 0},
		{"generation failed at once", "", answered(200, `{"code":501,"msg":"failed"}`), "FAILED", failed, false, 1},

		{"connection reset, created", "", drop(true), unconfirmed, running, false, 1},
		{"connection reset, not created", "", drop(false), unconfirmed, running, false, 0},
		{"answer cut short", "", broken(true, "HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n{\"code\":200,\"data\":{\"ta"), unconfirmed, running, false, 1},
		{"500", "", answered(500, `{"code":500,"msg":"oops"}`), unconfirmed, running, false, 1},
		{"500 in the body", "", answered(200, `{"code":500,"msg":"oops"}`), unconfirmed, running, false, 1},
		{"502 by a proxy", "", answered(502, `<html>bad gateway</html>`), unconfirmed, running, false, 1},
		{"307 to the same address", "", answered(307, ``, "Location", "/api/v1/modify/generate"), unconfirmed, running, false, 1},
		{"200 without an id", "", answered(200, `{"code":200,"msg":"success","data":{}}`), unconfirmed, running, false, 1},
		{"200 with an HTML page", "", answered(200, `<html>hello</html>`), unconfirmed, running, false, 1},
		{"429 that names a task", "", answered(429, `{"code":429,"data":{"taskId":"0123456789abcdef"}}`), unconfirmed, running, false, 1},
		{"422 that names a task", "", answered(200, `{"code":422,"data":{"task_id":"0123456789abcdef"}}`), unconfirmed, running, false, 1},

		{"luma, connection reset", luma.Name, drop(true), unconfirmed, running, false, 1},
		{"luma, 409", luma.Name, answered(409, `{"detail":"conflict"}`), unconfirmed, running, false, 1},
		{"luma, 429", luma.Name, without(429, `{"detail":"slow down"}`), refused, queued, true, 0},
		// No callback will ever come.
		{"luma-agents, connection reset", lumaagents.Name, drop(true), "LOST", failed, false, 1},
		{"luma-agents, 503", lumaagents.Name, answered(503, `{"detail":"later"}`), "LOST", failed, false, 1},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startPayment(t, name != kie.Name, nil)
			for _, row := range rows {
				t.Run(row.name, func(t *testing.T) { r.endSubmission(t, row) })
			}
		})
	}
}

// submissionEnd is a way in which a submission ends, with the expected consequences.
type submissionEnd struct {
	name     string
	provider string // Empty means kie.
	end      ending
	attempt  string
	task     string
	again    bool // Whether it is sent again automatically.
	paid     int  // In the ledger, before that.
}

// atProvider names the provider of the row.
func (row submissionEnd) atProvider() func(*refractv1.SubmitTaskRequest) {
	return e2etest.At(cmp.Or(row.provider, kie.Name))
}

// byService divides rows among a service with kie alone, and one with every provider. The rows of a service run one after the other.
func byService(rows []submissionEnd) map[string][]submissionEnd {
	services := map[string][]submissionEnd{}
	for _, row := range rows {
		name := kie.Name
		if row.provider != "" {
			name = "others"
		}
		services[name] = append(services[name], row)
	}
	return services
}

// endSubmission ends the first submission of a task as the row says, on an account without a history, and follows the
// task to its end.
func (r *payment) endSubmission(t *testing.T, row submissionEnd) {
	t.Helper()
	postgrestest.Exec(t, r.ts.Pool, "UPDATE provider_account SET paused_until_time = NULL, pauses = 0, blocked = false, unknowns = 0")
	r.gate.Open.Store(false)
	r.end.Store(&row.end)
	first := row.name + ": first"
	id := r.ts.Submit(t, first, row.atProvider()).GetId()
	r.expect(t, id, row.attempt, row.task)
	if paid := r.paid(first); paid != row.paid {
		t.Errorf("paid %d times, want %d", paid, row.paid)
	}
	switch {
	case row.again:
		postgrestest.Exec(t, r.ts.Pool, "UPDATE provider_account SET paused_until_time = now()")
		r.gate.Open.Store(true)
		r.expectEnd(t, id, "SUCCEEDED", row.paid+1, 2)
	case row.attempt == "UNCONFIRMED":
		r.followUnknown(t, id, row)
	case row.attempt == "RUNNING":
		r.gate.Open.Store(true)
		r.expectEnd(t, id, "SUCCEEDED", 1, 1)
	default: // It has failed, and only a caller can request another attempt.
		r.expectEnd(t, id, "FAILED", row.paid, 1)
		r.gate.Open.Store(true)
		r.ts.Retry(t, id)
		r.expectEnd(t, id, "SUCCEEDED", row.paid+1, 2)
	}
}

// without answers and creates nothing.
func without(status int, body string) ending {
	return func(w http.ResponseWriter, _ func() (int, []byte)) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// payment is a service whose provider ends the first submission of each prompt as the test chooses.
type payment struct {
	fleet *e2etest.Fleet
	ts    *e2etest.Service
	gate  *e2etest.Gate
	proxy *submissionProxy
	end   atomic.Pointer[ending] // The end of the first submission of each prompt.
}

// startPayment starts the service with every provider, or with kie alone.
func startPayment(t *testing.T, every bool, end ending) *payment {
	t.Helper()
	r := &payment{gate: e2etest.StartGate(t)}
	r.end.Store(&end)
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		if every {
			e2etest.EveryProvider(f, c)
		}
		e2etest.Unlimited(f, c)
		f.KIE.Poll, f.Luma.Poll = time.Hour, 300*time.Millisecond // No check of kie moves a task out of RUNNING.
		f.CallbackURL, c.Kie.CallbackAttempts, c.Luma.CallbackAttempts = r.gate.URL, 20_000, 20_000
	})
	r.proxy = startSubmissionProxy(t, f.Sim, func(_ string, nth int) ending {
		if nth == 1 {
			return *r.end.Load()
		}
		return nil
	})
	f.Config.KIE.URL = r.proxy.url
	f.Config.Luma.URL = r.proxy.url + strings.TrimPrefix(f.Sim.BaseURL("luma"), f.Sim.URL())
	f.Config.LumaAgents.URL = r.proxy.url + strings.TrimPrefix(f.Sim.BaseURL("luma-agents"), f.Sim.URL())
	r.fleet, r.ts = f, f.Start(t)
	r.gate.To(r.ts)
	return r
}

// paid returns what the ledger says about the prompts that end with a word.
func (r *payment) paid(word string) (n int) {
	for prompt, paid := range sim.CountPaid(r.ts.Sim.Ledger(), sim.ByPrompt) {
		if strings.HasSuffix(prompt, word) {
			n += paid
		}
	}
	return n
}

// expect waits until the first attempt of a task and the task are in these states.
func (r *payment) expect(t *testing.T, id, attempt, task string) {
	t.Helper()
	e2etest.Eventually(t, "attempt 1 "+attempt+", task "+task, func() bool {
		return postgrestest.Value[bool](t, r.ts.Pool, `SELECT coalesce((SELECT attempt.state = $2 AND task.state = $3
			FROM task JOIN attempt ON task_id = task.id AND number = 1 WHERE task.id = $1), false)`, id, attempt, task)
	})
}

// expectEnd waits for the end of a task, and checks how often it was paid for and sent.
func (r *payment) expectEnd(t *testing.T, id, want string, paid, sent int) {
	t.Helper()
	e2etest.Eventually(t, "the task to be "+want, func() bool {
		return postgrestest.Value[string](t, r.ts.Pool, "SELECT state FROM task WHERE id = $1", id) == want
	})
	prompt := r.ts.Get(t, id).GetPrompt()
	if got := sim.CountPaid(r.ts.Sim.Ledger(), sim.ByPrompt)[prompt]; got != paid || r.proxy.sent(prompt) != sent {
		t.Errorf("sent %d times and paid for %d times, want %d and %d", r.proxy.sent(prompt), got, sent, paid)
	}
	for url, n := range sim.CountPaid(r.ts.Sim.Ledger(), sim.ByCallbackURL) {
		if n > 1 && url != "" {
			t.Errorf("one attempt was paid for %d times", n)
		}
	}
}

// check makes the check of an attempt due, and waits until a replica has claimed it.
func (r *payment) check(t *testing.T, id string) {
	t.Helper()
	due := postgrestest.Value[time.Time](t, r.ts.Pool, `UPDATE attempt SET next_check_time = now() WHERE task_id = $1 RETURNING next_check_time`, id)
	e2etest.Eventually(t, "a check", func() bool {
		return postgrestest.Value[bool](t, r.ts.Pool, `SELECT next_check_time > $2 FROM attempt WHERE task_id = $1`, id, due)
	})
}

// followUnknown follows an attempt with unknown outcome to its callback, and that of a second task to the end of the wait.
func (r *payment) followUnknown(t *testing.T, id string, row submissionEnd) {
	t.Helper()
	lost := r.ts.Submit(t, row.name+": second", row.atProvider()).GetId()
	r.expect(t, lost, "UNCONFIRMED", "RUNNING")
	r.check(t, id) // It must neither give the attempt up nor send it again, as the rest shows.
	r.expect(t, id, "UNCONFIRMED", "RUNNING")
	postgrestest.Exec(t, r.ts.Pool, `UPDATE attempt SET create_time = now() - interval '31 minutes', next_check_time = now() WHERE task_id = $1`, lost)
	last := r.ts.End(t, lost)
	if f := last.GetFailure(); f.GetReason() != refractv1.FailureReason_FAILURE_REASON_OUTCOME_UNKNOWN || f.GetPayment() != refractv1.Payment_PAYMENT_UNKNOWN {
		t.Errorf("failed with %v, want OUTCOME_UNKNOWN and a payment that is unknown", f)
	}
	if row.paid == 0 { // No callback will come. The retry permits another paid attempt.
		r.gate.Open.Store(true)
		r.ts.Retry(t, lost)
		r.expectEnd(t, lost, "SUCCEEDED", 1, 2)
		if state := r.ts.Get(t, id).GetState(); state != refractv1.TaskState_TASK_STATE_RUNNING {
			t.Errorf("the task that waits is %v, want RUNNING", state)
		}
		return
	}
	r.gate.Open.Store(true)
	r.expectEnd(t, id, "SUCCEEDED", 1, 1)
	// The late result is kept and not shown until a retry adopts it for free.
	e2etest.Eventually(t, "the late result", func() bool {
		return postgrestest.Value[string](t, r.ts.Pool, "SELECT state FROM attempt WHERE task_id = $1", lost) == "SUCCEEDED"
	})
	if state := r.ts.Get(t, lost).GetState(); state != refractv1.TaskState_TASK_STATE_FAILED {
		t.Errorf("the late result made the task %v", state)
	}
	r.ts.Retry(t, lost)
	r.expectEnd(t, lost, "SUCCEEDED", 1, 1)
}

package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// The tests named TestPromiseNN_… try to break the promises of docs/guarantees.md, which names them. They compare with
// the provider's ledger and the database. Each comment says which change of the code makes the test fail.

// unlimited configures a provider and its account without effective limits, and makes checks frequent.
func unlimited(f *server.Config, c *simConfig) {
	f.KIE.Limits, f.KIE.Poll = []string{"1000/1s/1000"}, 300*time.Millisecond
	c.Kie.SubmitLimit, c.Kie.QueryLimit, c.Credits = sim.Limit{N: -1}, sim.Limit{N: -1}, 1_000_000
}

// hung bounds every wait of a test. A test that waits longer hangs, on any machine.
const hung = 15 * time.Minute

// eventually polls a condition until it holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline, ticker := time.After(hung), time.NewTicker(50*time.Millisecond)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// ask returns the single value of a query.
func ask[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// do runs a statement that simulates the passage of time or the crash of a process.
func do(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// metric returns the sum of a counter's series with these labels.
func (ts *testService) metric(t *testing.T, name string, labels ...string) int {
	t.Helper()
	_, _, text := request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/metrics", "")
	sum := 0
	for _, series := range regexp.MustCompile(`(?m)^`+name+`\{(.*)\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		fits := true
		for _, label := range labels {
			fits = fits && strings.Contains(series[1], label)
		}
		if n, err := strconv.Atoi(series[2]); err == nil && fits {
			sum += n
		}
	}
	return sum
}

// retry retries a task.
func (ts *testService) retry(t *testing.T, id string) {
	t.Helper()
	if _, err := ts.tasks.RetryTask(ts.ctx(t), &refractv1.RetryTaskRequest{TaskId: id}); err != nil {
		t.Fatalf("retry: %v", err)
	}
}

// gate receives a provider's callbacks. While it is closed, it refuses them. While it is open, it passes them to the
// ingress of one of the replicas.
type gate struct {
	url  string
	open atomic.Bool

	mu      sync.Mutex
	ingress []string        // Addresses.
	passing *sync.WaitGroup // The callbacks that are passed on to them.
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{passing: &sync.WaitGroup{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		addresses, passing := g.ingress, g.passing
		passing.Add(1)
		g.mu.Unlock()
		defer passing.Done()
		if !g.open.Load() {
			addresses = nil
		}
		for _, address := range addresses {
			if forward(w, r, "http://"+address) {
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// to sets the replicas that get the callbacks.
func (g *gate) to(replicas ...*testService) {
	var addresses []string
	for _, ts := range replicas {
		addresses = append(addresses, ts.IngressAddr())
	}
	g.toAddress(addresses...)
}

// toAddress is to for replicas in other processes. It returns the callbacks that are on their way to those before.
func (g *gate) toAddress(ingress ...string) (passing *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	passing = g.passing
	g.ingress, g.passing = ingress, &sync.WaitGroup{}
	return passing
}

// forward passes a request on, and its answer back if there is one.
func forward(w http.ResponseWriter, r *http.Request, base string) bool {
	status, body, ok := passOn(r, base)
	if ok {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	return ok
}

// passOn passes a request on and returns the answer.
func passOn(r *http.Request, base string) (status int, body []byte, ok bool) {
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, base+r.URL.RequestURI(), r.Body)
	if err != nil {
		return 0, nil, false
	}
	out.Header, out.ContentLength, out.Close = r.Header.Clone(), r.ContentLength, true
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return 0, nil, false
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err == nil
}

// wiretap is a TCP proxy in front of a listener. It can be cut.
type wiretap struct {
	address string
	refused atomic.Int32 // The number of connections that were refused while it was cut.

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func startWiretap(t *testing.T, target string) *wiretap {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{address: lis.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			if w.refuses() { // At once: each connection would cost the database a process.
				_ = in.Close()
				continue
			}
			out, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", target)
			if err != nil || !w.add(in, out) {
				_ = in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		w.set(true)
		wg.Wait()
	})
	return w
}

// refuses reports whether the wire is cut, and counts the connection that it then refuses.
func (w *wiretap) refuses() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.countRefused()
}

func (w *wiretap) countRefused() bool {
	if w.cut {
		w.refused.Add(1)
	}
	return w.cut
}

// add registers a pair of connections, or closes the outgoing one if the wire was cut meanwhile.
func (w *wiretap) add(in, out net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.countRefused() {
		_ = out.Close()
		return false
	}
	w.conns = append(w.conns, in, out)
	return true
}

// set cuts the wire, including its connections, or restores it.
func (w *wiretap) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

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

// The tests named TestPromiseNN_… try to break the promises of docs/guarantees.md, which names them. Their witnesses
// are the provider's ledger and the database. Each says what to take out of the code to see it fail.

// unlimited lets a provider and its account do what they can, and makes checks quick.
func unlimited(f *server.Config, c *simConfig) {
	f.KIE.Limits, f.KIE.Poll = []string{"1000/1s/1000"}, 300*time.Millisecond
	c.Kie.SubmitLimit, c.Kie.QueryLimit, c.Credits = sim.Limit{N: -1}, sim.Limit{N: -1}, 1_000_000
}

// hung bounds every wait of a test: what takes longer has stopped, on any machine.
const hung = 5 * time.Minute

// eventually waits until a condition holds, which it asks again and again.
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

// ask returns the one value that a query gives.
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

// do runs a statement, which stands for time that passes or for a process that dies.
func do(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// metric returns the sum of a counter's series that carry these labels.
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

// gate is where a provider's callbacks arrive. It turns them away while it is closed, and hands them to the
// ingress of one of the replicas while it is open.
type gate struct {
	url  string
	open atomic.Bool

	mu      sync.Mutex
	ingress []string // Addresses.
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		addresses := g.ingress
		g.mu.Unlock()
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

// to makes replicas the ones that callbacks are handed to.
func (g *gate) to(replicas ...*testService) {
	var addresses []string
	for _, ts := range replicas {
		addresses = append(addresses, ts.IngressAddr())
	}
	g.toAddress(addresses...)
}

// toAddress is to, for replicas in other processes.
func (g *gate) toAddress(ingress ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ingress = ingress
}

// forward hands a request on and its answer back, unless nobody answers.
func forward(w http.ResponseWriter, r *http.Request, base string) bool {
	status, body, ok := passOn(r, base)
	if ok {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	return ok
}

// passOn hands a request on and returns the answer.
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

// wiretap stands between the service and something that listens, and can be cut.
type wiretap struct {
	address string
	refused atomic.Int32 // Connections that were refused while it was cut.

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

// add keeps a pair of connections, or closes them where the wire is cut.
func (w *wiretap) add(in, out net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		w.refused.Add(1)
		_ = out.Close()
		return false
	}
	w.conns = append(w.conns, in, out)
	return true
}

// set cuts the wire, connections included, or mends it.
func (w *wiretap) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

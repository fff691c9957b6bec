package e2etest

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/refract-video/refract/internal/sim"
)

// Gate receives a provider's callbacks. While it is closed, it refuses them. While it is open, it passes them to the
// ingress of one of the replicas.
type Gate struct {
	URL  string
	Open atomic.Bool

	mu      sync.Mutex
	ingress []string        // Addresses.
	passing *sync.WaitGroup // The callbacks that are passed on to them.
}

// StartGate starts a closed gate, which the end of the test stops.
func StartGate(t *testing.T) *Gate {
	t.Helper()
	g := &Gate{passing: &sync.WaitGroup{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		addresses, passing := g.ingress, g.passing
		passing.Add(1)
		g.mu.Unlock()
		defer passing.Done()
		if !g.Open.Load() {
			addresses = nil
		}
		for _, address := range addresses {
			if Forward(w, r, "http://"+address) {
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// To sets the replicas that get the callbacks.
func (g *Gate) To(replicas ...*Service) {
	var addresses []string
	for _, ts := range replicas {
		addresses = append(addresses, ts.IngressAddr())
	}
	g.ToAddress(addresses...)
}

// ToAddress is To for replicas in other processes. It returns the callbacks that are on their way to those before.
func (g *Gate) ToAddress(ingress ...string) (passing *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	passing = g.passing
	g.ingress, g.passing = ingress, &sync.WaitGroup{}
	return passing
}

// Forward passes a request on, and its answer back if there is one.
func Forward(w http.ResponseWriter, r *http.Request, base string) bool {
	status, body, ok := PassOn(r, base)
	if ok {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	return ok
}

// PassOn passes a request on and returns the answer.
func PassOn(r *http.Request, base string) (status int, body []byte, ok bool) {
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

// Wiretap is a TCP proxy in front of a listener. It can be cut.
type Wiretap struct {
	Address string
	Refused atomic.Int32 // The number of connections that were refused while it was cut.

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// StartWiretap starts a proxy in front of an address. The end of the test stops it.
func StartWiretap(t *testing.T, target string) *Wiretap {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wiretap{Address: lis.Addr().String()}
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
		w.SetCut(true)
		wg.Wait()
	})
	return w
}

// refuses reports whether the wire is cut, and counts the connection that it then refuses.
func (w *Wiretap) refuses() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.countRefused()
}

// countRefused reports whether the wire is cut, and counts the connection if so. The lock is held.
func (w *Wiretap) countRefused() bool {
	if w.cut {
		w.Refused.Add(1)
	}
	return w.cut
}

// add registers a pair of connections, or closes the outgoing one if the wire was cut meanwhile.
func (w *Wiretap) add(in, out net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.countRefused() {
		_ = out.Close()
		return false
	}
	w.conns = append(w.conns, in, out)
	return true
}

// SetCut cuts the wire, including its connections, or restores it.
func (w *Wiretap) SetCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

// RebindingHost is a name server with one name. At first, the name resolves to an allowed address, whose server breaks
// off. Afterwards it resolves to a private address.
type RebindingHost struct {
	URL   string
	Roots *x509.CertPool
	dns   net.PacketConn
	asked sync.Map // The queries so far, by type.
}

// NewRebindingHost starts the host, which the end of the test stops.
func NewRebindingHost(t *testing.T) *RebindingHost {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		clip := sim.TinyClip()
		w.Header().Set("ETag", `"clip"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(clip)))
		_, _ = w.Write(clip[:len(clip)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(srv.Close)
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	h := &RebindingHost{URL: "https://rebind.example.com:" + port + "/x", Roots: x509.NewCertPool(), dns: conn}
	h.Roots.AddCert(srv.Certificate())
	served := make(chan struct{})
	go func() { defer close(served); h.serve() }()
	t.Cleanup(func() { _ = conn.Close(); <-served })
	return h
}

// Resolver returns a resolver that asks the name server of the host.
func (h *RebindingHost) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", h.dns.LocalAddr().String())
	}}
}

func (h *RebindingHost) serve() {
	for packet := make([]byte, 512); ; {
		n, from, err := h.dns.ReadFrom(packet)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.Authoritative, m.Additionals = true, true, nil
		if q.Type == dnsmessage.TypeA {
			address := [4]byte{127, 0, 0, 1}
			if _, again := h.asked.LoadOrStore(q.Name.String(), true); again {
				address[3] = 2
			}
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: address},
			}}
		}
		if answer, err := m.Pack(); err == nil {
			_, _ = h.dns.WriteTo(answer, from)
		}
	}
}

// HoldChecks starts a proxy to the provider and returns its address. A check of a task whose prompt contains a word
// waits until a callback about that task was accepted, so no check is faster than the callback.
func HoldChecks(t *testing.T, provider *sim.Server, word string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("taskId")
		if slices.ContainsFunc(provider.Ledger(), func(e sim.Entry) bool { return id != "" && e.TaskID == id && strings.Contains(e.Prompt, word) }) {
			_ = provider.Await(r.Context(), func() bool {
				return slices.ContainsFunc(provider.Deliveries(), func(d sim.Delivery) bool { return d.TaskID == id && d.Status == http.StatusOK })
			})
		}
		Forward(w, r, provider.URL())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

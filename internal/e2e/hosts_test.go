package e2e_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestService_SurvivesResultHosts sends one task to each kind of untrusted result host. Each task must end in time with
// its reason, say what was tried, and leave nothing in the bucket.
func TestService_SurvivesResultHosts(t *testing.T) {
	t.Parallel()
	private := newPrivateServer(t)
	rebinding := newRebindingHost(t)
	start := func(patience time.Duration) *testService {
		return startService(t, func(f *server.Config, c *simConfig) {
			everyProvider(f, c)
			f.AllowPrivate, f.CallbackURL = false, "https://refract.example.com"
			f.FetchAllow = []string{"127.0.0.1"} // The address of the simulator. The rest of loopback is private.
			f.Tuning = server.Tuning{
				Patience: patience, MaxBytes: 1 << 20, Pause: time.Millisecond, Resolver: rebinding.resolver(), Roots: rebinding.roots,
				Save: output.Patience{Tries: 2, NoLinks: time.Second},
			}
			f.KIE.Poll, f.Luma.Poll = 300*time.Millisecond, 300*time.Millisecond // No callback reaches the service.
		})
	}
	patient, hasty := start(0), start(300*time.Millisecond)
	const unavailable, invalid = refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID
	for _, tc := range []struct {
		name, directive, provider string
		reason                    refractv1.FailureReason
		says                      []string
		outcome                   string
	}{
		{"web page", "html-result", "kie", invalid, []string{"provider's link: not a video", "asked for another: it names the same", "exchanged link: not a video"}, "not_video"},
		{"truncated", "half-result", "kie", invalid, []string{"not a video", "bytes long where"}, "not_video"},
		{"wrong length", "long-length", "kie", unavailable, []string{"provider's link: started 5 times: the download has to start again after the connection broke: unexpected EOF"}, "unreachable"},
		{"endless", "endless", "kie", invalid, []string{"too large", "1048576 bytes allowed"}, "too_large"},
		{"slow-loris", "loris=20ms", "kie", unavailable, []string{"came too slowly"}, "unreachable"},
		{"redirect to a private address", "redirect=" + private.URL, "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"redirect to another scheme", "redirect=file:///etc/passwd", "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"redirect with a user name", "redirect=http://u:p@127.0.0.1/", "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"name that turns private", "redirect=" + rebinding.url, "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"expired for good", "gone=403", "kie", unavailable, []string{
			"provider's link: the link is dead: status 403", "it names the same", "was to be exchanged:", "404",
		}, "link_dead"},
		{"expired, and the provider can't help", "gone=410", "luma", unavailable, []string{"the link is dead: status 410", "it names the same"}, "link_dead"},
		{"links that can't be read", "shape=unreadable", "kie", unavailable, []string{`check: unavailable: "resultUrls can't be read: {\"location\":`}, "unreachable"},
		{"no links", "empty-results", "kie", unavailable, []string{"success, but names no result file"}, "no_links"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ts := patient // On a busy machine, a host may seem slow.
			if tc.name == "slow-loris" {
				ts = hasty
			}
			task := ts.submit(t, "[sim:"+tc.directive+"]", func(r *refractv1.SubmitTaskRequest) { r.Provider = tc.provider })
			last := ts.end(t, task.GetId()) // Within its 30 s.
			if last.GetFailure().GetReason() != tc.reason {
				t.Fatalf("ended %v, want %v", last, tc.reason)
			}
			message := last.GetFailure().GetMessage()
			for rest, i := message, 0; i < len(tc.says); i++ { // In this order.
				_, after, found := strings.Cut(rest, tc.says[i])
				if !found {
					t.Errorf("the message is %q, want %q in it", message, tc.says)
				}
				rest = after
			}
			if strings.Contains(message, "/results/") || strings.Contains(message, "?") {
				t.Errorf("the message contains a link: %q", message)
			}
			if keys, err := ts.bucket(t).Keys(t.Context(), media.OutputPrefix+task.GetId(), 10); err != nil || len(keys) > 0 {
				t.Errorf("the bucket holds %v, %v, want nothing of the task", keys, err)
			}
			if _, metrics := ts.rest(t, http.MethodGet, "/metrics", ""); !strings.Contains(string(metrics), `outcome="`+tc.outcome+`"`) {
				t.Errorf("no save is counted as %s", tc.outcome)
			}
		})
	}
	t.Cleanup(func() {
		if n := private.hits.Load(); n > 0 {
			t.Errorf("%d requests reached the private server", n)
		}
	})
}

// TestService_RemovesTheOutputsOfATaskWithOneThatFails has eleven results, of which the last is one byte too large.
func TestService_RemovesTheOutputsOfATaskWithOneThatFails(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *server.Config, _ *simConfig) {
		f.Tuning = server.Tuning{MaxBytes: int64(len(sim.ResultClip(strings.Repeat("0", 32), 9)))}
	})
	last := ts.end(t, ts.submit(t, "[sim:results=11]").GetId())
	if message := last.GetFailure().GetMessage(); !strings.Contains(message, "output 10 of 11") || !strings.Contains(message, "too large") {
		t.Fatalf("ended %v, want that output 10 is too large", last)
	}
	if keys, err := ts.bucket(t).Keys(t.Context(), media.OutputPrefix, 10); err != nil || len(keys) > 0 {
		t.Errorf("the bucket holds %v, %v, want nothing", keys, err)
	}
}

// privateServer is a server that no request may reach.
type privateServer struct {
	*httptest.Server
	hits atomic.Int32
}

func newPrivateServer(t *testing.T) *privateServer {
	t.Helper()
	p := &privateServer{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.hits.Add(1) }))
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Listener.Close()
	p.Listener = lis
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// rebindingHost is a name server with one name. At first, the name resolves to an allowed address, whose server breaks
// off. Afterwards it resolves to a private address.
type rebindingHost struct {
	url   string
	roots *x509.CertPool
	dns   net.PacketConn
	asked sync.Map // The queries so far, by type.
}

func newRebindingHost(t *testing.T) *rebindingHost {
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
	h := &rebindingHost{url: "https://rebind.example.com:" + port + "/x", roots: x509.NewCertPool(), dns: conn}
	h.roots.AddCert(srv.Certificate())
	served := make(chan struct{})
	go func() { defer close(served); h.serve() }()
	t.Cleanup(func() { _ = conn.Close(); <-served })
	return h
}

func (h *rebindingHost) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", h.dns.LocalAddr().String())
	}}
}

func (h *rebindingHost) serve() {
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

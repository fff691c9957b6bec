package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/useragent"
)

// postTo posts to a URL as a sender with this guard does.
func postTo(t *testing.T, g media.Guard, url string) (Attempt, verdict) {
	t.Helper()
	client := media.NewPostClient(g)
	t.Cleanup(client.CloseIdleConnections)
	cfg, _, secrets := config(t, newMemory(), client)
	cfg.Guard = g
	s := newSender(t, cfg)
	a, v, err := s.poster.post(t.Context(), message{id: "evt_t_1", url: url, secrets: secrets, body: []byte(`{}`)})
	if err != nil {
		t.Fatalf("post: %v", err)
	}
	return a, v
}

var private = media.Guard{AllowPrivate: true}

func TestPost_TheStatusLineDecides(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		answer   http.HandlerFunc
		outcome  outcome
		status   int
		sentence string
		text     string
		retry    time.Duration
	}{
		{name: "success", answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }, outcome: outcomeSucceeded, status: 200, text: "thanks"},
		{name: "no content", answer: answerWith(204), outcome: outcomeSucceeded, status: 204},
		{name: "another success", answer: answerWith(299), outcome: outcomeSucceeded, status: 299},
		{name: "failure", answer: answerWith(500), outcome: outcomeStatus, status: 500, sentence: "the endpoint answered with status 500 Internal Server Error"},
		{name: "a status without a name", answer: answerWith(599), outcome: outcomeStatus, status: 599, sentence: "the endpoint answered with status 599"},
		{name: "gone", answer: answerWith(410), outcome: outcomeGone, status: 410, sentence: "the endpoint answered with status 410 Gone"},
		{name: "throttled", answer: answerWith(429, "Retry-After", "90"), outcome: outcomeThrottled, status: 429, sentence: "the endpoint answered with status 429 Too Many Requests", retry: 90 * time.Second},
		{name: "throttled for too long", answer: answerWith(429, "Retry-After", "999999999"), outcome: outcomeThrottled, status: 429, sentence: "the endpoint answered with status 429 Too Many Requests", retry: 24 * time.Hour},
		{name: "unavailable for a while", answer: answerWith(503, "Date", "Mon, 30 Nov 2026 20:00:00 GMT", "Retry-After", "Mon, 30 Nov 2026 20:01:00 GMT"), outcome: outcomeThrottled, status: 503, sentence: "the endpoint answered with status 503 Service Unavailable", retry: time.Minute},
		{name: "unavailable", answer: answerWith(503), outcome: outcomeStatus, status: 503, sentence: "the endpoint answered with status 503 Service Unavailable"},
		{name: "Retry-After elsewhere", answer: answerWith(500, "Retry-After", "90"), outcome: outcomeStatus, status: 500, sentence: "the endpoint answered with status 500 Internal Server Error"},
		{
			name: "a body that breaks off", outcome: outcomeSucceeded, status: 200, text: "half",
			answer: raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"),
		},
		{
			name: "a malformed body", outcome: outcomeSucceeded, status: 200,
			answer: raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n"),
		},
		{
			name: "a body that drips", outcome: outcomeSucceeded, status: 200, text: "drip",
			answer: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "drip")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // The client gives up.
			},
		},
		{
			name: "no answer", outcome: outcomeUnreachable, sentence: "the connection was closed without an answer",
			answer: raw(""),
		},
		{
			name: "half a status line", outcome: outcomeMalformed, sentence: "the answer is not usable HTTP",
			answer: raw("HTTP/1.1 20"),
		},
		{
			name: "no HTTP", outcome: outcomeMalformed, sentence: "the answer is not usable HTTP",
			answer: raw("secret=hidden\r\n\r\n"),
		},
		{
			name: "a large header", outcome: outcomeMalformed, sentence: "the answer is not usable HTTP",
			answer: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20<<10)) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.answer)
			t.Cleanup(srv.Close)
			a, v := postTo(t, private, srv.URL+"/?key=hidden")
			if v.outcome != tt.outcome || a.Status != tt.status || a.Error != tt.sentence || a.Answer != tt.text || v.retryAfter != tt.retry {
				t.Errorf("got %+v with %+v; want %s, status %d, error %q, answer %q, retry after %v", a, v, tt.outcome, tt.status, tt.sentence, tt.text, tt.retry)
			}
			if a.StartTime.IsZero() || a.Duration <= 0 {
				t.Errorf("start %v, duration %v", a.StartTime, a.Duration)
			}
		})
	}
}

// answerWith answers with a status and headers.
func answerWith(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

// raw writes bytes to the connection and closes it.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func TestPost_NamesTheCauseOfAConnectionThatFails(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	clear := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(clear.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, tt := range []struct {
		name, url string
		outcome   outcome
		sentence  string
	}{
		{"refused", closed.URL + "/?key=hidden", outcomeUnreachable, "connection refused"},
		{"an unknown certificate", secure.URL, outcomeTLS, "the certificate was not accepted: x509: certificate signed by unknown authority"},
		{"an old TLS", old.URL, outcomeTLS, "the server refused the TLS handshake"},
		{"no TLS", strings.Replace(clear.URL, "http:", "https:", 1), outcomeTLS, "the server does not speak TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, v := postTo(t, private, tt.url)
			if v.outcome != tt.outcome || a.Error != tt.sentence || a.Status != 0 {
				t.Errorf("got %+v with %+v; want %s, %q", a, v, tt.outcome, tt.sentence)
			}
		})
	}
}

// The names in a certificate are those of a stranger, and can be many.
func TestPost_BoundsWhatACertificateSays(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	for i := range 90 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("%d.%s.example", i, strings.Repeat("x\x00", 100)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	a, v := postTo(t, private, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	if v.outcome != outcomeTLS || len(a.Error) > 300 || strings.Contains(a.Error, "\x00") || !strings.HasPrefix(a.Error, "the certificate was not accepted: x509: ") {
		t.Errorf("got %+v with an error of %d bytes: %.200q", v, len(a.Error), a.Error)
	}
}

func TestPost_NeverConnectsToWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := connections.Load(); n > 0 {
			t.Errorf("%d connections", n)
		}
	})
	for _, host := range []string{
		"127.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0:0]", "localhost", "10.0.0.1", "169.254.169.254",
		"[64:ff9b::7f00:1]", "127.1", "2130706433", "0x7f000001", "user@127.0.0.1",
	} {
		for _, url := range []string{"https://" + host + ":" + port + "/", "https://" + host + "/", "http://" + host + ":" + port + "/"} {
			t.Run(url, func(t *testing.T) {
				t.Parallel()
				a, v := postTo(t, media.Guard{}, url)
				if v.outcome != outcomeBlocked || !strings.HasPrefix(a.Error, "refused by the network guard: ") || strings.Contains(a.Error, "127.0.0.1") {
					t.Errorf("got %+v with %+v, want it refused", a, v)
				}
			})
		}
	}
}

// A guard for development permits private addresses, but text without encryption only within the machine.
func TestPost_SendsHTTPToLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://10.0.0.1/", "http://0.0.0.0/", "http://a.example/"} {
		const want = "refused by the network guard: the URI must use https, unless its host is a loopback address"
		if a, v := postTo(t, private, url); v.outcome != outcomeBlocked || a.Error != want {
			t.Errorf("%s: got %+v with %+v, want it refused", url, a, v)
		}
	}
}

func TestPost_DoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(inner.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		outer := httptest.NewServer(http.RedirectHandler(inner.URL, status))
		t.Cleanup(outer.Close)
		a, v := postTo(t, private, outer.URL)
		if v.outcome != outcomeRedirect || a.Status != status || !strings.HasSuffix(a.Error, ", and redirects are not followed") {
			t.Errorf("%d: got %+v with %+v", status, a, v)
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestPost_EverySecretThatIsValidSigns(t *testing.T) {
	t.Parallel()
	type received struct {
		header http.Header
		body   []byte
	}
	var got received
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = received{r.Header.Clone(), body}
	}))
	t.Cleanup(srv.Close)
	ring, current, sealed := keyring(t)
	previous, key := NewSecret()
	sealedPrevious, err := Seal(t.Context(), ring, key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	p := &poster{client: srv.Client(), signers: &signers{keeper: ring}, now: func() time.Time { return now }, check: func(string) error { return nil }}
	for _, tt := range []struct {
		name       string
		expire     time.Time
		signatures int
	}{
		{"both", now.Add(time.Second), 2},
		{"the previous one has ended", now, 1},
	} {
		secrets := Secrets{Current: sealed, Previous: sealedPrevious, PreviousExpire: tt.expire}
		m := message{id: "evt_t_1", url: srv.URL, secrets: secrets, body: []byte(`{"type":"task.succeeded"}`)}
		if _, v, err := p.post(t.Context(), m); err != nil || v.outcome != outcomeSucceeded {
			t.Fatalf("%s: %v, %v", tt.name, v, err)
		}
		signatures := strings.Fields(got.header.Get("webhook-signature"))
		if len(signatures) != tt.signatures {
			t.Errorf("%s: signatures %q, want %d", tt.name, signatures, tt.signatures)
		}
		for i, secret := range []string{current, previous} {
			wh, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			valid := i < tt.signatures
			if err := wh.Verify(got.body, got.header); (err == nil) != valid {
				t.Errorf("%s: secret %d: %v", tt.name, i+1, err)
			}
			if err := wh.Verify(append([]byte(" "), got.body...), got.header); err == nil {
				t.Errorf("%s: secret %d verifies a changed body", tt.name, i+1)
			}
			if !valid {
				continue
			}
			// The newest comes first: each signature verifies alone.
			alone := got.header.Clone()
			alone.Set("webhook-signature", signatures[i])
			if err := wh.Verify(got.body, alone); err != nil {
				t.Errorf("%s: signature %d: %v", tt.name, i+1, err)
			}
		}
		for name, want := range map[string]string{
			"webhook-id": "evt_t_1", "webhook-timestamp": fmt.Sprint(now.Unix()), "Content-Type": "application/json", "User-Agent": useragent.Text,
			"Idempotency-Key": "", "Authorization": "",
		} {
			if value := got.header.Get(name); value != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, name, value, want)
			}
		}
	}
}

// A server closes idle connections at any time, also when the next request has just chosen one.
func TestPost_RepeatsARequestOnAnIdleConnectionThatTheServerClosed(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("webhook-id") == "second" && first.CompareAndSwap(false, true) {
			raw("")(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	client := media.NewPostClient(private)
	t.Cleanup(client.CloseIdleConnections)
	cfg, _, secrets := config(t, newMemory(), client)
	cfg.Guard = private
	s := newSender(t, cfg)
	for _, id := range []string{"first", "second"} {
		a, v, err := s.poster.post(t.Context(), message{id: id, url: srv.URL, secrets: secrets, body: []byte(`{}`)})
		if err != nil || v.outcome != outcomeSucceeded {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
}

// The 15 seconds count for everything until the status line: a server that takes the request and is silent, and one that never
// takes it.
func TestPost_GivesUpAfterItsTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dial func(ctx context.Context, network, address string) (net.Conn, error)
	}{
		{"no connection", func(context.Context, string, string) (net.Conn, error) {
			wait(requestTimeout + time.Second) // The transport does not cancel it: its connection may serve another request.
			return nil, errors.New("no connection")
		}},
		{"no answer", func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return ours, nil
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			base := &http.Transport{DialTLSContext: tt.dial}
			cfg, _, secrets := config(t, newMemory(), &http.Client{Transport: base})
			cfg.Guard = private
			s := newSender(t, cfg)
			began := time.Now()
			a, v, err := s.poster.post(t.Context(), message{id: "evt_t_1", url: "https://a.example/", secrets: secrets, body: []byte(`{}`)})
			if err != nil || v.outcome != outcomeTimeout || a.Error != "no answer within 15 seconds" || a.Duration != requestTimeout {
				t.Errorf("%s: %+v with %+v, %v after %v", tt.name, a, v, err, time.Since(began))
			}
			wait(time.Minute) // For the dialer.
		})
	}
}

func TestPost_AStopIsNoAttempt(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	client := media.NewPostClient(private)
	t.Cleanup(client.CloseIdleConnections)
	cfg, _, secrets := config(t, newMemory(), client)
	cfg.Guard = private
	s := newSender(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if a, _, err := s.poster.post(ctx, message{id: "evt_t_1", url: srv.URL, secrets: secrets, body: []byte(`{}`)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v; want the error of the context", a, err)
	}
}

func TestPrintable_IsBoundedTextWithoutLinks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"thanks", "thanks"},
		{"a\x00b\xff", "a\uFFFDb\uFFFD"},
		{"see https://bucket.example/file?signature=hidden", "see https://bucket.example/[redacted]"},
		{strings.Repeat("x", MaxAnswer+1), strings.Repeat("x", MaxAnswer)},
		{"x" + strings.Repeat("é", MaxAnswer/2), "x" + strings.Repeat("é", MaxAnswer/2-1)},
	} {
		if got := printable([]byte(tt.in), MaxAnswer); got != tt.want {
			t.Errorf("printable(%.40q) = %.40q (%d bytes), want %.40q (%d bytes)", tt.in, got, len(got), tt.want, len(tt.want))
		}
	}
	if got := printable([]byte(strings.Repeat("\xff\x00", MaxAnswer)), MaxAnswer); len(got) > MaxAnswer || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

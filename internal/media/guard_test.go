package media

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"code.dny.dev/ssrf"
)

// get fetches url and reads the whole body.
func get(t *testing.T, client *http.Client, url string) error {
	t.Helper()
	t.Cleanup(client.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func TestClient_RefusesWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	client := NewClient(Guard{})
	for _, tt := range []struct {
		name, url string
		cause     error // Which rule of the dialer refuses; nil for the rules before it.
	}{
		{"loopback", "https://127.0.0.1/", ssrf.ErrProhibitedIP},
		{"loopback, IPv6", "https://[::1]/", ssrf.ErrProhibitedIP},
		{"mapped into IPv6", "https://[::ffff:127.0.0.1]/", ssrf.ErrProhibitedIP},
		{"unspecified", "https://0.0.0.0/", ssrf.ErrProhibitedIP},
		{"private", "https://10.0.0.1/", ssrf.ErrProhibitedIP},
		{"cloud metadata", "https://169.254.169.254/latest/meta-data/", ssrf.ErrProhibitedIP},
		{"name that resolves to loopback", "https://localhost/", ssrf.ErrProhibitedIP},
		{"carrier NAT", "https://100.64.0.1/", ssrf.ErrProhibitedIP},
		{"unique local, IPv6", "https://[fd00:ec2::254]/", ssrf.ErrProhibitedIP},
		{"link-local with a zone", "https://[fe80::1%25lo]/", ssrf.ErrProhibitedIP},
		{"translated, NAT64", "https://[64:ff9b::7f00:1]/", ssrf.ErrProhibitedIP},
		{"translated, 6to4", "https://[2002:7f00:1::]/", ssrf.ErrProhibitedIP},
		{"metadata of Azure", "https://168.63.129.16/", ssrf.ErrProhibitedIP},
		{"loopback, full-width digits", "https://１２７.0.0.1/", ssrf.ErrProhibitedIP},
		{"user name", "https://user@127.0.0.1/", nil},
		{"other port", "https://127.0.0.1:5432/", ssrf.ErrProhibitedPort},
		{"http", "http://192.0.2.1/", nil},
		{"other scheme", "file:///etc/passwd", nil},
		{"no host", "https:///path", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := get(t, client, tt.url)
			if !errors.Is(err, ErrBlocked) {
				t.Fatalf("get %s: got %v, want ErrBlocked", tt.url, err)
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("get %s: got %v, want cause %v", tt.url, err, tt.cause)
			}
		})
	}
}

// The first server stands for a public one: the dialer lets its address through, and asks the real
// guard about all others.
func TestClient_JudgesEachRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(inner.Close)
	for _, tt := range []struct{ name, location string }{
		{"to http", inner.URL},
		{"to a private port", strings.Replace(inner.URL, "http:", "https:", 1)},
		{"to a private address", "https://127.0.0.1/"},
		{"to a private name", "https://localhost/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			outer := httptest.NewTLSServer(http.RedirectHandler(tt.location, http.StatusFound))
			t.Cleanup(outer.Close)
			err := get(t, clientThatTrusts(t, outer), outer.URL)
			if !errors.Is(err, ErrBlocked) {
				t.Errorf("redirect to %s: got %v, want ErrBlocked", tt.location, err)
			}
		})
	}
	t.Cleanup(func() {
		if reached.Load() {
			t.Error("a redirect reached the private server")
		}
	})
}

// clientThatTrusts returns a guarded client with one exception, for the address of srv.
func clientThatTrusts(t *testing.T, srv *httptest.Server) *http.Client {
	t.Helper()
	base := newBase(Guard{})
	guarded := base.DialContext
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == srv.Listener.Addr().String() {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return guarded(ctx, network, address)
	}
	trust, ok := srv.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("transport of the test server's client is a %T", srv.Client().Transport)
	}
	base.TLSClientConfig = &tls.Config{RootCAs: trust.TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
	client := NewClient(Guard{})
	client.Transport = &transport{guard: Guard{StallTimeout: defaultStallTimeout}, base: base}
	return client
}

func TestClient_FollowsFiveRedirects(t *testing.T) {
	t.Parallel()
	var hops atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ref := r.Referer(); ref != "" {
			t.Errorf("hop %d got the referrer %s", hops.Load(), ref)
		}
		if rest := strings.TrimPrefix(r.URL.Path, "/"); rest != "" {
			hops.Add(1)
			http.Redirect(w, r, "/"+rest[1:], http.StatusFound)
		}
	}))
	t.Cleanup(srv.Close)
	client := NewClient(Guard{AllowPrivate: true})
	if err := get(t, client, srv.URL+"/12345"); err != nil {
		t.Errorf("five redirects: %v", err)
	}
	if err := get(t, client, srv.URL+"/123456"); !errors.Is(err, errRedirects) {
		t.Errorf("six redirects: got %v, want errRedirects", err)
	}
	if got := hops.Load(); got != 5+6 {
		t.Errorf("%d redirects were answered, want 11", got)
	}
}

func TestClient_CutsSilentBody(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the first words")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	err := get(t, NewClient(Guard{AllowPrivate: true, StallTimeout: 30 * time.Millisecond}), srv.URL)
	if !errors.Is(err, errSlow) {
		t.Errorf("got %v, want errSlow", err)
	}
}

func TestClient_SendsNoCredentials(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request came, with Authorization %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(srv.Close)
	url := strings.Replace(srv.URL, "http://", "http://user:password@", 1)
	if err := get(t, NewClient(Guard{AllowPrivate: true}), url); !errors.Is(err, ErrBlocked) {
		t.Errorf("got %v, want ErrBlocked", err)
	}
}

// dripping yields so many bytes at a time, with a pause before each.
type dripping struct {
	ctx   context.Context
	bytes int
	pause time.Duration
}

func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(d.pause):
		return min(d.bytes, len(p)), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestBody_CutsWhatComesTooSlowly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		bytes int
		pause time.Duration
		after time.Duration // When it is cut; 0 for never.
	}{
		{"a byte now and then", 1, time.Second, 30 * time.Second},
		{"almost enough", minProgress/30 - 1, time.Second, 30 * time.Second},
		{"just enough", minProgress/29 + 1, time.Second, 0},
		{"large pieces with long pauses", minProgress, 29 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				began := time.Now()
				b := newBody(ctx, cancel, io.NopCloser(dripping{ctx, tt.bytes, tt.pause}), 30*time.Second)
				p := make([]byte, 1<<20)
				var err error
				for err == nil && time.Since(began) < time.Hour {
					_, err = b.Read(p)
				}
				if took := time.Since(began); tt.after > 0 && (!errors.Is(err, errSlow) || took != tt.after) {
					t.Errorf("ended after %s with %v, want errSlow after %s", took, err, tt.after)
				}
				if tt.after == 0 && err != nil {
					t.Errorf("ended after %s with %v, want it to go on", time.Since(began), err)
				}
				_ = b.Close()
			})
		})
	}
}

func TestBody_WaitsForSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		b := newBody(ctx, cancel, io.NopCloser(strings.NewReader("two")), time.Second)
		p := make([]byte, 1)
		for range 3 {
			if _, err := b.Read(p); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Hour) // The reader is busy elsewhere.
		}
		if err := context.Cause(ctx); err != nil {
			t.Errorf("the request was ended: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

package media

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// resolveTo returns a resolver for which every name has the address that the function gives at that moment.
func resolveTo(t *testing.T, address func() [4]byte) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0") //nolint:noctx // Listening on this machine does not wait.
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: address()},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", server.LocalAddr().String())
	}}
}

// A name that led to a public host leads to a private one by the second connection.
func TestProbe_NoticesANameThatChangesItsMind(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	public := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(public.Close)
	trust, ok := public.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("transport of the test server's client is a %T", public.Client().Transport)
	}
	allowed, err := ParseAllowed([]string{"127.0.0.1"}) // It stands for the public one.
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient(Guard{Allow: allowed, Roots: trust.TLSClientConfig.RootCAs, Resolver: resolveTo(t, func() [4]byte {
		if asked.Load() == 0 {
			return [4]byte{127, 0, 0, 1}
		}
		return [4]byte{127, 0, 0, 2}
	})})
	u, err := url.Parse(public.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate of test servers is good for example.com.
	link := "https://" + net.JoinHostPort("example.com", u.Port())
	p := &Prober{Client: client}
	if _, err := p.Probe(t.Context(), link); errors.Is(err, ErrBlocked) {
		t.Fatalf("at first: %v", err)
	}
	_, err = p.Probe(t.Context(), link)
	if !errors.Is(err, ErrBlocked) || asked.Load() != 1 {
		t.Errorf("got %v after %d requests, want ErrBlocked after 1", err, asked.Load())
	}
}

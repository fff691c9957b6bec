package kie

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/provider"
)

func TestSubmit_NotSentWhenNoConnectionCameAbout(t *testing.T) {
	t.Parallel()
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		perr := wantClass(t, do(t, newProvider(t, "http://"+closedAddress(t)), opSubmit), provider.NotSent)
		if opErr, ok := errors.AsType[*net.OpError](perr); !ok || opErr.Op != "dial" {
			t.Errorf("cause is lost: %v", perr)
		}
		if strings.Contains(perr.Error(), "Post") {
			t.Errorf("error repeats what was requested: %v", perr)
		}
	})
	t.Run("certificate refused", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		defer srv.Close()
		wantClass(t, do(t, newProvider(t, srv.URL), opSubmit), provider.NotSent)
	})
	t.Run("given up before", func(t *testing.T) {
		t.Parallel()
		url, requests := serve(t, func(http.ResponseWriter, *http.Request) {})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newProvider(t, url).Submit(ctx, submission)
		if wantClass(t, err, provider.NotSent); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled in it", err)
		}
		if n := requests.Load(); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

func TestQuestions_AreUnavailableWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "http://"+closedAddress(t))
	wantClass(t, do(t, p, opCheck), provider.Unavailable)
	wantClass(t, do(t, p, opLink), provider.Unavailable)

	url, requests := serve(t, drop)
	wantClass(t, do(t, newProvider(t, url), opLink), provider.Unavailable)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestSubmit_IsAmbiguousOnceTheProviderMayHaveSeenIt(t *testing.T) {
	t.Parallel()
	t.Run("connection reset", func(t *testing.T) {
		t.Parallel()
		url, requests := serve(t, drop)
		wantClass(t, do(t, newProvider(t, url), opSubmit), provider.Ambiguous)
		if n := requests.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
	t.Run("answer cut", func(t *testing.T) {
		t.Parallel()
		p := answering(t, http.StatusOK, accepted, "Content-Length", "500")
		if perr := wantClass(t, do(t, p, opSubmit), provider.Ambiguous); !errors.Is(perr, io.ErrUnexpectedEOF) {
			t.Errorf("error is %v, want unexpected EOF in it", perr)
		}
	})
	t.Run("no HTTP in the answer", func(t *testing.T) {
		t.Parallel()
		url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "echo of Bearer "+testKey+" "+submission.CallbackURL+"\r\n\r\n")
			_ = conn.Close()
		})
		wantClass(t, do(t, newProvider(t, url), opSubmit), provider.Ambiguous)
	})
	t.Run("given up while waiting", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{})
		url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // The server notices that we left once the body is read.
			close(arrived)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := newProvider(t, url).Submit(ctx, submission)
		wantClass(t, err, provider.Ambiguous)
	})
	t.Run("HTTP/2 stream reset", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("protocol is %s, want HTTP/2", r.Proto)
			}
			panic(http.ErrAbortHandler)
		}))
		srv.EnableHTTP2 = true
		srv.StartTLS()
		defer srv.Close()
		p := newProvider(t, srv.URL, func(c *Config) { c.HTTPClient = srv.Client() })
		wantClass(t, do(t, p, opSubmit), provider.Ambiguous)
	})
}

func TestSubmit_IsNotSentAgainOnAReusedConnection(t *testing.T) {
	t.Parallel()
	first := true
	url, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			_, _ = io.WriteString(w, accepted)
			return
		}
		drop(w, r)
	})
	p := newProvider(t, url)
	if err := do(t, p, opSubmit); err != nil {
		t.Fatalf("first Submit: %v", err)
	}
	wantClass(t, do(t, p, opSubmit), provider.Ambiguous)
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for 2 submissions", n)
	}
}

func TestRedirects_AreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere, followed := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, accepted) })
		p := answering(t, status, "", "Location", elsewhere)
		wantClass(t, do(t, p, opSubmit), provider.Ambiguous)
		wantClass(t, do(t, p, opCheck), provider.Unavailable)
		wantClass(t, do(t, p, opLink), provider.Unavailable)
		if n := followed.Load(); n != 0 {
			t.Errorf("%d: followed %d times", status, n)
		}
	}
}

// roundTripper is a transport that does not call httptrace, as a lent one may.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSubmit_TrustsNoTransportThatReadTheBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		read bool
		want provider.Class
	}{
		{"body read", true, provider.Ambiguous},
		{"body untouched", false, provider.NotSent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, "", func(c *Config) {
				c.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if tt.read {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					return nil, broken
				})}
			})
			if perr := wantClass(t, do(t, p, opSubmit), tt.want); !errors.Is(perr, broken) {
				t.Errorf("error is %v, want the transport's in it", perr)
			}
		})
	}
}

// drop reads the request and resets the connection.
func drop(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// closedAddress returns an address of this machine where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

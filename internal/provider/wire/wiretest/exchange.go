package wiretest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Adapter is an adapter whose exchanges are tested.
type Adapter struct {
	// New returns an adapter for the account Key that leaves no connection behind. A nil client lends no
	// transport.
	New func(t testing.TB, baseURL string, client *http.Client) provider.Provider
	// Accepted is the body of a 200 that accepts a submission.
	Accepted string
	// Scheme is the scheme of the Authorization header. Empty means Bearer.
	Scheme string
	// Remote is the remote name of the model; empty means that of Submission, and no name in checks.
	Remote string
}

// submission returns Submission, of the adapter's model.
func (a Adapter) submission() provider.Submission {
	s := Submission
	s.Remote = cmp.Or(a.Remote, s.Remote)
	return s
}

// ops are the operations that make requests.
func (a Adapter) ops(p provider.Provider) []wire.Op {
	ops := []wire.Op{wire.OpSubmit, wire.OpCheck}
	if p.Capabilities().RefreshLinks {
		ops = append(ops, wire.OpLink)
	}
	if p.Capabilities().Upload {
		ops = append(ops, wire.OpUpload)
	}
	return ops
}

// Do runs one operation for its error.
func Do(t testing.TB, p provider.Provider, op wire.Op) error {
	t.Helper()
	return Adapter{}.Do(t, p, op)
}

// Do runs one operation for its error, with the adapter's model.
func (a Adapter) Do(t testing.TB, p provider.Provider, op wire.Op) error {
	t.Helper()
	var err error
	switch op {
	case wire.OpSubmit:
		_, err = p.Submit(t.Context(), a.submission())
	case wire.OpCheck:
		_, err = p.Check(t.Context(), provider.Query{
			TaskID: "774d9a7dd608a0e49293903095e45a4c", Remote: a.Remote, Submitted: time.Now().Add(-time.Hour),
		})
	case wire.OpLink:
		_, err = p.RefreshLink(t.Context(), "https://results.example.com/l/f7.mp4?sig="+LinkSecret)
	case wire.OpFunds:
		treasurer, ok := p.(provider.Treasurer)
		if !ok {
			t.Fatal("the provider does not say what is left of its funds")
		}
		_, err = treasurer.Funds(t.Context())
	case wire.OpKeys:
		t.Fatal("keys are fetched by Callback")
	case wire.OpUpload:
		uploader, ok := p.(provider.Uploader)
		if !ok {
			t.Fatalf("%s takes no uploads", p.Name())
		}
		_, err = uploader.Upload(t.Context(), provider.File{Name: "a.mp4", ContentType: "video/mp4", SizeBytes: 5, Content: strings.NewReader("hello")})
	}
	return err
}

func expect(t testing.TB, err error, class provider.Class) {
	t.Helper()
	_ = WantClass(t, err, class)
}

// TestExchanges checks how an adapter reads exchanges that end without an answer, or with one that no provider sends. None
// of it depends on the provider's codes.
func TestExchanges(t *testing.T, a Adapter) {
	t.Run("Submit is NotSent when no connection came about", a.notSent)
	t.Run("questions are Unavailable without an answer", a.unanswered)
	t.Run("Submit is Ambiguous once the provider may have seen it", a.ambiguous)
	t.Run("Submit is not sent again by the transport", a.notSentAgain)
	t.Run("redirects are not followed", a.redirects)
	t.Run("Submit trusts no transport that read the body", a.untrusted)
	t.Run("a 403 by a firewall blocks the account", a.firewall)
	t.Run("RefreshLink refuses without a request where links can't be exchanged", a.noLinks)
}

func (a Adapter) notSent(t *testing.T) {
	t.Parallel()
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		perr := WantClass(t, a.Do(t, a.New(t, "http://"+ClosedAddress(t), nil), wire.OpSubmit), provider.NotSent)
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
		expect(t, a.Do(t, a.New(t, srv.URL, nil), wire.OpSubmit), provider.NotSent)
	})
	t.Run("given up before", func(t *testing.T) {
		t.Parallel()
		url, requests := Serve(t, func(http.ResponseWriter, *http.Request) {})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := a.New(t, url, nil).Submit(ctx, a.submission())
		if perr := WantClass(t, err, provider.NotSent); !errors.Is(perr, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled in it", err)
		}
		if n := requests.Load(); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

func (a Adapter) unanswered(t *testing.T) {
	t.Parallel()
	p := a.New(t, "http://"+ClosedAddress(t), nil)
	for _, op := range a.ops(p)[1:] {
		expect(t, a.Do(t, p, op), provider.Unavailable)

		url, requests := Serve(t, Drop)
		expect(t, a.Do(t, a.New(t, url, nil), op), provider.Unavailable)
		if n := requests.Load(); n != 1 {
			t.Errorf("%s: %d requests, want 1", op, n)
		}
	}
}

func (a Adapter) ambiguous(t *testing.T) {
	t.Parallel()
	t.Run("connection reset", func(t *testing.T) {
		t.Parallel()
		url, requests := Serve(t, Drop)
		expect(t, a.Do(t, a.New(t, url, nil), wire.OpSubmit), provider.Ambiguous)
		if n := requests.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
	t.Run("answer cut", func(t *testing.T) {
		t.Parallel()
		p := a.New(t, Answering(t, http.StatusOK, a.Accepted, "Content-Length", "500000"), nil)
		perr := WantClass(t, a.Do(t, p, wire.OpSubmit), provider.Ambiguous)
		// A server that closes a connection with unread data resets it.
		if !errors.Is(perr, io.ErrUnexpectedEOF) && !strings.Contains(perr.Error(), "connection reset") {
			t.Errorf("error is %v, want unexpected EOF or a reset in it", perr)
		}
	})
	t.Run("answer too long", func(t *testing.T) {
		t.Parallel()
		p := a.New(t, Answering(t, http.StatusOK, a.Accepted+strings.Repeat(" ", wire.MaxAnswer)), nil)
		expect(t, a.Do(t, p, wire.OpSubmit), provider.Ambiguous)
	})
	t.Run("no HTTP in the answer", func(t *testing.T) {
		t.Parallel()
		url, _ := Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "echo of Bearer "+Key+" "+CallbackURL+"\r\n\r\n")
			_ = conn.Close()
		})
		expect(t, a.Do(t, a.New(t, url, nil), wire.OpSubmit), provider.Ambiguous)
	})
	t.Run("given up while waiting", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{})
		url, _ := Serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // The server notices that we left once the body is read.
			close(arrived)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := a.New(t, url, nil).Submit(ctx, a.submission())
		expect(t, err, provider.Ambiguous)
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
		expect(t, a.Do(t, a.New(t, srv.URL, srv.Client()), wire.OpSubmit), provider.Ambiguous)
	})
}

// notSentAgain counts what arrives. Over HTTP/1 the adapter's own transport must use no connection twice for
// submissions, since the outcome of one on a connection that the other end was closing is unknown.
func (a Adapter) notSentAgain(t *testing.T) {
	t.Parallel()
	t.Run("each has a connection of its own", func(t *testing.T) {
		t.Parallel()
		from := make(chan string, 2)
		url, _ := Serve(t, func(w http.ResponseWriter, r *http.Request) {
			from <- r.RemoteAddr
			_, _ = io.WriteString(w, a.Accepted)
		})
		p := a.New(t, url, nil)
		for range 2 {
			if err := a.Do(t, p, wire.OpSubmit); err != nil {
				t.Fatalf("Submit: %v", err)
			}
		}
		if first, second := <-from, <-from; first == second {
			t.Errorf("both submissions came over the connection from %s", first)
		}
	})
	t.Run("a lent connection breaks", func(t *testing.T) {
		t.Parallel()
		first := true
		url, requests := Serve(t, func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				_, _ = io.WriteString(w, a.Accepted)
				return
			}
			Drop(w, r)
		})
		lent := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(lent.CloseIdleConnections)
		p := a.New(t, url, lent)
		if err := a.Do(t, p, wire.OpSubmit); err != nil {
			t.Fatalf("first Submit: %v", err)
		}
		expect(t, a.Do(t, p, wire.OpSubmit), provider.Ambiguous)
		if n := requests.Load(); n != 2 {
			t.Errorf("%d requests for 2 submissions", n)
		}
	})
	// What net/http sends again by itself over HTTP/2, if it can.
	for name, end := range map[string]func(stream uint32) []byte{
		"PROTOCOL_ERROR": func(stream uint32) []byte { return frame(frameReset, 0, stream, []byte{0, 0, 0, 1}) },
		"REFUSED_STREAM": func(stream uint32) []byte { return frame(frameReset, 0, stream, []byte{0, 0, 0, 7}) },
		"GOAWAY":         func(uint32) []byte { return frame(frameGoAway, 0, 0, make([]byte, 8)) },
	} {
		t.Run("the stream ends with "+name, func(t *testing.T) {
			t.Parallel()
			srv, bodies := serveHTTP2(end)
			defer srv.Close()
			expect(t, a.Do(t, a.New(t, srv.URL, srv.Client()), wire.OpSubmit), provider.Ambiguous)
			if n := bodies.Load(); n != 1 {
				t.Errorf("%d requests for 1 submission", n)
			}
		})
	}
}

func (a Adapter) redirects(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere, followed := Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, a.Accepted) })
		p := a.New(t, Answering(t, status, "", "Location", elsewhere), nil)
		for _, op := range a.ops(p) {
			want := provider.Unavailable
			if op == wire.OpSubmit {
				want = provider.Ambiguous
			}
			expect(t, a.Do(t, p, op), want)
		}
		if n := followed.Load(); n != 0 {
			t.Errorf("%d: followed %d times", status, n)
		}
	}
}

// roundTripper is a transport that does not call httptrace, as the caller's may be.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (a Adapter) untrusted(t *testing.T) {
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
			p := a.New(t, "", &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if tt.read {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return nil, broken
			})})
			if perr := WantClass(t, a.Do(t, p, wire.OpSubmit), tt.want); !errors.Is(perr, broken) {
				t.Errorf("error is %v, want the transport's in it", perr)
			}
		})
	}
}

func (a Adapter) firewall(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"error code: 1010",
		"<html><title>Access denied</title></html>",
		`{"title":"Error 1010: Access denied","status":403,"cloudflare_error":true}`,
	} {
		p := a.New(t, Answering(t, http.StatusForbidden, body), nil)
		for _, op := range a.ops(p)[:2] {
			perr := WantClass(t, a.Do(t, p, op), provider.AccountBlocked)
			want := "turned away before the API, perhaps by a firewall that dislikes our User-Agent or address: " + body
			if perr.Pause != provider.PauseBlocked || perr.Message != want {
				t.Errorf("%s: pause is %q, message is %q, want %q", op, perr.Pause, perr.Message, want)
			}
		}
	}
}

func (a Adapter) noLinks(t *testing.T) {
	t.Parallel()
	url, requests := Serve(t, Drop)
	p := a.New(t, url, nil)
	if p.Capabilities().RefreshLinks {
		return
	}
	perr := WantClass(t, a.Do(t, p, wire.OpLink), provider.Rejected)
	if perr.Op != string(wire.OpLink) || perr.Input || requests.Load() != 0 {
		t.Errorf("operation %q, input %v, %d requests", perr.Op, perr.Input, requests.Load())
	}
}

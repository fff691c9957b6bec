package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
)

// TestDo_NamesNoSocketAndNoResolver fails calls in real ways: their words reach callers, the cause is for code and log.
func TestDo_NamesNoSocketAndNoResolver(t *testing.T) {
	t.Parallel()
	closed, resets := listen(t), listen(t)
	_ = closed.Close()
	go func() {
		for {
			conn, err := resets.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil { // Whole, so that the writer has ended.
				_, _ = io.Copy(io.Discard, req.Body)
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	var dns *net.DNSError
	for name, tt := range map[string]struct {
		base  string
		class provider.Class
		want  string
		is    func(error) bool
	}{
		"refused": {
			"http://" + closed.Addr().String(), provider.NotSent, "submit: not_sent: connection refused",
			func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
		},
		"no such host": {
			"http://no-host.invalid", provider.NotSent, "submit: not_sent: host no-host.invalid ",
			func(err error) bool { return errors.As(err, &dns) },
		},
		"reset": {
			"http://" + resets.Addr().String(), provider.Ambiguous, "submit: ambiguous: connection reset",
			func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		},
	} {
		c := newClient(t, tt.base, nil)
		_, err := c.Do(t.Context(), Call{Op: OpSubmit, Method: http.MethodPost, Path: "/x", Body: "b", Timeout: 10 * time.Second})
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		text := err.Error()
		if err.Class != tt.class || !strings.HasPrefix(text, tt.want) || strings.ContainsAny(strings.TrimPrefix(text, tt.want), ":[]>") {
			t.Errorf("%s: error %q of class %v, want %q alone", name, text, err.Class, tt.want)
		}
		if !tt.is(err) || plain.Hidden(err) == "" {
			t.Errorf("%s: the cause of %q is lost", name, text)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	return lis
}

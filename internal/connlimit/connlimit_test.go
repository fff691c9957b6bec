package connlimit_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/connlimit"
)

// hung bounds each wait. Only a test that hangs reaches it.
const hung = 5 * time.Minute

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(hung))
	return c
}

// TestListener_AFloodOfSilentConnectionsLeavesRoom opens far more idle connections than the limit while a request is
// being served, and then makes another request. Without the eviction in add, that gets no answer.
func TestListener_AFloodOfSilentConnectionsLeavesRoom(t *testing.T) {
	t.Parallel()
	serving, finish := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer connlimit.Busy(r.Context())()
		if r.URL.Path == "/slow" {
			close(serving)
			<-finish
		}
		_, _ = io.WriteString(w, "ok")
	}))
	server.Listener.Close()
	l := connlimit.New(listen(t), 4)
	server.Listener, server.Config.ConnContext = l, connlimit.Context
	server.Start()
	t.Cleanup(server.Close)

	slow := make(chan string, 1)
	go func() { slow <- get(server.URL + "/slow") }()
	<-serving
	var flood []net.Conn
	for i := range 20 {
		c := dial(t, l)
		flood = append(flood, c)
		if i%2 == 1 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Pad: ") // The header never ends.
		}
	}
	if _, err := flood[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest silent connection was answered, want that it was closed")
	}
	if got := get(server.URL + "/"); got != "ok" {
		t.Errorf("a caller among the flood got %q", got)
	}
	close(finish)
	if got := <-slow; got != "ok" {
		t.Errorf("the caller that was being served got %q", got)
	}
}

func get(url string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: hung}
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody) //nolint:noctx // The client has the timeout.
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// TestNewBusy_RefusesConnectionsOverTheLimit reaches the limit, and closes one connection.
func TestNewBusy_RefusesConnectionsOverTheLimit(t *testing.T) {
	t.Parallel()
	l := connlimit.NewBusy(listen(t), 1)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial(t, l)
	first := <-accepted
	if _, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Error("a connection over the limit was not closed")
	}
	_ = first.Close()
	_ = first.Close() // A second Close makes no more room.
	dial(t, l)
	second := <-accepted
	defer second.Close()
	if _, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Error("a connection over the limit was not closed after one had ended")
	}
}

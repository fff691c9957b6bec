package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/httpapi"
)

// TestServers_HeldBodiesLeaveRoom announces bodies that never arrive on as many connections as a listener accepts, and then calls.
// It fails when a connection counts as busy before its body has arrived.
func TestServers_HeldBodiesLeaveRoom(t *testing.T) {
	t.Parallel()
	const places = 4
	r := edge()
	r.upload = func(stream uploadStream) error {
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
	}
	text := &logText{}
	internal := httpapi.NewServer(httpapi.NewInternal(httpapi.InternalConfig{Conn: dial(t, r), Log: text.logger()}), text.logger())
	public := func() *http.Server {
		return httpapi.NewPublicServer(httpapi.NewIngress(httpapi.IngressConfig{
			Callbacks: &inbox{receive: func(context.Context, *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
				return received, nil
			}}, MaxBody: bodyBound, Log: text.logger(),
		}), text.logger())
	}
	for name, tc := range map[string]struct {
		server       *http.Server
		held, method string
		path         string
	}{
		"calls":     {internal, "POST /v1/tasks", http.MethodGet, "/v1/tasks"},
		"uploads":   {httpapi.NewServer(internal.Handler, text.logger()), "PUT " + uploadAt, http.MethodGet, "/v1/tasks"},
		"callbacks": {public(), "POST " + callbackPath, http.MethodPost, callbackPath},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(nil)
			s.Listener = connlimit.New(s.Listener, places)
			s.Config = tc.server
			s.Start()
			t.Cleanup(s.Close)
			for range places {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(hung))
				fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", tc.held)
				if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 100") { // The body is being read.
					t.Fatalf("a body that is announced is answered %q, %v", line, err)
				}
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("a call among held bodies is answered %d", resp.StatusCode)
			}
		})
	}
}

package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
)

// TestDo_SendsNoSubmissionAfterItsTime lets the time pass between the call and the moment in which the connection is there,
// as it does for a process that is stopped in between.
//
// It fails when watchedBody does not ask maySend.
func TestDo_SendsNoSubmissionAfterItsTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		op   Op
		in   time.Duration // When the request must have left.
		wall bool          // Whether only the wall clock says so.
		sent int32
	}{
		"in time":           {OpSubmit, time.Hour, false, 1},
		"late":              {OpSubmit, 10 * time.Millisecond, false, 0},
		"late by the wall":  {OpSubmit, 10 * time.Millisecond, true, 0},
		"a question may be": {OpCheck, 10 * time.Millisecond, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err == nil {
					requests.Add(1)
				}
				_, _ = w.Write([]byte("{}"))
			}))
			defer server.Close()
			by := time.Now().Add(tt.in)
			if tt.wall {
				by = by.Round(0)
			}
			transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if tt.in < time.Hour {
					<-time.After(time.Until(by) + time.Millisecond)
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}}
			defer transport.CloseIdleConnections()
			c := newClient(t, server.URL, &http.Client{Transport: transport})
			call := Call{Op: tt.op, Method: http.MethodPost, Path: "/x", Body: "b", Timeout: time.Minute}
			_, err := c.Do(provider.WithSendBy(t.Context(), by), call)
			if got := requests.Load(); got != tt.sent {
				t.Errorf("%d requests arrived, want %d", got, tt.sent)
			}
			if (err == nil) != (tt.sent == 1) || err != nil && err.Class != provider.NotSent {
				t.Errorf("error %v, want NotSent where none arrived", err)
			}
		})
	}
}

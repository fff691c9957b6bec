package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/refract-video/refract/internal/media"
)

func TestTest_SendsOneSignedEventAtATime(t *testing.T) {
	t.Parallel()
	cfg, secret, secrets := config(t, newMemory(), nil)
	cfg.Guard = media.Guard{AllowPrivate: true}
	arrived, answer := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Error(err)
			return
		}
		if err := wh.Verify(body, r.Header); err != nil {
			t.Error(err)
		}
		var got struct {
			Type      string
			Timestamp time.Time
			Data      struct{ EndpointID string }
		}
		if err := json.Unmarshal(body, &got); err != nil || got.Type != "webhook.test" || got.Timestamp.IsZero() || got.Data.EndpointID != string(idA) {
			t.Errorf("body %s: %v", body, err)
		}
		if id := r.Header.Get("webhook-id"); !strings.HasPrefix(id, "evt_test_") {
			t.Errorf("id %q", id)
		}
		arrived <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(srv.Close)
	s := newSender(t, cfg)
	t.Cleanup(s.Client.CloseIdleConnections)
	e := Endpoint{ID: idA, Tenant: "a", URL: srv.URL, Secrets: secrets, Disabled: DisabledByCaller}
	for range 2 { // The second test begins after the first one.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a, err := s.Test(t.Context(), e)
			if err != nil || a.Status != http.StatusTeapot || a.Error != "the endpoint answered with status 418 I'm a teapot" {
				t.Errorf("Test = %+v, %v", a, err)
			}
		}()
		<-arrived
		if _, err := s.Test(t.Context(), e); !errors.Is(err, ErrTestRunning) {
			t.Errorf("a test during another one: %v, want ErrTestRunning", err)
		}
		answer <- struct{}{}
		<-ended
	}
}

// Endpoints that never answer keep the tests of their tenant waiting, and no others.
func TestTests_ATenantLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	var ts tests
	count := func(tenant string) (n int) {
		for ts.begin(Endpoint{ID: EndpointID(fmt.Sprint(tenant, n)), Tenant: tenant}) {
			n++
		}
		return n
	}
	if a, b := count("a"), count("b"); a == 0 || a > maxTests/2 || b == 0 {
		t.Errorf("the first tenant runs %d tests at a time, and then the second one %d", a, b)
	}
	ts.end("b0")
	if !ts.begin(Endpoint{ID: "b0", Tenant: "b"}) {
		t.Error("a test that ended gives no room")
	}
}

func TestTest_NeedsAURL(t *testing.T) {
	t.Parallel()
	cfg, _, secrets := config(t, newMemory(), nil)
	if _, err := newSender(t, cfg).Test(t.Context(), Endpoint{ID: idA, Secrets: secrets}); !errors.Is(err, ErrNoURL) {
		t.Errorf("got %v, want ErrNoURL", err)
	}
}

func TestTest_AFailureOfOursNamesTheEndpoint(t *testing.T) {
	t.Parallel()
	cfg, _, _ := config(t, newMemory(), nil)
	e := Endpoint{ID: idA, URL: "https://a.example/?key=hidden", Secrets: Secrets{Current: []byte("of another key")}}
	_, err := newSender(t, cfg).Test(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), string(idA)) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

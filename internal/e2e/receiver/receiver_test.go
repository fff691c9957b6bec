package receiver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/e2e/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // Of the examples of Standard Webhooks.
	other  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// post posts a signed event and returns the status and the body of the answer.
func post(t *testing.T, url, id, body, signedWith string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := standardwebhooks.NewWebhook(signedWith)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(id, now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

func TestReceiver_RecordsAndVerifies(t *testing.T) {
	t.Parallel()
	r := receiver.Start(t)
	r.Trust("a", other, secret)
	for _, signedWith := range []string{secret, "whsec_" + strings.Repeat("A", 32)} {
		if status, _, err := post(t, r.URL("a"), "evt_1", `{"x":1}`, signedWith); status != http.StatusNoContent || err != nil {
			t.Fatalf("answered %d, %v", status, err)
		}
	}
	got := r.Requests("a")
	if len(got) != 2 || !slices.Equal(got[0].Secrets, []string{secret}) || got[1].Secrets != nil {
		t.Fatalf("recorded %+v, want two requests, the first verified", got)
	}
	if got[0].EventID != "evt_1" || string(got[0].Body) != `{"x":1}` || got[1].Nth != 1 || got[1].Arrived <= got[0].Answered {
		t.Errorf("recorded %+v", got)
	}
	if len(r.Requests("b")) != 0 {
		t.Error("another endpoint has requests")
	}
}

func TestReceiver_Misbehaves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		behavior receiver.Behavior
		status   int // That the sender sees; 0 means none.
		broken   bool
		whole    bool // Whether the body was recorded.
	}{
		{receiver.Accept, 204, false, true},
		{receiver.Status(500), 500, false, true},
		{receiver.Status(410), 410, false, true},
		{receiver.RetryAfter(429, 7), 429, false, true},
		{receiver.Redirect(307), 307, false, true},
		{receiver.Drop, 0, true, false},
		{receiver.CutRequest, 0, true, false},
		{receiver.DropAnswer, 0, true, true},
		{receiver.CutAnswer, 200, true, true},
	} {
		t.Run(tc.behavior.String(), func(t *testing.T) {
			t.Parallel()
			r := receiver.Start(t)
			r.Behave(func(receiver.Request) receiver.Behavior { return tc.behavior })
			status, answer, err := post(t, r.URL("a"), "evt_1", strings.Repeat("x", 1<<20), secret)
			if status != tc.status || (err != nil) != tc.broken {
				t.Errorf("answered %d %q, %v, want %d, broken %t", status, answer, err, tc.status, tc.broken)
			}
			got := r.Requests("a")
			if len(got) != 1 || (got[0].Body != nil) != tc.whole || got[0].Status != tc.status {
				t.Errorf("recorded %d requests, want one with status %d, whole %t", len(got), tc.status, tc.whole)
			}
			if n := r.Trap.Connections(); n != 0 {
				t.Errorf("%d connections reached the trap", n)
			}
		})
	}
}

// TestReceiver_HoldsOn checks the behaviors that end when the sender gives up.
func TestReceiver_HoldsOn(t *testing.T) {
	t.Parallel()
	for _, b := range []receiver.Behavior{receiver.Stall, receiver.Drip, receiver.DripBody} {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			r := receiver.Start(t)
			r.Behave(func(receiver.Request) receiver.Behavior { return b })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL("a"), strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				ended <- err
			}()
			if err := r.Await(ctx, func() bool { return len(r.Requests("a")) == 1 && r.Requests("a")[0].Body != nil }); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				t.Errorf("the request ended: %v", err)
			default:
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the request ended with %v", err)
			}
			if b.String() != receiver.Stall.String() {
				return
			}
			if err := r.Await(t.Context(), func() bool { return r.Requests("a")[0].Gone }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTrap_CountsConnections(t *testing.T) {
	t.Parallel()
	r := receiver.Start(t)
	if _, _, err := post(t, r.Trap.URL, "evt_1", "x", secret); err == nil || r.Trap.Connections() != 1 {
		t.Errorf("a request to the trap ended with %v, and %d connections are counted", err, r.Trap.Connections())
	}
}

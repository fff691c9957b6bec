package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/testing/protocmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	eventID   = "evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_5"
	eventBody = `{"type":"task.succeeded","timestamp":"2026-11-30T21:43:13.5Z","data":{"id":"0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10",` +
		`"state":"TASK_STATE_SUCCEEDED","revision":"5","prompt":"Rain","outputs":[{"downloadUri":"https://refract.example.com/x","sizeBytes":"42"}]}}`
)

// secretOf returns a secret of 24 bytes.
func secretOf(b byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 24))
}

// signed returns the headers of a request that each of the secrets signed.
func signed(tb testing.TB, id string, at time.Time, body string, secrets ...string) http.Header {
	tb.Helper()
	var signatures []string
	for _, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			tb.Fatal(err)
		}
		signature, err := key.Sign(id, at, []byte(body))
		if err != nil {
			tb.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", strings.Join(signatures, " "))
	return h
}

func TestVerifyWebhook_ReturnsTheEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 21, 43, 13, 500_000_000, time.UTC)
	for _, tt := range []struct {
		name string
		body string
		want WebhookEvent
	}{
		{"a task", eventBody, WebhookEvent{
			ID: eventID, Type: "task.succeeded", Time: at,
			Task: &refractv1.Task{
				Id: "0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10", State: refractv1.TaskState_TASK_STATE_SUCCEEDED, Revision: 5, Prompt: "Rain",
				Outputs: []*refractv1.Output{{DownloadUri: "https://refract.example.com/x", SizeBytes: 42}},
			},
		}},
		{
			"a task of a later release",
			`{"type":"task.melted","timestamp":"2026-11-30T21:43:13.5Z","more":1,"data":{"id":"7","state":"TASK_STATE_MELTED","hue":{"a":[1]}}}`,
			WebhookEvent{ID: eventID, Type: "task.melted", Time: at, Task: &refractv1.Task{Id: "7"}},
		},
		{
			"the test event", `{"type":"webhook.test","timestamp":"2026-11-30T21:43:13.5Z","data":{"message":"hello"}}`,
			WebhookEvent{ID: eventID, Type: "webhook.test", Time: at},
		},
		{
			"another type without data", `{"type":"source.ready","timestamp":"2026-11-30T21:43:13.5Z"}`,
			WebhookEvent{ID: eventID, Type: "source.ready", Time: at},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := VerifyWebhook(signed(t, eventID, time.Now(), tt.body, secretOf(1)), []byte(tt.body), secretOf(1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerifyWebhook_AcceptsWhatASecretSigned(t *testing.T) {
	t.Parallel()
	current, previous, other := secretOf(1), secretOf(2), secretOf(3)
	edit := func(name string, change func(string) string) func(http.Header, []byte) []byte {
		return func(h http.Header, body []byte) []byte {
			h.Set(name, change(h.Get(name)))
			return body
		}
	}
	for _, tt := range []struct {
		name    string
		signers []string
		secrets []string
		change  func(http.Header, []byte) []byte // Nil: nothing; it returns the body.
		want    error                            // Nil: accepted.
	}{
		{"one secret", []string{current}, []string{current}, nil, nil},
		{"a secret without its prefix", []string{current}, []string{strings.TrimPrefix(current, "whsec_")}, nil, nil},
		{"a receiver with the new secret during a rotation", []string{current, previous}, []string{current}, nil, nil},
		{"a receiver with the old secret during a rotation", []string{current, previous}, []string{previous}, nil, nil},
		{"a receiver with both", []string{current}, []string{previous, current}, nil, nil},
		{"a signature of another scheme first", []string{current}, []string{current}, edit("webhook-signature", func(s string) string {
			return "v1a,AAAA v2," + strings.TrimPrefix(s, "v1,") + " broken v1, " + s
		}), nil},

		{"a secret that was rotated out", []string{previous}, []string{current}, nil, ErrWebhookSignature},
		{"the secret of another endpoint", []string{other}, []string{current, previous}, nil, ErrWebhookSignature},
		{"a changed byte of the body", []string{current}, []string{current}, func(_ http.Header, body []byte) []byte {
			body[len(body)/2] ^= 1
			return body
		}, ErrWebhookSignature},
		{"one more byte", []string{current}, []string{current}, func(_ http.Header, body []byte) []byte { return append(body, ' ') }, ErrWebhookSignature},
		{"no body", []string{current}, []string{current}, func(http.Header, []byte) []byte { return nil }, ErrWebhookSignature},
		{"a changed id", []string{current}, []string{current}, edit("webhook-id", func(s string) string { return s + "1" }), ErrWebhookSignature},
		{"a changed time", []string{current}, []string{current}, edit("webhook-timestamp", func(s string) string { return s[:len(s)-1] }), ErrWebhookSignature},
		{"a time that is no number", []string{current}, []string{current}, edit("webhook-timestamp", func(string) string { return "now" }), ErrWebhookSignature},
		{"a shortened signature", []string{current}, []string{current}, edit("webhook-signature", func(s string) string { return s[:len(s)-1] }), ErrWebhookSignature},
		{"an empty signature", []string{current}, []string{current}, edit("webhook-signature", func(string) string { return "v1," }), ErrWebhookSignature},
		{"the signature under another scheme", []string{current}, []string{current}, edit("webhook-signature", func(s string) string {
			return "v2" + strings.TrimPrefix(s, "v1")
		}), ErrWebhookSignature},
		{"no id", []string{current}, []string{current}, edit("webhook-id", func(string) string { return "" }), ErrWebhookSignature},
		{"no time", []string{current}, []string{current}, edit("webhook-timestamp", func(string) string { return "" }), ErrWebhookSignature},
		{"no signature", []string{current}, []string{current}, edit("webhook-signature", func(string) string { return "" }), ErrWebhookSignature},

		{"no secrets", []string{current}, nil, nil, ErrWebhookSecret},
		{"an empty secret", []string{""}, []string{""}, nil, ErrWebhookSecret},
		{"an empty secret with its prefix", []string{"whsec_"}, []string{"whsec_"}, nil, ErrWebhookSecret},
		{"an empty secret after a good one", []string{current}, []string{current, ""}, nil, ErrWebhookSecret},
		{"a short secret", []string{"whsec_AAAA"}, []string{"whsec_AAAA"}, nil, ErrWebhookSecret},
		{"a secret that is not base64", []string{current}, []string{"whsec_!" + current}, nil, ErrWebhookSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header, body := signed(t, eventID, time.Now(), eventBody, tt.signers...), []byte(eventBody)
			if tt.change != nil {
				body = tt.change(header, body)
			}
			event, err := VerifyWebhook(header, body, tt.secrets...)
			if !errors.Is(err, tt.want) || (err == nil) != (event != nil) {
				t.Errorf("got %v and %v, want %v", event, err, tt.want)
			}
			for _, secret := range tt.secrets {
				if raw := strings.TrimPrefix(secret, "whsec_"); err != nil && raw != "" && strings.Contains(err.Error(), raw) {
					t.Errorf("the error contains a secret: %v", err)
				}
			}
		})
	}
}

func TestVerifyWebhook_AcceptsTimesWithinFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // A whole second, which does not pass.
		for _, tt := range []struct {
			signed time.Duration // From now.
			want   error
		}{
			{0, nil},
			{-5 * time.Minute, nil},
			{-5*time.Minute - time.Second, ErrWebhookTimestamp},
			{5 * time.Minute, nil},
			{5*time.Minute + time.Second, ErrWebhookTimestamp},
			{-3 * 24 * time.Hour, ErrWebhookTimestamp},
			{1 << 62, ErrWebhookTimestamp},
		} {
			event, err := VerifyWebhook(signed(t, eventID, now.Add(tt.signed), eventBody, secretOf(1)), []byte(eventBody), secretOf(1))
			if !errors.Is(err, tt.want) || (err == nil) != (event != nil) {
				t.Errorf("signed %s from now: got %v, want %v", tt.signed, err, tt.want)
			}
		}
		// The text of the error must not help a forger, nor mislead the owner of the secret.
		_, err := VerifyWebhook(signed(t, eventID, now.Add(-time.Hour), eventBody, secretOf(2)), []byte(eventBody), secretOf(1))
		if !errors.Is(err, ErrWebhookSignature) {
			t.Errorf("old, and signed with another secret: got %v, want ErrWebhookSignature", err)
		}
	})
}

// The signed text is ID.TIMESTAMP.BODY. Text in the body must not become another body.
func TestVerifyWebhook_RefusesAnIDThatContainsTheBody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	later := strconv.FormatInt(now.Add(time.Minute).Unix(), 10)
	inner := `{"type":"task.failed","timestamp":"2026-11-30T21:43:13Z","data":{}}`
	body := `free text.` + later + "." + inner
	header := signed(t, "evt_1", now, body, secretOf(1))
	header.Set("webhook-id", "evt_1."+header.Get("webhook-timestamp")+".free text")
	header.Set("webhook-timestamp", later)

	key, err := standardwebhooks.NewWebhook(secretOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify([]byte(inner), header); err != nil {
		t.Fatalf("the request does not test what it should: %v", err)
	}
	if event, err := VerifyWebhook(header, []byte(inner), secretOf(1)); !errors.Is(err, ErrWebhookSignature) {
		t.Errorf("got %v and %v, want ErrWebhookSignature", event, err)
	}
}

func TestVerifyWebhook_RefusesASignedBodyThatIsNoEvent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `[]`, `null`, `{}`, `{"type":"task.failed"}`, `{"timestamp":"2026-11-30T21:43:13Z","data":{}}`,
		`{"type":"task.failed","timestamp":"yesterday","data":{}}`,
		`{"type":"task.failed","timestamp":"2026-11-30T21:43:13Z"}`,
		`{"type":"task.failed","timestamp":"2026-11-30T21:43:13Z","data":null}`,
		`{"type":"task.failed","timestamp":"2026-11-30T21:43:13Z","data":{"revision":"many"}}`,
		eventBody + eventBody,
	} {
		event, err := VerifyWebhook(signed(t, eventID, time.Now(), body, secretOf(1)), []byte(body), secretOf(1))
		if err == nil || event != nil || errors.Is(err, ErrWebhookSignature) || errors.Is(err, ErrWebhookTimestamp) || errors.Is(err, ErrWebhookSecret) {
			t.Errorf("%s: got %v and %v, want an error of the body", body, event, err)
		}
	}
}

func TestWebhookHandler_AnswersWhatRefractUnderstands(t *testing.T) {
	t.Parallel()
	large := strings.Replace(eventBody, "Rain", strings.Repeat("x", MaxWebhookBytes-len(eventBody)+len("Rain")), 1)
	for _, tt := range []struct {
		name    string
		method  string
		body    string
		signer  string
		fail    error
		status  int
		text    string
		handled bool
	}{
		{"an event", "POST", eventBody, secretOf(1), nil, 204, "", true},
		{"the largest body", "POST", large, secretOf(1), nil, 204, "", true},
		{"a body that is too large", "POST", large + " ", secretOf(1), nil, 413, "the body cannot be read\n", false},
		{"a handler that fails", "POST", eventBody, secretOf(1), errors.New("dial tcp 10.0.0.7: password is wrong"), 500, "the event could not be handled\n", true},
		{"another secret", "POST", eventBody, secretOf(2), nil, 400, ErrWebhookSignature.Error() + "\n", false},
		{"a signed body that is no event", "POST", "{}", secretOf(1), nil, 400, "decode the body of the webhook: type or timestamp is missing\n", false},
		{"another method", "GET", "", secretOf(1), nil, 405, "webhooks are sent with POST\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var handled []string
			hook, err := WebhookHandler(func(ctx context.Context, e *WebhookEvent) error {
				if ctx.Err() != nil {
					t.Error(ctx.Err())
				}
				handled = append(handled, e.ID)
				return tt.fail
			}, secretOf(1))
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(hook)
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = signed(t, eventID, time.Now(), tt.body, tt.signer)
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || string(text) != tt.text {
				t.Errorf("got %d with %q and %v, want %d with %q", resp.StatusCode, text, err, tt.status, tt.text)
			}
			var want []string
			if tt.handled {
				want = []string{eventID}
			}
			if !slices.Equal(handled, want) {
				t.Errorf("handled %v, want %v", handled, want)
			}
		})
	}
}

func TestWebhookHandler_NeedsASecret(t *testing.T) {
	t.Parallel()
	handle := func(context.Context, *WebhookEvent) error { return nil }
	for _, secrets := range [][]string{nil, {""}, {secretOf(1), "whsec_"}} {
		if hook, err := WebhookHandler(handle, secrets...); hook != nil || !errors.Is(err, ErrWebhookSecret) {
			t.Errorf("%q: got %v and %v, want ErrWebhookSecret", secrets, hook, err)
		}
	}
}

// FuzzVerifyWebhook changes a signed request. Only the request that was signed may be accepted, however the time is written.
func FuzzVerifyWebhook(f *testing.F) {
	secret, other := secretOf(1), secretOf(2)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // The time in a bubble of synctest, so that saved inputs stay valid.
	genuine := signed(f, eventID, now, eventBody, secret)
	stamp, signature := genuine.Get("webhook-timestamp"), genuine.Get("webhook-signature")
	f.Add(eventID, stamp, signature, eventBody)
	f.Add(eventID, stamp, signed(f, eventID, now, eventBody, other).Get("webhook-signature"), eventBody)
	f.Add(eventID, stamp, signed(f, eventID, now, eventBody, other, secret).Get("webhook-signature"), strings.Replace(eventBody, "Rain", "Snow", 1))
	f.Add(eventID, "0"+stamp, "v1, v1,= v2, "+signature, eventBody)
	f.Add(eventID+"."+stamp, "", "v1", "")
	f.Fuzz(func(t *testing.T, id, timestamp, signatures, body string) {
		synctest.Test(t, func(t *testing.T) {
			header := http.Header{}
			header.Set("webhook-id", id)
			header.Set("webhook-timestamp", timestamp)
			header.Set("webhook-signature", signatures)
			event, err := VerifyWebhook(header, []byte(body), secret)
			if (err == nil) != (event != nil) {
				t.Fatalf("got %v and %v", event, err)
			}
			seconds, _ := strconv.ParseInt(timestamp, 10, 64)
			same := id == eventID && body == eventBody && seconds == now.Unix() && strings.Contains(signatures, signature)
			if err == nil && !same {
				t.Errorf("accepted a forged request: %q %q %q %q", id, timestamp, signatures, body)
			}
			if err != nil && id == eventID && body == eventBody && timestamp == stamp && signatures == signature {
				t.Errorf("refused the signed request: %v", err)
			}
		})
	})
}

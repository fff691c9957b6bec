package fal

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

// vector is testdata/vector.json, which Node.js made: `node vector.mjs > vector.json` in testdata.
type vector struct {
	JWKS     json.RawMessage `json:"jwks"`
	Webhooks []struct {
		Body      string `json:"body"`
		RequestID string `json:"request_id"`
		UserID    string `json:"user_id"`
		Timestamp string `json:"timestamp"`
		Signature string `json:"signature"`
	} `json:"webhooks"`
}

func readVector(t testing.TB) vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vector.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(text, &v); err != nil || len(v.Webhooks) != 2 {
		t.Fatalf("%d webhooks, %v", len(v.Webhooks), err)
	}
	return v
}

func TestCallback_ProvesWhatAnotherImplementationSigned(t *testing.T) {
	t.Parallel()
	v := readVector(t)
	keys, err := parseKeySet(v.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	p := knowing(t)
	p.keys.keys = keys
	want := []provider.Status{
		succeeded("https://v3b.fal.media/files/b/kangaroo/x.mp4"),
		{Phase: provider.Failed, Cause: provider.CauseModerated, Message: "content_policy_violation: Unzulässig: näher (body.prompt)"},
	}
	for i, w := range v.Webhooks {
		h := http.Header{}
		h.Set("X-Fal-Webhook-Request-Id", w.RequestID)
		h.Set("X-Fal-Webhook-User-Id", w.UserID)
		h.Set("X-Fal-Webhook-Timestamp", w.Timestamp)
		h.Set("X-Fal-Webhook-Signature", w.Signature)
		got, err := p.Callback(t.Context(), h, []byte(w.Body), sent)
		if err != nil {
			t.Fatalf("webhook %d: %v", i, err)
		}
		want := provider.Callback{ProviderTaskID: taskID, Proof: provider.ProofBody, Signer: user, Status: want[i]}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("webhook %d (-want +got):\n%s", i, diff)
		}
		if _, err := p.Callback(t.Context(), h, []byte(strings.Replace(w.Body, "request_id", "request_id ", 1)), sent); err == nil {
			t.Errorf("webhook %d passes with another body", i)
		}
	}
}

func TestCallback_JudgesSignatureAndTime(t *testing.T) {
	t.Parallel()
	body := []byte(`{"request_id":"T","status":"OK","payload":null}`)
	by := func(seed byte, timestamp string) http.Header { return signed(seed, "T", user, timestamp, body) }
	change := func(name, value string) http.Header {
		h := by(1, at(0))
		h.Set(name, value)
		if value == "" {
			h.Del(name)
		}
		return h
	}
	good := by(1, at(0)).Get("X-Fal-Webhook-Signature")
	bad, stale := provider.ErrCallbackSignature, provider.ErrCallbackStale
	for _, tt := range []struct {
		name   string
		header http.Header
		want   error // Nil means proven.
	}{
		{"first key", by(1, at(0)), nil},
		{"second key", by(2, at(0)), nil},
		{"an unknown key", by(3, at(0)), bad},
		{"in capitals", change("X-Fal-Webhook-Signature", strings.ToUpper(good)), nil},
		{"oldest time", by(1, at(-300)), nil},
		{"too old", by(1, at(-301)), stale},
		{"farthest future", by(1, at(300)), nil},
		{"too far in the future", by(1, at(301)), stale},
		{"milliseconds", by(1, at(0)+"000"), stale},
		{"smallest integer", by(1, "-9223372036854775808"), stale},
		{"no integer, signed", by(1, "now"), stale},
		{"no integer, not signed", change("X-Fal-Webhook-Timestamp", "now"), bad},
		{"too old and wrong", by(3, at(-301)), bad},
		{"no headers", http.Header{}, bad},
		{"no signature", change("X-Fal-Webhook-Signature", ""), bad},
		{"no timestamp", change("X-Fal-Webhook-Timestamp", ""), bad},
		{"no user", change("X-Fal-Webhook-User-Id", ""), bad},
		{"no request", change("X-Fal-Webhook-Request-Id", ""), bad},
		{"another user", change("X-Fal-Webhook-User-Id", "other"), bad},
		{"another request", change("X-Fal-Webhook-Request-Id", "U"), bad},
		{"signed for another request", signed(1, "U", user, at(0), body), bad},
		{"signed for another body", signed(1, "T", user, at(0), append([]byte(" "), body...)), bad},
		{"base64", change("X-Fal-Webhook-Signature", "q2Nm"), bad},
		{"half a signature", change("X-Fal-Webhook-Signature", good[:64]), bad},
		{"one more byte", change("X-Fal-Webhook-Signature", good+"00"), bad},
		{"one bit", change("X-Fal-Webhook-Signature", flipped(good)), bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := knowing(t, 1, 2).Callback(t.Context(), tt.header, body, sent)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error is %v, want %v", err, tt.want)
			}
			want := provider.Callback{ProviderTaskID: "T"}
			if tt.want == nil {
				want.Proof, want.Signer, want.Status = provider.ProofID, user, succeeded()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

// flipped changes the first digit of a number in hexadecimal.
func flipped(s string) string {
	if s[0] == '0' {
		return "1" + s[1:]
	}
	return "0" + s[1:]
}

func TestCallback_BelievesTheConfiguredUserAlone(t *testing.T) {
	t.Parallel()
	body := []byte(`{"request_id":"T","status":"OK","payload":` + video + `}`)
	for configured, want := range map[string]error{"": nil, user: nil, "other": provider.ErrCallbackSignature, strings.ToUpper(user): provider.ErrCallbackSignature} {
		p := newProvider(t, "http://127.0.0.1:1", func(c *Config) { c.UserID = configured })
		know(p, sent, 1)
		got, err := p.Callback(t.Context(), signed(1, "T", user, at(0), body), body, sent)
		if !errors.Is(err, want) || (err == nil) != (got.Proof == provider.ProofBody) {
			t.Errorf("configured %q: %+v, %v; want %v", configured, got, err, want)
		}
		if signer := map[string]string{"": user}[configured]; got.Signer != signer {
			t.Errorf("configured %q: the signer is %q, want %q", configured, got.Signer, signer)
		}
	}
}

func TestCallback_TheWindowIsAsDocumented(t *testing.T) {
	t.Parallel()
	if signatureWindow != 5*time.Minute {
		t.Errorf("the window is %v", signatureWindow)
	}
}

package fal

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

// sent is when the webhooks of the tests were signed.
var sent = time.Unix(1764500000, 0)

const user = "auth0|64d1c0de5eed"

// keyOf returns the key of a seed of equal bytes.
func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string([]byte{seed}), ed25519.SeedSize)))
}

// knowing returns an adapter that knows the keys of some seeds, and fetches none for a day.
func knowing(t testing.TB, seeds ...byte) *Provider {
	t.Helper()
	p := newProvider(t, "http://127.0.0.1:1")
	know(p, sent, seeds...)
	return p
}

func know(p *Provider, fetched time.Time, seeds ...byte) {
	p.keys.mu.Lock()
	defer p.keys.mu.Unlock()
	p.keys.keys, p.keys.fetched, p.keys.tried, p.keys.failed = nil, fetched, fetched, nil
	for _, seed := range seeds {
		p.keys.keys = append(p.keys.keys, ed25519.PublicKey(keyOf(seed)[ed25519.SeedSize:]))
	}
}

// signed returns the headers of a webhook.
func signed(seed byte, requestID, userID, timestamp string, body []byte) http.Header {
	signature := ed25519.Sign(keyOf(seed), signedText(requestID, userID, timestamp, body))
	h := http.Header{}
	h.Set("x-fal-webhook-request-id", requestID)
	h.Set("x-fal-webhook-user-id", userID)
	h.Set("x-fal-webhook-timestamp", timestamp)
	h.Set("x-fal-webhook-signature", hex.EncodeToString(signature))
	return h
}

// at returns a timestamp some seconds after sent.
func at(offset int64) string { return strconv.FormatInt(sent.Unix()+offset, 10) }

func TestCallback_ReadsEveryShape(t *testing.T) {
	t.Parallel()
	proven := func(proof provider.Proof, status provider.Status) provider.Callback {
		return provider.Callback{ProviderTaskID: "T", Proof: proof, Signer: user, Status: status}
	}
	failed := func(cause provider.Cause, message string) provider.Callback {
		return proven(provider.ProofBody, provider.Status{Phase: provider.Failed, Cause: cause, Message: message})
	}
	for _, tt := range []struct {
		name, body string
		want       provider.Callback
	}{
		{"success", `{"request_id":"T","gateway_request_id":"T","status":"OK","payload":` + video + `}`, proven(provider.ProofBody, succeeded("https://v3b.fal.media/files/b/x.mp4"))},
		{"retried by the gateway", `{"request_id":"T","gateway_request_id":"U","status":"OK","payload":` + video + `}`, proven(provider.ProofBody, succeeded("https://v3b.fal.media/files/b/x.mp4"))},
		{"byte order mark", "\xef\xbb\xbf" + `{"request_id":"T","status":"OK","payload":` + video + `}`, proven(provider.ProofBody, succeeded("https://v3b.fal.media/files/b/x.mp4"))},
		{"payload that could not be written", `{"request_id":"T","status":"OK","payload":null,"payload_error":"Response payload is not JSON serializable."}`, proven(provider.ProofID, succeeded())},
		{"no payload", `{"request_id":"T","status":"OK"}`, proven(provider.ProofID, succeeded())},
		{
			"a payload that is none", `{"request_id":"T","status":"OK","payload":[7]}`,
			proven(provider.ProofID, provider.Status{Phase: provider.Succeeded, Unread: "payload can't be read: [7]"}),
		},
		{"a payload without a video", `{"request_id":"T","status":"OK","payload":{"images":[]}}`, proven(provider.ProofBody, succeeded())},
		{
			"moderated", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":[{"loc":["body","prompt"],"msg":"no","type":"content_policy_violation"}]}}`,
			failed(provider.CauseModerated, "content_policy_violation: no (body.prompt)"),
		},
		{
			"bad input", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":[{"loc":["body","prompt"],"msg":"field required","type":"value_error.missing"}]}}`,
			failed(provider.CauseInputRejected, "value_error.missing: field required (body.prompt)"),
		},
		{
			"refused without a type", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":"no"}}`,
			failed(provider.CauseInputRejected, "no"),
		},
		{
			"the platform", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 503","payload":{"detail":"gone","error_type":"runner_disconnected"}}`,
			failed(provider.CauseUnspecified, "runner_disconnected: gone"),
		},
		{
			"the model broke", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 500","payload":{"detail":[{"loc":["body"],"msg":"sorry","type":"odd"}]}}`,
			failed(provider.CauseUnspecified, "odd: sorry (body)"),
		},
		{"an error alone", `{"request_id":"T","status":"ERROR","error":"Invalid status code: 500"}`, failed(provider.CauseUnspecified, "Invalid status code: 500")},
		{"an error without words", `{"request_id":"T","status":"error"}`, failed(provider.CauseUnspecified, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := []byte(tt.body)
			got, err := knowing(t, 1).Callback(t.Context(), signed(1, "T", user, at(0), body), body, sent)
			if err != nil {
				t.Fatalf("Callback: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallback_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	adapter().TestMalformed(t, map[string]string{
		"empty":              ``,
		"no JSON":            `<html>`,
		"cut JSON":           `{"request_id":"T","status":"OK"`,
		"two values":         `{"request_id":"T","status":"OK"}{}`,
		"null":               `null`,
		"array":              `[{"request_id":"T","status":"OK"}]`,
		"no id":              `{"status":"OK"}`,
		"the gateway's id":   `{"gateway_request_id":"T","status":"OK"}`,
		"id a number":        `{"request_id":7,"status":"OK"}`,
		"id of dots":         `{"request_id":"..","status":"OK"}`,
		"id too long":        `{"request_id":"` + strings.Repeat("a", 129) + `","status":"OK"}`,
		"id with line break": `{"request_id":"a\nb","status":"OK"}`,
		"id of another case": `{"REQUEST_ID":"T","status":"OK"}`,
	})
	for _, status := range []string{`null`, `7`, `"COMPLETED"`, `""`, `"OKAY"`} {
		body := []byte(`{"request_id":"T","status":` + status + `}`)
		got, err := knowing(t, 1).Callback(t.Context(), signed(1, "T", user, at(0), body), body, sent)
		if !errors.Is(err, provider.ErrCallbackMalformed) || !cmp.Equal(provider.Callback{}, got) {
			t.Errorf("status %s: %+v, %v; want malformed", status, got, err)
		}
	}
}

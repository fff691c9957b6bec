package fal_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// keySet reads the published keys, as a receiver does.
func keySet(t *testing.T, w *simtest.Fixture) []ed25519.PublicKey {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Crv, X string }
	}
	if got := w.Get(w.Sim.URL() + fal.RestPath + fal.KeySetPath); json.Unmarshal([]byte(got.Raw), &set) != nil || got.Status != 200 {
		t.Fatalf("key set: status %d, %s", got.Status, got.Raw)
	}
	var keys []ed25519.PublicKey
	for _, k := range set.Keys {
		raw, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(raw) != ed25519.PublicKeySize || k.Kty != "OKP" || k.Crv != "Ed25519" {
			t.Fatalf("key %+v: %v", k, err)
		}
		keys = append(keys, raw)
	}
	return keys
}

// signedBy returns the position of the key that signed a webhook, or -1 for none. It follows fal's description of the
// signature and shares no code with the simulator.
func signedBy(h http.Header, body string, keys []ed25519.PublicKey) int {
	hash := sha256.Sum256([]byte(body))
	message := h.Get("X-Fal-Webhook-Request-Id") + "\n" + h.Get("X-Fal-Webhook-User-Id") + "\n" +
		h.Get("X-Fal-Webhook-Timestamp") + "\n" + hex.EncodeToString(hash[:])
	signature, err := hex.DecodeString(h.Get("X-Fal-Webhook-Signature"))
	if err != nil {
		return -1
	}
	return slices.IndexFunc(keys, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, []byte(message), signature) })
}

func TestWebhook_ReportsTheOutputSigned(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	keys := keySet(t, w)
	request := w.Queued(simtest.FalModel, "snow")
	got := w.Callback()
	if by := signedBy(got.Header, got.Body, keys); by != len(keys)-1 || len(keys) < 2 {
		t.Errorf("signed by key %d of %d, want the last of several", by, len(keys))
	}
	h := got.Header
	if h.Get("X-Fal-Webhook-Request-Id") != request.RequestID || h.Get("X-Fal-Webhook-User-Id") != "simulated-user" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	if seconds, err := strconv.ParseInt(h.Get("X-Fal-Webhook-Timestamp"), 10, 64); err != nil || time.Since(time.Unix(seconds, 0)) > time.Hour {
		t.Errorf("timestamp %q: want the present in seconds", h.Get("X-Fal-Webhook-Timestamp"))
	}
	w.FalReached(request, "COMPLETED")
	want := fmt.Sprintf(`{"request_id":%q,"gateway_request_id":%q,"status":"OK","payload":%s}`,
		request.RequestID, request.RequestID, w.FalGet(request.ResponseURL).Raw)
	if diff := cmp.Diff(want, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestWebhook_ReportsAnError(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for directive, want := range map[string]string{
		"fail=content_policy_violation": `"payload":{"detail":[{"loc":["body","prompt"],"msg":"Generation failed","type":"content_policy_violation"}]},"error":"Invalid status code: 422"}`,
		"fail=500":                      `"payload":{"detail":"Generation failed","error_type":"internal_error"},"error":"Invalid status code: 500"}`,
		"null-data":                     `"status":"OK","payload":null}`,
		"empty-callback":                `"status":"OK","payload":{"video":null}}`,
		"payload-error":                 `"status":"OK","payload":null,"payload_error":"Response payload is not JSON serializable.`,
		"fail=404,payload-error":        `"status":"ERROR","payload":null,"error":"Invalid status code: 404","payload_error":"`,
		"shape=alone":                   `"payload":{"video":"http`,
	} {
		w.Queued(simtest.FalModel, "[sim:"+directive+"]")
		if got := w.Callback(); !strings.Contains(got.Body, want) {
			t.Errorf("%s: got %s, want %s", directive, got.Body, want)
		}
	}
}

func TestWebhook_IsRetriedUntilA2xx(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		statuses []int
		want     []int
	}{
		{"accepted", []int{204}, []int{204}},
		{"retried", []int{500, 404, 202}, []int{500, 404, 202}},
		{"redirect", []int{500, 302}, []int{500, 302}},
		{"given up", slices.Repeat([]int{503}, 64), slices.Repeat([]int{503}, 31)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			for _, status := range tt.statuses {
				w.Hook.Statuses <- status
			}
			w.Queued(simtest.FalModel, "p")
			w.Await("tries", func() bool { return len(w.Sim.Deliveries()) >= len(tt.want) && w.Sim.Delivering() == 0 })
			var got []int
			for _, d := range w.Sim.Deliveries() {
				got = append(got, d.Status)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWebhook_CarriesTheScriptedSignature(t *testing.T) {
	t.Parallel()
	control := fal.NewControl()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.Control = control })
	oldest := keySet(t, w)[:1]
	control.RotateKey()
	keys := keySet(t, w)
	tests := []struct {
		directive string
		by        int // The position of the key, or -1.
		user      string
	}{
		{"late=0s", 1, "simulated-user"},
		{"bad-signature", -1, "simulated-user"},
		{"wrong-key", -1, "simulated-user"},
		{"tampered", -1, "simulated-user"},
		{"foreign-user", 1, "another-simulated-user"},
		{"stale", 1, "simulated-user"},
		{"no-signature", -1, ""},
	}
	for _, tt := range tests {
		w.Queued(simtest.FalModel, "[sim:"+tt.directive+"]")
		got := w.Callback()
		if by := signedBy(got.Header, got.Body, keys); by != tt.by || got.Header.Get("X-Fal-Webhook-User-Id") != tt.user {
			t.Errorf("%s: signed by key %d with headers %v, want key %d", tt.directive, by, got.Header, tt.by)
		}
		if by := signedBy(got.Header, got.Body, oldest); (by == 0) != (tt.directive == "wrong-key") {
			t.Errorf("%s: signed by the key that left the set: %v", tt.directive, by == 0)
		}
		seconds, _ := strconv.ParseInt(got.Header.Get("X-Fal-Webhook-Timestamp"), 10, 64)
		if old := time.Since(time.Unix(seconds, 0)) > 30*time.Minute; old != (tt.directive == "stale" || tt.directive == "no-signature") {
			t.Errorf("%s: timestamp %d", tt.directive, seconds)
		}
	}
}

func TestWebhook_HasTheScriptedBody(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	w.Queued(simtest.FalModel, "[sim:oversized]")
	if got := w.Callback(); len(got.Body) <= 256<<10 || signedBy(got.Header, got.Body, keySet(t, w)) < 0 {
		t.Errorf("%d bytes: want more than 256 KiB, signed well", len(got.Body))
	}
	w.Queued(simtest.FalModel, "[sim:retried]")
	var body simtest.FalRequest
	if got := w.Callback(); json.Unmarshal([]byte(got.Body), &body) != nil || body.GatewayRequestID == body.RequestID {
		t.Errorf("body %s: want two ids", got.Body)
	}
}

func TestWebhook_SendsTheScriptedOnes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		want      []string // kind and error, in order
	}{
		{"duplicate=2", []string{"genuine ", "duplicate ", "duplicate "}},
		{"conflict", []string{"genuine ", "conflict Invalid status code: 500"}},
		{"fail=422,conflict", []string{"genuine Invalid status code: 422", "conflict "}},
		{"forge-code", []string{"forged Invalid status code: 500", "genuine "}},
		{"forge-urls", []string{"forged ", "genuine "}},
		{"fail,forge-code=200,never", []string{"forged "}},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := simtest.Setup(t, nil)
			keys := keySet(t, w)
			w.Queued(simtest.FalModel, "[sim:"+tt.directive+"]")
			w.Await("callbacks", func() bool { return len(w.Sim.Deliveries()) >= len(tt.want) })
			var got []string
			for _, d := range w.Sim.Deliveries() {
				if signedBy(d.Header, d.Body, keys) < 0 {
					t.Errorf("%s delivery has a wrong signature", d.Kind)
				}
				got = append(got, string(d.Kind)+" "+bodyOf(t, d).Error)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("callbacks (-want +got):\n%s", diff)
			}
		})
	}
}

// bodyOf decodes the body of a delivery.
func bodyOf(t *testing.T, d sim.Delivery) simtest.FalRequest {
	t.Helper()
	var body simtest.FalRequest
	if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestWebhook_CanComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	request := w.Queued(simtest.FalModel, "[sim:early]")
	if got := w.Sim.Deliveries(); len(got) != 1 || got[0].TaskID != request.RequestID {
		t.Errorf("deliveries %+v: want one before the answer", got)
	}
}

func TestControl_ChangesTheKeysOverHTTP(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	base := w.Sim.URL() + "/sim/fal"
	control := func(method, path string) fal.State {
		t.Helper()
		var state fal.State
		if got := w.FalCall(method, base+path, nil, nil); got.Status != 200 || json.Unmarshal([]byte(got.Raw), &state) != nil {
			t.Fatalf("%s %s: status %d, %s", method, path, got.Status, got.Raw)
		}
		return state
	}
	signer := func() int {
		t.Helper()
		w.Queued(simtest.FalModel, "p")
		got := w.Callback()
		return signedBy(got.Header, got.Body, keySet(t, w))
	}
	before := keySet(t, w)
	control(http.MethodPost, "/rotate-key")
	after := keySet(t, w)
	if !after[0].Equal(before[1]) || after[1].Equal(before[0]) || signer() != 1 {
		t.Errorf("keys %x, then %x: want the oldest replaced, and the newest to sign", before, after)
	}
	if control(http.MethodPut, "/unknown-key?on=true"); signer() != -1 {
		t.Error("an unknown key does not sign")
	}
	if control(http.MethodPut, "/unknown-key?on=false"); signer() != 1 {
		t.Error("the newest key does not sign again")
	}
	control(http.MethodPut, "/key-set?down=true")
	if got := w.Get(w.Sim.BaseURL(fal.Name) + fal.KeySetPath); got.Status != 503 {
		t.Errorf("key set: status %d, want 503", got.Status)
	}
	control(http.MethodPut, "/key-set?down=false")
	control(http.MethodPut, "/withdrawn/"+kling)
	if got := w.FalPost(kling, "", nil, w.FalInput("p")); got.Status != 404 {
		t.Errorf("withdrawn: status %d, want 404", got.Status)
	}
	want := fal.State{KeySetRequests: 6, Withdrawn: []string{kling}}
	if diff := cmp.Diff(want, control(http.MethodGet, "")); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	control(http.MethodDelete, "/withdrawn/"+kling)
	w.Queued(kling, "p")
	if got := w.FalCall(http.MethodPut, base+"/key-set?down=perhaps", nil, nil); got.Status != 400 {
		t.Errorf("a bad flag: status %d, want 400", got.Status)
	}
}

package fal

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// FuzzCallback checks that a result or a failure is only read from a body that says so, as an independent reading sees it; that it
// is proven when it is signed and refused when it isn't; and that it reads the same however it is spelt.
func FuzzCallback(f *testing.F) {
	for _, body := range []string{
		`{"request_id":"T","gateway_request_id":"U","status":"OK","payload":` + video + `}`,
		`{"request_id":"T","status":"OK","payload":null,"payload_error":"x"}`,
		`{"request_id":"T","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":[{"loc":["body","prompt"],"msg":"no","type":"content_policy_violation"}]}}`,
		`{"request_id":"T","status":"ERROR","error":"Invalid status code: 503","payload":{"detail":"gone","error_type":"runner_disconnected"}}`,
		`{"request_id":"T","status":"ERROR","error":"x","payload":{"detail":[{"loc":["\u0061","\ud800",1.0],"msg":"","type":"n"}]}}`,
		`{"request_id":"\ud800","status":"OK"}`, `{"request_id":[[[[`,
	} {
		f.Add([]byte(body))
	}
	for _, w := range readVector(f).Webhooks {
		f.Add([]byte(w.Body))
	}
	p := knowing(f, 1)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := receiveBody(t, p, body)
		if err != nil {
			if !errors.Is(err, provider.ErrCallbackMalformed) || !cmp.Equal(provider.Callback{}, got) {
				t.Fatalf("%+v with %v, want malformed", got, err)
			}
			return
		}
		seen := wiretest.Object(t, body)
		if id := wiretest.Trimmed(seen["request_id"]); id != got.ProviderTaskID || !wire.IsPathTaskID(id) {
			t.Fatalf("task %q read from %v", got.ProviderTaskID, seen["request_id"])
		}
		said := strings.ToLower(wiretest.Trimmed(seen["status"]))
		if said != "ok" && said != "error" || (said == "ok") != (got.Status.Phase == provider.Succeeded) {
			t.Fatalf("%v read from status %v", got.Status.Phase, seen["status"])
		}
		if linked := len(got.Status.ResultURLs) > 0; got.Proof != provider.ProofBody && linked || got.Proof == provider.ProofNone {
			t.Fatalf("proof %v of %+v", got.Proof, got.Status)
		}
		wiretest.CheckStatus(t, got.Status)
		wiretest.CheckLinks(t, got.Status.ResultURLs, wiretest.Inner(seen["payload"])["video"])
		again, err := receiveBody(t, p, wiretest.Recode(t, body))
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Fatalf("spelt otherwise it reads otherwise: %v (-first +again):\n%s", err, diff)
		}
		refused, err := p.Callback(t.Context(), http.Header{}, body, sent)
		if !errors.Is(err, provider.ErrCallbackSignature) || !cmp.Equal(provider.Callback{ProviderTaskID: got.ProviderTaskID}, refused) {
			t.Fatalf("unsigned: %+v, %v", refused, err)
		}
	})
}

// receiveBody receives a body that is signed for the request it names.
func receiveBody(t *testing.T, p *Provider, body []byte) (provider.Callback, error) {
	t.Helper()
	root, _ := wire.DecodeCallback(body)
	return p.Callback(t.Context(), signed(1, root.ID("request_id"), user, at(0), body), body, sent)
}

// FuzzSignature checks that only a signature by a known key, over the request, the user, the body and a timestamp inside the
// window, proves anything, and that every such one does.
func FuzzSignature(f *testing.F) {
	const window = 300
	f.Add([]byte(`{"request_id":"T","status":"OK"}`), "T", user, at(0), "00", uint32(sent.Unix()))
	f.Add([]byte(`{"request_id":"T","status":"OK"}`), "T", "u", "+1764500000", strings.Repeat("0", 128), uint32(sent.Unix()))
	f.Add([]byte(`{"request_id":"T","status":"ERROR"}`), "T\nu", "u", at(301), strings.Repeat("ab", 64), uint32(sent.Unix()))
	p := knowing(f, 1, 2)
	f.Fuzz(func(t *testing.T, body []byte, requestID, userID, timestamp, signature string, clock uint32) {
		now := time.Unix(int64(clock), 0)
		know(p, sent, 1, 2)
		said, err := receiveBody(t, p, body)
		if err != nil && !errors.Is(err, provider.ErrCallbackStale) && !errors.Is(err, provider.ErrCallbackSignature) {
			return // FuzzCallback looks into bodies.
		}
		know(p, now, 1, 2)
		id := said.ProviderTaskID
		sign := func(seed byte) http.Header { return signed(seed, requestID, userID, timestamp, body) }
		number, err := strconv.ParseInt(timestamp, 10, 64)
		fresh := err == nil && number >= int64(clock)-window && number <= int64(clock)+window
		complete := requestID == id && userID != "" && timestamp != ""
		for _, seed := range []byte{1, 2, 3} {
			got, err := p.Callback(t.Context(), sign(seed), body, now)
			var want error
			switch {
			case !complete || seed == 3:
				want = provider.ErrCallbackSignature
			case !fresh:
				want = provider.ErrCallbackStale
			}
			if !errors.Is(err, want) || (err == nil) != (got.Proof != provider.ProofNone) {
				t.Fatalf("signed by key %d: %+v, %v; want %v", seed, got, err, want)
			}
		}
		forged := sign(3)
		forged.Set(signatureHeader, signature)
		good := []string{sign(1).Get(signatureHeader), sign(2).Get(signatureHeader)}
		if slices.Contains(good, strings.ToLower(signature)) {
			return
		}
		if got, err := p.Callback(t.Context(), forged, body, now); !errors.Is(err, provider.ErrCallbackSignature) {
			t.Fatalf("the forged signature %q: %+v, %v", signature, got, err)
		}
	})
}

// FuzzCheck checks that a success is only read from a status that says so, and from a result with HTTP 2xx, as an independent
// reading of the same bytes sees them; and that a failure is only read from a status with an error, or from an answer of a model.
func FuzzCheck(f *testing.F) {
	for _, tt := range readings {
		f.Add(tt.status.status, []byte(tt.status.body), tt.result.status, []byte(tt.result.body))
	}
	f.Add(404, []byte(`{"detail":"Request not found"}`), 404, []byte(`{"detail":"Request not found"}`))
	f.Add(200, []byte(completed), 400, []byte(`{"detail":"Request is still in progress"}`))
	f.Add(200, []byte(completed), 401, []byte(`{"detail":"no","error_type":"x"}`))
	f.Add(403, []byte(`error code: 1010`), 403, []byte(`error code: 1010`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, statusCode int, statusBody []byte, resultCode int, resultBody []byte) {
		asked := false
		status, perr := wiretest.CheckAges(t, func(age time.Duration) (provider.Status, *provider.Error) {
			status, done, perr := p.readStatus(wire.Answer{Status: statusCode, Body: statusBody}, nil, taskID, age)
			if asked = !done && perr == nil; !asked {
				return status, perr
			}
			return p.readResult(wire.Answer{Status: resultCode, Body: resultBody}, nil, status, age)
		})
		if perr == nil && (statusCode < 200 || statusCode > 299) {
			t.Fatalf("%+v read from a status with HTTP %d", status, statusCode)
		}
		if perr == nil && status.Phase == provider.Failed && resultCode != 400 && resultCode != 422 && resultCode < 500 {
			said := wiretest.Object(t, statusBody)
			if !slices.ContainsFunc([]string{"error", "error_type", "detail"}, func(key string) bool { _, ok := said[key]; return ok }) {
				t.Fatalf("failure read from a result with HTTP %d", resultCode)
			}
		}
		seen := wiretest.CheckQuestion(t, resultCode, resultBody, status, perr)
		if seen == nil {
			return
		}
		if said := wiretest.Trimmed(wiretest.Object(t, statusBody)["status"]); !asked || strings.ToLower(said) != "completed" {
			t.Fatalf("success read from status %q", said)
		}
		wiretest.CheckLinks(t, status.ResultURLs, seen["video"])
	})
}

// FuzzSubmit checks that a request id is only read from a success that names it, and that every other answer says something about
// money.
func FuzzSubmit(f *testing.F) {
	f.Add(http.StatusOK, []byte(accepted))
	f.Add(http.StatusUnprocessableEntity, []byte(accepted))
	f.Add(http.StatusOK, []byte(`{"request_id":".."}`))
	f.Add(http.StatusNotFound, []byte(`{"detail":"Application not found"}`))
	f.Add(http.StatusNotFound, []byte(`{"detail":"Not Found"}`))
	f.Add(http.StatusForbidden, []byte(`{"detail":"User is locked. Reason: Exhausted balance"}`))
	f.Add(http.StatusTooManyRequests, []byte(`{"detail":"slow down"}`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		receipt, err := p.readSubmit(p.judge(wire.Call{Op: wire.OpSubmit}, wire.Answer{Status: httpStatus, Body: body}))
		wiretest.CheckCreated(t, httpStatus, body, "request_id", receipt.TaskID, err)
		if _, _, ok := p.readHandle(receipt.Handle); receipt.Handle != "" && !ok {
			t.Fatalf("the handle %q can't be used", receipt.Handle)
		}
	})
}

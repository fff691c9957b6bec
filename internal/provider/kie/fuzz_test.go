package kie

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// FuzzCallback checks that a key only ever adds proof: whatever body is readable without a key is read
// the same with one when signed for the task it names, and not at all when it isn't.
func FuzzCallback(f *testing.F) {
	for _, seed := range []string{
		`{"code":200,"msg":"ok","data":{"taskId":"T","promptJson":"{}","resultUrls":["https://h/1.mp4"]}}`,
		`{"code":"500","message":"no https://h/x?s=1","data":{"task_id":"T","promptJson":{"callBackUrl":"https://h/cb/tok"}}}`,
		`{"code":400,"data":null,"taskId":"T"}`,
		`{"code":400,"taskId":"T","task_id":"U"}`,
		`{"code":1e2,"data":{"taskId":"\ud800"}}`,
		`{"data":[[[[`,
	} {
		f.Add([]byte(seed))
	}
	plain, keyed := newProvider(f, ""), newProvider(f, "", withKeys("old", "new"))
	now := time.Unix(1755078480, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := plain.Callback(http.Header{}, body, now)
		if err != nil {
			if !errors.Is(err, provider.ErrCallbackMalformed) {
				t.Fatalf("error is %v, want malformed", err)
			}
			return
		}
		if !wire.IsTaskID(got.ProviderTaskID) || got.Proven || got.Status.Phase == provider.Running {
			t.Fatalf("impossible callback %+v", got)
		}
		wiretest.CheckStatus(t, got.Status)

		unsigned, err := keyed.Callback(http.Header{}, body, now)
		if !errors.Is(err, provider.ErrCallbackSignature) || unsigned.ProviderTaskID != got.ProviderTaskID {
			t.Fatalf("unsigned: %+v, %v", unsigned, err)
		}
		const timestamp = "1755078480"
		proven, err := keyed.Callback(signed(timestamp, sign([]byte("new"), got.ProviderTaskID, timestamp)), body, now)
		if err != nil || !proven.Proven {
			t.Fatalf("signed: %+v, %v", proven, err)
		}
		proven.Proven = false
		if diff := cmp.Diff(got, proven); diff != "" {
			t.Fatalf("a key changes what is read (-without +with):\n%s", diff)
		}
	})
}

// FuzzRecordInfo checks that a success is only read from a record that says so: from HTTP 2xx, code 200 and
// flag 1 or 4, as an independent reading of the same bytes sees them.
func FuzzRecordInfo(f *testing.F) {
	for _, seed := range []string{
		documentedRecord,
		record(`"successFlag":0`),
		record(`"successFlag":"4","response":{"originUrls":["https://h/o"],"resultUrls":["https://h/r"]}`),
		record(`"successFlag":3,"errorCode":"X","errorMessage":"see http://h/p?q"`),
		`{"code":422,"msg":"recordInfo is null","data":null}`,
		`{"code":"200","data":null}`,
		`error code: 1010`,
	} {
		f.Add(http.StatusOK, []byte(seed))
	}
	f.Add(http.StatusForbidden, []byte(`error code: 1010`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := parse(wire.Answer{Status: httpStatus, Body: body})
		status, perr := p.readCheck(a, p.judge(wire.Call{Op: wire.OpCheck}, a), taskID, time.Hour)
		seen := wiretest.CheckQuestion(t, httpStatus, body, status, perr)
		if seen == nil {
			return
		}
		data, _ := seen["data"].(map[string]any)
		if !oneOf(seen["code"], 200) || !oneOf(data["successFlag"], 1, 4) {
			t.Fatalf("success read from code %v, flag %v", seen["code"], data["successFlag"])
		}
	})
}

// oneOf reports whether v is one of the numbers, or a string of one.
func oneOf(v any, numbers ...float64) bool {
	n, ok := v.(float64)
	if s, isString := v.(string); isString {
		ok = json.Unmarshal([]byte(strings.TrimLeft(strings.TrimSpace(s), "+0")), &n) == nil
	}
	for _, want := range numbers {
		if ok && n == want {
			return true
		}
	}
	return false
}

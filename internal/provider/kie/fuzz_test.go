package kie

import (
	"encoding/json"
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

// FuzzCallback checks that a result or a failure is only read from a body that says so, as an independent reading
// sees it, whatever bytes it is spelt in; and that a key only ever adds proof: whatever is readable without a key is
// read the same with one when signed for the task it names, and not at all when it isn't.
func FuzzCallback(f *testing.F) {
	plain, keyed := newProvider(f, ""), newProvider(f, "", withKeys("old", "new"))
	now := time.Unix(1755078480, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := plain.Callback(t.Context(), http.Header{}, body, now)
		if err != nil {
			if !errors.Is(err, provider.ErrCallbackMalformed) {
				t.Fatalf("error is %v, want malformed", err)
			}
			return
		}
		if !wire.IsTaskID(got.ProviderTaskID) || got.Proof != provider.ProofNone {
			t.Fatalf("impossible callback %+v", got)
		}
		wiretest.CheckStatus(t, got.Status)
		checkSaid(t, got, body)
		again, err := plain.Callback(t.Context(), http.Header{}, wiretest.Recode(t, body), now)
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Fatalf("spelt otherwise it reads otherwise: %v (-first +again):\n%s", err, diff)
		}

		unsigned, err := keyed.Callback(t.Context(), http.Header{}, body, now)
		if !errors.Is(err, provider.ErrCallbackSignature) || unsigned.ProviderTaskID != got.ProviderTaskID {
			t.Fatalf("unsigned: %+v, %v", unsigned, err)
		}
		const timestamp = "1755078480"
		proven, err := keyed.Callback(t.Context(), signed(timestamp, sign([]byte("new"), got.ProviderTaskID, timestamp)), body, now)
		if err != nil || proven.Proof != provider.ProofID {
			t.Fatalf("signed: %+v, %v", proven, err)
		}
		proven.Proof = provider.ProofNone
		if diff := cmp.Diff(got, proven); diff != "" {
			t.Fatalf("a key changes what is read (-without +with):\n%s", diff)
		}
	})
}

// checkSaid compares a callback with an independent reading of its body.
func checkSaid(t *testing.T, got provider.Callback, body []byte) {
	t.Helper()
	seen := wiretest.Object(t, body)
	data := wiretest.Inner(seen["data"])
	for _, id := range []any{data["taskId"], data["task_id"], seen["taskId"], seen["task_id"]} {
		if text, ok := id.(string); (!ok || strings.TrimSpace(text) != "") && id != nil && strings.TrimSpace(text) != got.ProviderTaskID {
			t.Fatalf("task %q read from a body that names %v", got.ProviderTaskID, id)
		}
	}
	want := provider.Failed
	switch state := data["state"]; {
	case !oneOf(seen["code"], 200), word(state) == "fail":
	case state == nil, word(state) == "success":
		want = provider.Succeeded
	default:
		want = provider.Running
	}
	if got.Status.Phase != want {
		t.Fatalf("%v read from code %v, state %v", got.Status.Phase, seen["code"], data["state"])
	}
	links := data["resultUrls"]
	if _, isJob := data["resultJson"]; isJob {
		links = wiretest.Inner(data["resultJson"])["resultUrls"]
	}
	wiretest.CheckLinks(t, got.Status.ResultURLs, links)
}

// word returns a string as the names of states are compared.
func word(v any) string { return strings.ToLower(wiretest.Trimmed(v)) }

// FuzzSignature checks that only a signature by a live key, over the task that the body names and a timestamp inside
// the window, proves anything, and that every such one does.
func FuzzSignature(f *testing.F) {
	const window = 300
	plain, keyed := newProvider(f, ""), newProvider(f, "", withKeys("old", vectorKey))
	keys := []string{"old", vectorKey}
	f.Fuzz(func(t *testing.T, body []byte, timestamp, signature string, now uint32) {
		said, err := plain.Callback(t.Context(), http.Header{}, body, time.Time{})
		if err != nil {
			return // FuzzCallback looks into bodies.
		}
		id := said.ProviderTaskID
		at, err := strconv.ParseInt(timestamp, 10, 64)
		fresh := err == nil && at >= int64(now)-window && at <= int64(now)+window
		receive := func(signature string) error {
			got, err := keyed.Callback(t.Context(), signed(timestamp, signature), body, time.Unix(int64(now), 0))
			want := provider.Callback{ProviderTaskID: id} // All that a refused one says.
			if err == nil {
				want.Proof, want.Status = provider.ProofID, said.Status
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			return err
		}
		accepted := receive(signature)
		for _, key := range keys {
			good := sign([]byte(key), id, timestamp)
			switch err := receive(good); {
			case timestamp == "" && !errors.Is(err, provider.ErrCallbackSignature), timestamp != "" && fresh != (err == nil),
				timestamp != "" && !fresh && !errors.Is(err, provider.ErrCallbackStale):
				t.Fatalf("signed by %q at %q, received at %d: %v", key, timestamp, now, err)
			}
			if timestamp != "" && signature == good {
				return // It was no forgery.
			}
			for _, forged := range []string{
				"", good[1:], strings.ToLower(good), good + "=", " " + good, strings.TrimRight(good, "="),
				sign([]byte(key), id+"x", timestamp), sign([]byte(key+"x"), id, timestamp), sign([]byte(key), id, timestamp+"0"),
			} {
				if err := receive(forged); forged != good && !errors.Is(err, provider.ErrCallbackSignature) {
					t.Fatalf("%q passes for %q: %v", forged, good, err)
				}
			}
		}
		if !errors.Is(accepted, provider.ErrCallbackSignature) {
			t.Fatalf("the forged signature %q over %q: %v", signature, timestamp, accepted)
		}
	})
}

// FuzzRecordInfo checks that a success is only read from a record that says so: from HTTP 2xx, code 200 and
// flag 1 or 4, as an independent reading of the same bytes sees them.
func FuzzRecordInfo(f *testing.F) {
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		check := reader(p, httpStatus, provider.Query{TaskID: taskID})
		status, perr := wiretest.CheckAges(t, func(age time.Duration) (provider.Status, *provider.Error) { return check(body, age) })
		seen := wiretest.CheckQuestion(t, httpStatus, body, status, perr)
		if seen == nil {
			return
		}
		data := wiretest.Inner(seen["data"])
		flag := data["successFlag"]
		named := slices.Contains([]string{"success", "callback_failed", "true"}, strings.ToLower(wiretest.Trimmed(flag)))
		if !oneOf(seen["code"], 200) || !oneOf(flag, 1, 4) && flag != true && !named {
			t.Fatalf("success read from code %v, flag %v", seen["code"], data["successFlag"])
		}
		if id := wiretest.Trimmed(data["taskId"]); id != "" && id != taskID {
			t.Fatalf("success read from the record of %v", id)
		}
		response := wiretest.Inner(data["response"])
		wiretest.CheckLinks(t, status.ResultURLs, response["resultUrls"])
		again, perr := check(wiretest.Recode(t, body), time.Hour)
		if diff := cmp.Diff(status, again); diff != "" || perr != nil {
			t.Fatalf("spelt otherwise it reads otherwise: %v (-first +again):\n%s", perr, diff)
		}
	})
}

// reader returns a function that reads an answer about a task of some age.
func reader(p *Provider, httpStatus int, q provider.Query) func([]byte, time.Duration) (provider.Status, *provider.Error) {
	return func(body []byte, age time.Duration) (provider.Status, *provider.Error) {
		a := parse(wire.Answer{Status: httpStatus, Body: body})
		return p.readCheck(a, p.judge(wire.Call{Op: wire.OpCheck}, a), q, age)
	}
}

// FuzzJobInfo checks that a success of the market is only read from a record that says so: from HTTP 2xx, code 200 and state
// success, as an independent reading of the same bytes sees them.
func FuzzJobInfo(f *testing.F) {
	p := newProvider(f, "")
	f.Add(200, []byte(jobOf(`"state":"success","resultJson":"{\"resultUrls\":[\"https://h/1.mp4\"]}"`)))
	f.Add(200, []byte(jobOf(`"state":"fail","failCode":"500","failMsg":"no","param":"{\"input\":\"{}\"}"`)))
	f.Add(200, []byte(`{"code":422,"msg":"recordInfo is null","data":null}`))
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		check := reader(p, httpStatus, provider.Query{TaskID: taskID, Remote: wanRemote})
		status, perr := wiretest.CheckAges(t, func(age time.Duration) (provider.Status, *provider.Error) { return check(body, age) })
		seen := wiretest.CheckQuestion(t, httpStatus, body, status, perr)
		if seen == nil {
			return
		}
		data := wiretest.Inner(seen["data"])
		if !oneOf(seen["code"], 200) || word(data["state"]) != "success" {
			t.Fatalf("success read from code %v, state %v", seen["code"], data["state"])
		}
		if id := wiretest.Trimmed(data["taskId"]); id != "" && id != taskID {
			t.Fatalf("success read from the record of %v", id)
		}
		wiretest.CheckLinks(t, status.ResultURLs, wiretest.Inner(data["resultJson"])["resultUrls"])
		again, perr := check(wiretest.Recode(t, body), time.Hour)
		if diff := cmp.Diff(status, again); diff != "" || perr != nil {
			t.Fatalf("spelt otherwise it reads otherwise: %v (-first +again):\n%s", perr, diff)
		}
	})
}

// FuzzSubmit checks that a task id is only read from a success that names it, and that no answer proves that nothing
// was created but an error without a task.
func FuzzSubmit(f *testing.F) {
	p := newProvider(f, "")
	call := wire.Call{Op: wire.OpSubmit, Secrets: wire.CallbackSecrets(wiretest.CallbackURL)}
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := parse(wire.Answer{Status: httpStatus, Body: body})
		receipt, err := p.readSubmit(call, a, p.judge(call, a))
		id := receipt.TaskID
		var seen map[string]any
		_ = json.Unmarshal(body, &seen)
		data := wiretest.Inner(seen["data"])
		if err == nil {
			said := idsIn(data)
			if !wire.IsTaskID(id) || len(said) == 0 || slices.ContainsFunc(said, func(v any) bool { return wiretest.Trimmed(v) != id }) || !oneOf(seen["code"], 200) || httpStatus < 200 || httpStatus > 299 {
				t.Fatalf("id %q read from HTTP %d, code %v, data %v", id, httpStatus, seen["code"], data)
			}
			return
		}
		perr := wiretest.ProviderError(t, err)
		switch perr.Class {
		case provider.Ambiguous, provider.GenerationFailed:
		case provider.RateLimited, provider.Rejected, provider.AccountBlocked, provider.ModelWithdrawn:
			said := append(idsIn(seen), idsIn(data)...)
			if list, ok := seen["data"].([]any); ok {
				for _, element := range list {
					said = append(said, idsIn(wiretest.Inner(element))...)
				}
			}
			if len(said) > 0 {
				t.Fatalf("an answer that names tasks %v is taken for proof that there is none: %v", said, perr)
			}
			if perr.Class == provider.ModelWithdrawn && !isVoid(seen["data"]) {
				t.Fatalf("an answer with data %v is taken for a withdrawn model: %v", seen["data"], perr)
			}
			if perr.Class == provider.ModelWithdrawn && seen["code"] == nil {
				t.Fatalf("HTTP %d without a code is taken for a withdrawn model: %v", httpStatus, perr)
			}
			if oneOf(seen["code"], 200) && httpStatus < 400 {
				t.Fatalf("HTTP %d with code 200 is taken for a refusal: %v", httpStatus, perr)
			}
		default:
			t.Fatalf("a submission ended as a question does: %v", perr)
		}
	})
}

// idsIn returns what an object says in the fields of task ids.
func idsIn(o map[string]any) (said []any) {
	for _, key := range []string{"taskId", "task_id", "recordId"} {
		if !isVoid(o[key]) {
			said = append(said, o[key])
		}
	}
	return said
}

// isVoid reports whether a value says nothing: null, blanks, or an object or a list without elements.
func isVoid(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// FuzzLink checks that a link is only read from a success that holds it.
func FuzzLink(f *testing.F) {
	p := newProvider(f, "")
	call := wire.Call{Op: wire.OpLink, Secrets: []string{"https://h.example/old?sig=" + wiretest.LinkSecret}}
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := parse(wire.Answer{Status: httpStatus, Body: body})
		link, err := p.readLink(call, a, p.judge(call, a))
		if err != nil {
			perr, ok := errors.AsType[*provider.Error](err)
			if !ok || perr.Class == provider.Ambiguous || perr.Class == provider.NotSent {
				t.Fatalf("a question ended as a submission does: %v", err)
			}
			wiretest.CheckError(t, perr)
			return
		}
		var seen map[string]any
		if json.Unmarshal(body, &seen) != nil || !wire.IsLink(link) || !oneOf(seen["code"], 200) ||
			httpStatus < 200 || httpStatus > 299 {
			t.Fatalf("link %q read from HTTP %d, %v", link, httpStatus, seen)
		}
		wiretest.CheckLinks(t, []string{link}, seen["data"])
	})
}

// FuzzUpload checks that an address is only read from a success that holds it.
func FuzzUpload(f *testing.F) {
	p := newProvider(f, "")
	read := func(body []byte) (string, error) {
		return p.readUpload(parse(wire.Answer{Status: http.StatusOK, Body: body}))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		address, err := read(body)
		if err != nil {
			perr := wiretest.ProviderError(t, err)
			if address != "" || perr.Class == provider.Ambiguous || len(perr.Message) > provider.MaxMessage {
				t.Fatalf("%q with %v", address, perr)
			}
			return
		}
		var seen map[string]any
		_ = json.Unmarshal(body, &seen)
		data := wiretest.Inner(seen["data"])
		if !wire.IsLink(address) || !oneOf(seen["code"], 200) {
			t.Fatalf("%q read from %v", address, seen)
		}
		wiretest.CheckLinks(t, []string{address}, []any{data["downloadUrl"], data["fileUrl"]})
		if again, err := read(wiretest.Recode(t, body)); err != nil || again != address {
			t.Fatalf("spelt otherwise it reads %q, %v, want %q", again, err, address)
		}
	})
}

// oneOf reports whether v is one of the numbers, or a string of one.
func oneOf(v any, numbers ...float64) bool {
	n, ok := v.(float64)
	if s, isString := v.(string); isString {
		var err error
		n, err = strconv.ParseFloat(strings.TrimSpace(s), 64)
		ok = err == nil
	}
	for _, want := range numbers {
		if ok && n == want {
			return true
		}
	}
	return false
}

package e2e_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

// TestIngress_AnswersAsDocumented posts everything that providers and strangers may post about one running attempt. No
// post may change the task, and none may cause a stack trace.
func TestIngress_AnswersAsDocumented(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(_ *server.Config, c *e2etest.SimConfig) { c.Processing = time.Hour })
	id := ts.Submit(t, "").GetId()
	events := ts.Await(t, id, func(e *refractv1.TaskEvent) bool { return e.GetState() == refractv1.TaskState_TASK_STATE_RUNNING })
	entry := ts.Sim.Ledger()[0]
	before := ts.Get(t, id)

	now := strconv.FormatInt(time.Now().Unix(), 10)
	stale := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	future := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	failed := `{"code":500,"msg":"failed","data":{"taskId":"` + entry.TaskID + `"}}`
	signed := func(taskID, at string) []string {
		return []string{"X-Webhook-Timestamp", at, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, taskID, at)}
	}
	path := entry.CallbackURL[strings.Index(entry.CallbackURL, "/v1/"):]
	token := path[strings.LastIndex(path, "/")+1:]
	foreign := path[:len(path)-len(token)] + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for _, tc := range []struct {
		name   string
		path   string
		body   string
		header []string
		status int
		reason string
	}{
		{"a forged URL token", path[:len(path)-4] + "AAAA", failed, signed(entry.TaskID, now), 401, "CALLBACK_TOKEN_INVALID"},
		{"a URL token that we never made", foreign, failed, signed(entry.TaskID, now), 401, "CALLBACK_TOKEN_INVALID"},
		{"another provider's name", strings.Replace(path, "/kie/", "/luma/", 1), failed, signed(entry.TaskID, now), 401, "CALLBACK_TOKEN_INVALID"},
		{"no signature", path, failed, nil, 401, "CALLBACK_SIGNATURE_INVALID"},
		{"a forged signature", path, failed, []string{"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign("another key", entry.TaskID, now)}, 401, "CALLBACK_SIGNATURE_INVALID"},
		{"a signature of another task", path, failed, signed("0123456789abcdef0123456789abcdef", now), 401, "CALLBACK_SIGNATURE_INVALID"},
		{"a stale timestamp", path, failed, signed(entry.TaskID, stale), 401, "CALLBACK_STALE"},
		{"a timestamp in the future", path, failed, signed(entry.TaskID, future), 401, "CALLBACK_STALE"},
		{"an oversized body", path, `{"pad":"` + strings.Repeat("x", 300<<10) + `"}`, signed(entry.TaskID, now), 413, ""},
		{"a body that is not JSON", path, "<html>", signed(entry.TaskID, now), 400, "CALLBACK_MALFORMED"},
		{"an empty body", path, "", signed(entry.TaskID, now), 400, "CALLBACK_MALFORMED"},
		{"data:null", path, `{"code":400,"msg":"Generation failed","data":null}`, signed(entry.TaskID, now), 400, "CALLBACK_MALFORMED"},
		{"ids that differ", path, `{"code":200,"taskId":"a","data":{"taskId":"b"}}`, signed("a", now), 400, "CALLBACK_MALFORMED"},
		{"another task's id", path, `{"code":200,"data":{"taskId":"stranger"}}`, signed("stranger", now), 200, ""},
		{"another route", "/v1/tasks", failed, nil, 404, ""},
		{"a failure that the provider does not confirm", path, failed, signed(entry.TaskID, now), 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, answer := e2etest.Request(t, http.MethodPost, "http://"+ts.IngressAddr()+tc.path, tc.body, tc.header...)
			if status != tc.status {
				t.Errorf("answered %d, want %d: %s", status, tc.status, answer)
			}
			if tc.reason != "" && e2etest.DecodeRefusal(t, answer).Reason != tc.reason {
				t.Errorf("answered %s, want reason %s", answer, tc.reason)
			}
			if strings.Contains(string(answer), token) {
				t.Errorf("the answer holds the URL token: %s", answer)
			}
		})
	}
	after := ts.Get(t, id)
	for _, o := range append(before.GetOutputs(), after.GetOutputs()...) {
		o.SignedUri, o.SignedUriExpireTime = "", nil // Each call creates new ones.
	}
	if !proto.Equal(before, after) {
		t.Errorf("the task changed:\n%v\n%v", before, after)
	}
	if len(events) != 3 {
		t.Errorf("the task had events %v", events)
	}
	want := map[string]int{"bad_signature": 3, "stale": 2, "malformed": 3, "mismatch": 1, "confirming": 1}
	if diff := cmp.Diff(want, e2etest.Verdicts(t, ts, token)); diff != "" {
		t.Errorf("verdicts in the inbox (-want +got):\n%s", diff)
	}
}

// TestIngress_TakesWhatComesAfterTheEnd posts duplicates and contradictions about a task that has succeeded.
func TestIngress_TakesWhatComesAfterTheEnd(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	before := ts.Get(t, id)
	entry := ts.Sim.Ledger()[0]
	now := strconv.FormatInt(time.Now().Unix(), 10)
	header := []string{"X-Webhook-Timestamp", now, "X-Webhook-Signature", simkie.Sign(e2etest.WebhookKey, entry.TaskID, now)}
	for _, body := range []string{
		`{"code":200,"msg":"ok","data":{"taskId":"` + entry.TaskID + `","resultUrls":["https://evil.example/x.mp4"]}}`,
		`{"code":500,"msg":"failed","data":{"taskId":"` + entry.TaskID + `","promptJson":"{\"callBackUrl\":\"` + entry.CallbackURL + `\"}"}}`,
	} {
		if status, _, answer := e2etest.Request(t, http.MethodPost, entry.CallbackURL, body, header...); status != http.StatusOK || string(answer) != `{"status":"received"}` {
			t.Errorf("answered %d %s, want 200", status, answer)
		}
	}
	after := ts.Get(t, id)
	for _, o := range append(before.GetOutputs(), after.GetOutputs()...) {
		o.SignedUri, o.SignedUriExpireTime = "", nil // Each call creates new ones.
	}
	if !proto.Equal(before, after) {
		t.Errorf("the task changed:\n%v\n%v", before, after)
	}
	got := e2etest.Verdicts(t, ts, entry.CallbackURL[strings.LastIndex(entry.CallbackURL, "/")+1:])
	if diff := cmp.Diff(map[string]int{"applied": 1, "duplicate": 1, "conflict": 1}, got); diff != "" {
		t.Errorf("verdicts in the inbox (-want +got):\n%s", diff)
	}
}

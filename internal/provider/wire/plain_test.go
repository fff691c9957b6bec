package wire

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

var testCodes = Table{
	{From: 422, To: 422, Submit: BadInput, Check: NotFound, Link: Rejected},
	{From: math.MinInt, To: math.MaxInt, Submit: Ambiguous, Check: Unavailable, Link: Unavailable},
}

func TestReadObject_FindsTheWordsWhereverTheyStand(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://localhost", nil)
	for body, want := range map[string]string{
		`{"detail":"no"}`:                     "no",
		`{"message":"no"}`:                    "no",
		`{"error":"no"}`:                      "no",
		`{"error":{"message":"no","code":7}}`: "no",
		`{"detail":"first","message":"second","error":"third"}`:   "first",
		`{"detail":null,"message":"","error":"third"}`:            "third",
		`{"detail":[{"loc":["body","prompt"],"msg":"required"}]}`: `[{"loc":["body","prompt"],"msg":"required"}]`,
		`{"detail":[{"input":"https:\/\/h\/v.mp4?sig=s3cr3t"}]}`:  `[{"input":"https://h/[redacted]"}]`,
		`{"title":"no"}`: `{"title":"no"}`,
		`["no"]`:         `["no"]`,
		`no`:             `no`,
		``:               ``,
	} {
		_, perr := c.ReadObject(Call{Op: OpSubmit}, testCodes, Answer{Status: 422, Body: []byte(body)})
		if perr == nil || perr.Class != provider.Rejected || !perr.Input || perr.Code != 422 || perr.Message != want {
			t.Errorf("%s: %v, want a refusal of the input that says %q", body, perr, want)
		}
	}
}

func TestReadObject_TakesNothingButAnObjectForASuccess(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://localhost", nil)
	for _, a := range []Answer{
		{Status: 200},
		{Status: 201, Body: []byte(`null`)},
		{Status: 201, Body: []byte(`[{}]`)},
		{Status: 201, Body: []byte(`{"id":"T"`)},
		{Status: 201, Err: errors.New("cut")},
		{Status: 199, Body: []byte(`{}`)},
		{Status: 300, Body: []byte(`{}`)},
		{Status: 500, Body: []byte(`{"id":"T"}`)},
	} {
		_, perr := c.ReadObject(Call{Op: OpSubmit}, testCodes, a)
		if perr == nil || perr.Class != provider.Ambiguous || perr.Code != a.Status {
			t.Errorf("status %d, body %q: %v, want an ambiguous one", a.Status, a.Body, perr)
		}
	}
	for _, status := range []int{200, 201, 299} {
		o, perr := c.ReadObject(Call{Op: OpSubmit}, testCodes, Answer{Status: status, Body: []byte(`{"id":"T"}`)})
		if perr != nil || o.Text("id") != "T" {
			t.Errorf("status %d: %v, %v", status, o, perr)
		}
	}
}

func TestCreated_WantsAnIDThatFitsIntoAPath(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"T", "123e4567-e89b-12d3-a456-426614174000", "a/b", "..a", strings.Repeat("a", MaxTaskID)} {
		if got, err := Created(object(t, `{"id":"`+id+`"}`), nil); err != nil || got.TaskID != id {
			t.Errorf("id %q: %q, %v", id, got, err)
		}
	}
	for _, body := range []string{
		`{}`, `{"id":null}`, `{"id":7}`, `{"id":""}`, `{"id":"."}`, `{"id":".."}`, `{"ID":"T"}`, `{"id":"a\nb"}`,
		"{\"id\":\"a\xffb\"}", `{"id":"` + strings.Repeat("a", MaxTaskID+1) + `"}`,
	} {
		_, err := Created(object(t, body), nil)
		if got := provider.ClassOf(err); err == nil || got != provider.Ambiguous {
			t.Errorf("%s: %v, want ambiguous", body, err)
		}
	}
}

func TestCreated_DoubtsARefusalThatHoldsATask(t *testing.T) {
	t.Parallel()
	refusal := func() *provider.Error {
		return &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredits, Op: "submit", Code: 402}
	}
	_, err := Created(object(t, `{"id":"T","state":"queued"}`), refusal())
	perr, ok := errors.AsType[*provider.Error](err)
	if !ok || perr.Class != provider.Ambiguous || perr.Pause != "" || perr.Input {
		t.Errorf("refusal with a task: %v, want ambiguous", err)
	}
	for _, body := range []string{`{"id":"T"}`, `{"state":"queued"}`, `{"detail":"no"}`} {
		_, err := Created(object(t, body), refusal())
		if diff := cmp.Diff(refusal(), err); diff != "" {
			t.Errorf("%s changes the refusal (-want +got):\n%s", body, diff)
		}
	}
}

func object(t *testing.T, body string) Object {
	t.Helper()
	o, ok := DecodeObject([]byte(body))
	if !ok {
		t.Fatalf("%s is no object", body)
	}
	return o
}

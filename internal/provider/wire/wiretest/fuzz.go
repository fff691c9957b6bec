package wiretest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

// CheckQuestion checks that the result of a check is possible. For a success it returns the answer as an independent reader of
// the same bytes sees it, and otherwise nil.
func CheckQuestion(t testing.TB, httpStatus int, body []byte, status provider.Status, perr *provider.Error) map[string]any {
	t.Helper()
	if perr != nil {
		if perr.Class == provider.Ambiguous || perr.Class == provider.NotSent || perr.Class == provider.Rejected {
			t.Fatalf("a question ended as a submission does: %v", perr)
		}
		CheckError(t, perr)
		return nil
	}
	CheckStatus(t, status)
	if status.Phase != provider.Succeeded {
		return nil
	}
	if httpStatus < 200 || httpStatus > 299 {
		t.Fatalf("success read from HTTP %d", httpStatus)
	}
	return Object(t, body)
}

// byteOrderMark may begin the body of a callback.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Object reads a JSON object independently of the adapters. A number that Go can't hold, which adapters pass over where
// they do not look for it, is read as null.
func Object(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var seen map[string]any
	err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), &seen)
	if _, passed := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !passed || seen == nil {
		t.Fatalf("read from what is no JSON object: %v", err)
	}
	return seen
}

// CheckCreated checks that the result of a submission is possible for an API that names what it created at the root of
// its answer, under key, and whose HTTP status alone can prove that it created nothing.
func CheckCreated(t testing.TB, httpStatus int, body []byte, key, id string, err error) {
	t.Helper()
	if err == nil {
		seen := Object(t, body)
		if Trimmed(seen[key]) != id || httpStatus < 200 || httpStatus > 299 {
			t.Fatalf("id %q read from HTTP %d and %v", id, httpStatus, seen[key])
		}
		return
	}
	perr, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *provider.Error", err, err)
	}
	CheckError(t, perr)
	switch perr.Class {
	case provider.Ambiguous, provider.RateLimited, provider.Rejected, provider.AccountBlocked, provider.ModelWithdrawn:
	default:
		t.Fatalf("a submission ended as a question does: %v", perr)
	}
	if nothingCreated := perr.Class != provider.Ambiguous; nothingCreated && (httpStatus < 400 || httpStatus > 499) {
		t.Fatalf("HTTP %d is taken for proof that nothing was created: %v", httpStatus, perr)
	}
}

// Recode returns the JSON value of body in other bytes: keys in order, escapes and white space as encoding/json
// writes them. What an adapter reads must not change with it.
func Recode(t testing.TB, body []byte) []byte {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, byteOrderMark)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("what is no JSON was read: %v", err)
	}
	recoded, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s can't be encoded again: %v", body, err)
	}
	return recoded
}

// CheckLinks wants result links to be different strings somewhere in what an independent reader sees, without the white space
// around them.
func CheckLinks(t testing.TB, links []string, seen any) {
	t.Helper()
	there := map[string]bool{}
	collect(there, seen)
	for i, link := range links {
		if !there[link] || slices.Contains(links[:i], link) {
			t.Fatalf("link %q is not in %v, or twice in %q", link, seen, links)
		}
	}
}

// collect gathers the strings in a value, and in the JSON that strings hold.
func collect(there map[string]bool, v any) {
	switch v := v.(type) {
	case string:
		there[strings.TrimSpace(v)] = true
		var inner any
		if json.Unmarshal([]byte(v), &inner) == nil {
			collect(there, inner)
		}
	case []any:
		for _, element := range v {
			collect(there, element)
		}
	case map[string]any:
		for _, element := range v {
			collect(there, element)
		}
	}
}

// Inner returns the object that a value is, or that it holds as JSON in a string.
func Inner(v any) map[string]any {
	if s, ok := v.(string); ok {
		var inner map[string]any
		_ = json.Unmarshal([]byte(s), &inner)
		return inner
	}
	inner, _ := v.(map[string]any)
	return inner
}

// Trimmed returns a string without the white space around it, or "".
func Trimmed(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

// CheckAges wants the age of a task to matter only while it may be invisible: what ended once stays ended. It returns
// what read says of an old task.
func CheckAges(t testing.TB, read func(age time.Duration) (provider.Status, *provider.Error)) (provider.Status, *provider.Error) {
	t.Helper()
	status, perr := read(time.Hour)
	young, youngErr := read(0)
	if perr != nil && perr.Class == provider.NotFound {
		if youngErr != nil || young.Phase != provider.Running {
			t.Fatalf("a young task that is not found is %v, %v", young, youngErr)
		}
		return status, perr
	}
	if diff := cmp.Diff(status, young); diff != "" || (perr == nil) != (youngErr == nil) || perr != nil && perr.Error() != youngErr.Error() {
		t.Fatalf("age changes what is read: %v, %v (-old +young):\n%s", perr, youngErr, diff)
	}
	return status, perr
}

func wantMalformed(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, provider.ErrCallbackMalformed) {
		t.Fatalf("error is %v, want malformed", err)
	}
}

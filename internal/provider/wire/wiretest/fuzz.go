package wiretest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/refract-video/refract/internal/provider"
)

// CheckQuestion wants what a check ended with to be possible. Where a success was read, it returns the answer as an
// independent reader of the same bytes sees it, and else nil.
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
	var seen map[string]any
	if err := json.Unmarshal(body, &seen); err != nil || seen == nil {
		t.Fatalf("success read from what is no JSON object: %v", err)
	}
	return seen
}

// CheckCreated wants what a submission ended with to be possible for an API that names what it created at the root of
// its answer, and whose HTTP status alone can prove that it created nothing.
func CheckCreated(t testing.TB, httpStatus int, body []byte, id string, err error) {
	t.Helper()
	if err == nil {
		var seen map[string]any
		if json.Unmarshal(body, &seen) != nil || seen["id"] != id || httpStatus < 200 || httpStatus > 299 {
			t.Fatalf("id %q read from HTTP %d and %v", id, httpStatus, seen["id"])
		}
		return
	}
	perr, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *provider.Error", err, err)
	}
	CheckError(t, perr)
	switch perr.Class {
	case provider.Ambiguous, provider.RateLimited, provider.Rejected, provider.AccountBlocked:
	default:
		t.Fatalf("a submission ended as a question does: %v", perr)
	}
	if nothingCreated := perr.Class != provider.Ambiguous; nothingCreated && (httpStatus < 400 || httpStatus > 499) {
		t.Fatalf("HTTP %d is taken for proof that nothing was created: %v", httpStatus, perr)
	}
}

func wantMalformed(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, provider.ErrCallbackMalformed) {
		t.Fatalf("error is %v, want malformed", err)
	}
}

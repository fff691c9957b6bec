package kie

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// result is what an error says, or the phase of a check that has none.
type result struct {
	Class provider.Class
	Pause provider.Pause
	Phase provider.Phase
	Code  int
}

// wantCodes is what callers rely on, spelt out apart from the table under test.
var wantCodes = map[int]struct{ submit, check, link result }{
	0:   {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	302: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	307: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	400: {class(provider.Rejected), class(provider.Unavailable), class(provider.Rejected)},
	401: {paused(provider.PauseCredentials), paused(provider.PauseCredentials), paused(provider.PauseCredentials)},
	402: {paused(provider.PauseCredits), paused(provider.PauseCredits), paused(provider.PauseCredits)},
	404: {class(provider.ModelWithdrawn), class(provider.NotFound), class(provider.Rejected)},
	408: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	413: {class(provider.Rejected), class(provider.Unavailable), class(provider.Rejected)},
	418: {class(provider.Rejected), class(provider.Unavailable), class(provider.Rejected)},
	422: {class(provider.Rejected), class(provider.NotFound), class(provider.Rejected)},
	429: {class(provider.RateLimited), class(provider.RateLimited), class(provider.RateLimited)},
	433: {paused(provider.PauseQuota), paused(provider.PauseQuota), paused(provider.PauseQuota)},
	455: {class(provider.ModelWithdrawn), paused(provider.PauseMaintenance), paused(provider.PauseMaintenance)},
	499: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	500: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	501: {class(provider.GenerationFailed), result{Phase: provider.Failed}, class(provider.Unavailable)},
	502: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	503: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	505: {class(provider.ModelWithdrawn), paused(provider.PauseDisabled), class(provider.Rejected)},
	531: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
	777: {class(provider.Ambiguous), class(provider.Unavailable), class(provider.Unavailable)},
}

// wantForeign is what the answer to a submission means if its body has no code, where this is something else.
var wantForeign = map[int]result{404: class(provider.Rejected), 455: class(provider.Ambiguous), 505: class(provider.Ambiguous)}

func class(c provider.Class) result { return result{Class: c} }

func paused(why provider.Pause) result {
	return result{Class: provider.AccountBlocked, Pause: why}
}

func TestCodes_MeanTheSameOverEveryErrorTransport(t *testing.T) {
	t.Parallel()
	t.Run("Luma Modify", func(t *testing.T) { testCodes(t, adapter()) })
	t.Run("market", func(t *testing.T) { testCodes(t, market()) })
}

// testCodes checks every code with the model of an adapter.
func testCodes(t *testing.T, a wiretest.Adapter) {
	t.Helper()
	t.Parallel()
	transports := map[string]func(code int) (status int, body string){
		"code in the body": func(code int) (int, string) {
			return http.StatusOK, fmt.Sprintf(`{"code":%d,"msg":"said so","data":null}`, code)
		},
		"code in a string": func(code int) (int, string) {
			return http.StatusOK, fmt.Sprintf(`{"code":"%d","message":"said so"}`, code)
		},
		"HTTP status": func(code int) (int, string) {
			return code, `{"msg":"said so"}`
		},
		"HTTP status with code 200": func(code int) (int, string) {
			return code, `{"code":200,"msg":"said so","data":null}`
		},
		"both": func(code int) (int, string) {
			return code, fmt.Sprintf(`{"code":%d,"msg":"said so","data":null}`, code)
		},
	}
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for code, want := range wantCodes {
				if submit, ok := wantForeign[code]; ok && name == "HTTP status" {
					want.submit = submit
				}
				status, body := transport(code)
				if status == 0 {
					continue // There is no such HTTP status.
				}
				p := answering(t, status, body)
				for op, want := range map[wire.Op]result{wire.OpSubmit: want.submit, wire.OpCheck: want.check, wire.OpLink: want.link} {
					want.Code = code
					if diff := cmp.Diff(want, outcome(t, a, p, op)); diff != "" {
						t.Errorf("%s answered with %d %s (-want +got):\n%s", op, status, body, diff)
					}
				}
			}
		})
	}
}

// outcome runs one wire.Op and checks that the provider's words arrive.
func outcome(t *testing.T, a wiretest.Adapter, p *Provider, op wire.Op) result {
	t.Helper()
	if op == wire.OpCheck {
		status, err := p.Check(t.Context(), provider.Query{TaskID: taskID, Remote: a.Remote, Submitted: time.Now().Add(-time.Hour)})
		if err == nil {
			if status.Message != "said so" {
				t.Errorf("%s: message is %q", op, status.Message)
			}
			return result{Phase: status.Phase, Code: status.Code}
		}
	}
	perr := wiretest.ProviderError(t, a.Do(t, p, op))
	if perr.Message != "said so" {
		t.Errorf("%s: message is %q", op, perr.Message)
	}
	if perr.Op != string(op) {
		t.Errorf("wire.Op is %q, want %q", perr.Op, op)
	}
	return result{Class: perr.Class, Pause: perr.Pause, Code: perr.Code}
}

func TestCodes_OnlyTheEnvelopeProvesThatTheModelIsGone(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"empty": ``, "page": `<html>hello</html>`, "null": `null`, "list": `[505]`, "other object": `{"detail":"Not Found"}`,
		"no code": `{"msg":"no","data":null}`, "code null": `{"code":null,"msg":"no"}`, "code a word": `{"code":"gone","msg":"no"}`,
	}
	for status, want := range wantForeign {
		for name, body := range bodies {
			t.Run(fmt.Sprintf("%d %s", status, name), func(t *testing.T) {
				t.Parallel()
				perr := wiretest.WantClass(t, wiretest.Do(t, answering(t, status, body), wire.OpSubmit), want.Class)
				if perr.Code != status || perr.Pause != "" || perr.Input {
					t.Errorf("code %d, pause %q, input %v, want %d and neither", perr.Code, perr.Pause, perr.Input, status)
				}
			})
		}
	}
}

func TestCodes_ForbiddenByTheProviderItselfIsARefusal(t *testing.T) {
	t.Parallel()
	p := answering(t, http.StatusForbidden, `{"code":403,"msg":"no"}`)
	wiretest.WantClass(t, wiretest.Do(t, p, wire.OpSubmit), provider.Rejected)
}

func TestRetryAfter_IsHonoured(t *testing.T) {
	t.Parallel()
	p := answering(t, http.StatusTooManyRequests, `{"code":429,"msg":"slow down"}`, "Retry-After", "7")
	if perr := wiretest.WantClass(t, wiretest.Do(t, p, wire.OpSubmit), provider.RateLimited); perr.RetryAfter != 7*time.Second {
		t.Errorf("retry after %v, want 7s", perr.RetryAfter)
	}
}

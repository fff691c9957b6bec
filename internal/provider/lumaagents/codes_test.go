package lumaagents

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

// result is what an error says.
type result struct {
	Class provider.Class
	Pause provider.Pause
	Input bool
	Code  int
}

// wantCodes is what callers rely on, spelt out apart from the table under test.
var wantCodes = map[int]struct{ submit, check result }{
	302: {class(provider.Ambiguous), class(provider.Unavailable)},
	400: {badInput(), class(provider.Unavailable)},
	401: {paused(provider.PauseCredentials), paused(provider.PauseCredentials)},
	402: {paused(provider.PauseCredits), paused(provider.PauseCredits)},
	403: {paused(provider.PauseBlocked), paused(provider.PauseBlocked)},
	404: {class(provider.Rejected), class(provider.NotFound)},
	405: {class(provider.Rejected), class(provider.Unavailable)},
	408: {class(provider.Ambiguous), class(provider.Unavailable)},
	409: {class(provider.Ambiguous), class(provider.Unavailable)},
	410: {class(provider.Rejected), class(provider.Unavailable)},
	413: {badInput(), class(provider.Unavailable)},
	418: {class(provider.Rejected), class(provider.Unavailable)},
	422: {badInput(), class(provider.Unavailable)},
	429: {class(provider.RateLimited), class(provider.RateLimited)},
	499: {class(provider.Ambiguous), class(provider.Unavailable)},
	500: {class(provider.Ambiguous), class(provider.Unavailable)},
	501: {class(provider.Ambiguous), class(provider.Unavailable)},
	502: {class(provider.Ambiguous), class(provider.Unavailable)},
	503: {class(provider.Ambiguous), class(provider.Unavailable)},
	504: {class(provider.Ambiguous), class(provider.Unavailable)},
	520: {class(provider.Ambiguous), class(provider.Unavailable)},
	777: {class(provider.Ambiguous), class(provider.Unavailable)},
}

func class(c provider.Class) result { return result{Class: c} }

func badInput() result { return result{Class: provider.Rejected, Input: true} }

func paused(why provider.Pause) result {
	return result{Class: provider.AccountBlocked, Pause: why}
}

func TestCodes_MeanTheSameInEveryErrorBody(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"detail", "message", "error"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			for code, want := range wantCodes {
				p := answering(t, code, fmt.Sprintf(`{%q:"said so"}`, key))
				for op, want := range map[wire.Op]result{wire.OpSubmit: want.submit, wire.OpCheck: want.check} {
					want.Code = code
					perr := wiretest.ProviderError(t, wiretest.Do(t, p, op))
					got := result{Class: perr.Class, Pause: perr.Pause, Input: perr.Input, Code: perr.Code}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s answered with %d (-want +got):\n%s", op, code, diff)
					}
					if perr.Message != "said so" || perr.Op != string(op) {
						t.Errorf("%s answered with %d: message %q, operation %q", op, code, perr.Message, perr.Op)
					}
				}
			}
		})
	}
}

func TestCodes_MeanTheSameWithoutAnErrorBody(t *testing.T) {
	t.Parallel()
	for code, want := range wantCodes {
		if code == http.StatusForbidden {
			continue // A firewall's, which TestExchanges covers.
		}
		for _, body := range []string{"", "<html>busy</html>", `{}`, `[]`, `{"detail":"cut`} {
			perr := wiretest.ProviderError(t, wiretest.Do(t, answering(t, code, body), wire.OpSubmit))
			if perr.Class != want.submit.Class || perr.Pause != want.submit.Pause || perr.Message != body {
				t.Errorf("%d %s: %v, want %v that says so", code, body, perr, want.submit.Class)
			}
		}
	}
}

func TestRetryAfter_IsHonoured(t *testing.T) {
	t.Parallel()
	p := answering(t, http.StatusTooManyRequests, `{"detail":"slow down"}`, "Retry-After", "7")
	if perr := wiretest.WantClass(t, wiretest.Do(t, p, wire.OpSubmit), provider.RateLimited); perr.RetryAfter != 7*time.Second {
		t.Errorf("retry after %v, want 7s", perr.RetryAfter)
	}
}

func TestErrors_TellNoSecretThatTheProviderEchoes(t *testing.T) {
	t.Parallel()
	echo := `Authorization: Bearer ` + wiretest.Key + ` link https://results.example.com/f7.mp4?sig=` + wiretest.LinkSecret +
		` called ` + wiretest.CallbackURL
	for _, body := range []string{
		echo,
		`{"detail":"` + echo + `"}`,
		`{"detail":[{"loc":["body"],"input":"` + echo + `"}]}`,
		`{"error":{"message":"` + echo + `"}}`,
	} {
		for _, status := range []int{http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusInternalServerError} {
			wiretest.ProviderError(t, wiretest.Do(t, answering(t, status, body), wire.OpSubmit)) // Looks for the secrets.
		}
	}
	// A check does not know the callback URL, but keeps no path of any URL.
	p := answering(t, http.StatusBadGateway, `{"detail":"can't call `+wiretest.CallbackURL+`"}`)
	perr := wiretest.WantClass(t, wiretest.Do(t, p, wire.OpCheck), provider.Unavailable)
	if want := "can't call https://refract.example.com/[redacted]"; perr.Message != want {
		t.Errorf("message is %q, want %q", perr.Message, want)
	}
}

func TestCauses_AreKnownForEveryDocumentedCode(t *testing.T) {
	t.Parallel()
	want := map[string]provider.Cause{
		"content_moderated":  provider.CauseModerated,
		"generation_failed":  provider.CauseUnspecified,
		"budget_exhausted":   provider.CauseOutOfCredits,
		"output_not_found":   provider.CauseUnspecified,
		"image_too_large":    provider.CauseInputTooLarge,
		"unsupported_format": provider.CauseInputUnsupported,
		"corrupt_input":      provider.CauseInputUnsupported,
		"invalid_request":    provider.CauseInputRejected,
		"rate_limited":       provider.CauseUnspecified,
		"a_code_of_tomorrow": provider.CauseUnspecified,
	}
	for code, cause := range want {
		body := generation(fmt.Sprintf(`"state":"failed","output":null,"failure_code":%q,"failure_reason":"said so"`, code))
		got, err := answering(t, http.StatusOK, body).Check(t.Context(), taskID, longAgo())
		if err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if diff := cmp.Diff(failed(cause, code+": said so"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
	}
}

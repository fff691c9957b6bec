package wiretest

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Meaning is what a code means for a submission and for a check.
type Meaning struct{ Submit, Check wire.Verdict }

// Class is a verdict with only a class. It does not use the verdicts that the tables under test are made of.
func Class(c provider.Class) wire.Verdict { return wire.Verdict{Class: c} }

// BadInput is the verdict that the prompt or the source was refused.
func BadInput() wire.Verdict { return wire.Verdict{Class: provider.Rejected, Input: true} }

// Paused is the verdict that the account can't submit.
func Paused(why provider.Pause) wire.Verdict {
	return wire.Verdict{Class: provider.AccountBlocked, Pause: why}
}

// plainCodes is what statuses mean by HTTP. It does not use the tables under test.
func plainCodes() map[int]Meaning {
	var (
		unavailable = Class(provider.Unavailable)
		unknown     = Meaning{Class(provider.Ambiguous), unavailable}
		rejected    = Meaning{Class(provider.Rejected), unavailable}
		badInput    = Meaning{BadInput(), unavailable}
	)
	return map[int]Meaning{
		302: unknown,
		400: badInput,
		401: {Paused(provider.PauseCredentials), Paused(provider.PauseCredentials)},
		402: {Paused(provider.PauseCredits), Paused(provider.PauseCredits)},
		404: {Class(provider.ModelWithdrawn), Class(provider.NotFound)},
		405: rejected, 408: unknown, 409: unknown, 413: badInput, 418: rejected, 422: badInput,
		429: {Class(provider.RateLimited), Class(provider.RateLimited)},
		499: unknown, 500: unknown, 501: unknown, 502: unknown, 503: unknown, 504: unknown, 520: unknown, 777: unknown,
	}
}

// TestPlainErrors checks what an adapter makes of the errors of an API without an envelope. Own is what the provider's
// statuses mean beyond those that mean the same for all such APIs. It leaves out a status without a meaning, for the tests of
// the adapter.
func (a Adapter) TestPlainErrors(t *testing.T, own map[int]Meaning) {
	t.Helper()
	codes := plainCodes()
	maps.Copy(codes, own)
	maps.DeleteFunc(codes, func(_ int, m Meaning) bool { return m == Meaning{} })
	for _, key := range []string{"detail", "message", "error"} {
		t.Run("codes with "+key, func(t *testing.T) {
			t.Parallel()
			for code, want := range codes {
				p := a.New(t, Answering(t, code, fmt.Sprintf(`{%q:"said so"}`, key)), nil)
				a.wantPlain(t, p, wire.OpSubmit, code, want.Submit)
				a.wantPlain(t, p, wire.OpCheck, code, want.Check)
			}
		})
	}
	t.Run("codes without an error body", func(t *testing.T) {
		t.Parallel()
		a.bareCodes(t, codes)
	})
	t.Run("Retry-After is honoured", func(t *testing.T) {
		t.Parallel()
		p := a.New(t, Answering(t, http.StatusTooManyRequests, `{"detail":"slow down"}`, "Retry-After", "7"), nil)
		if perr := WantClass(t, a.Do(t, p, wire.OpSubmit), provider.RateLimited); perr.RetryAfter != 7*time.Second {
			t.Errorf("retry after %v, want 7s", perr.RetryAfter)
		}
	})
	t.Run("no echoed secret leaks", a.plainEchoes)
}

func (a Adapter) wantPlain(t *testing.T, p provider.Provider, op wire.Op, code int, want wire.Verdict) {
	t.Helper()
	perr := ProviderError(t, a.Do(t, p, op))
	got := wire.Verdict{Class: perr.Class, Pause: perr.Pause, Input: perr.Input}
	if diff := cmp.Diff(want, got); diff != "" || perr.Code != code {
		t.Errorf("%s answered with %d: code %d (-want +got):\n%s", op, code, perr.Code, diff)
	}
	if perr.Message != "said so" || perr.Op != string(op) {
		t.Errorf("%s answered with %d: message %q, operation %q", op, code, perr.Message, perr.Op)
	}
}

func (a Adapter) bareCodes(t *testing.T, codes map[int]Meaning) {
	t.Helper()
	for code, want := range codes {
		if code == http.StatusForbidden {
			continue // A firewall's, which TestExchanges covers.
		}
		for _, body := range []string{"", "<html>busy</html>", `{}`, `[]`, `{"detail":"cut`} {
			perr := ProviderError(t, a.Do(t, a.New(t, Answering(t, code, body), nil), wire.OpSubmit))
			if perr.Class != want.Submit.Class || perr.Pause != want.Submit.Pause || perr.Message != body {
				t.Errorf("%d %s: %v, want %v that says so", code, body, perr, want.Submit.Class)
			}
		}
	}
}

func (a Adapter) plainEchoes(t *testing.T) {
	t.Parallel()
	echo := `Authorization: Bearer ` + Key + ` link https://results.example.com/f7.mp4?sig=` + LinkSecret + ` called ` + CallbackURL
	if a.New(t, "", nil).Capabilities().Callbacks != provider.NoCallbacks {
		echo += ` token ` + Token // Else the provider never got it.
	}
	for _, body := range []string{
		echo,
		`{"detail":"` + echo + `"}`,
		`{"detail":[{"loc":["body"],"input":"` + echo + `"}]}`,
		`{"error":{"message":"` + echo + `"}}`,
	} {
		for _, status := range []int{http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusInternalServerError} {
			_ = ProviderError(t, a.Do(t, a.New(t, Answering(t, status, body), nil), wire.OpSubmit)) // Looks for the secrets.
		}
	}
	// A check does not know the callback URL, but keeps no path of any URL.
	p := a.New(t, Answering(t, http.StatusBadGateway, `{"detail":"can't call `+CallbackURL+`"}`), nil)
	perr := WantClass(t, a.Do(t, p, wire.OpCheck), provider.Unavailable)
	if want := "can't call https://refract.example.com/[redacted]"; perr.Message != want {
		t.Errorf("message is %q, want %q", perr.Message, want)
	}
}

// TestUnreadable checks that each answer with status 200 to a check says nothing about the task with that id. Where Want
// is not empty, it is the message.
func (a Adapter) TestUnreadable(t *testing.T, id string, answers []Answer) {
	t.Helper()
	for _, tt := range answers {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			p := a.New(t, Answering(t, http.StatusOK, tt.Body), nil)
			_, err := p.Check(t.Context(), provider.Query{TaskID: id, Submitted: time.Now().Add(-time.Hour)})
			perr := WantClass(t, err, provider.Unavailable)
			if tt.Want != "" && perr.Message != tt.Want {
				t.Errorf("message is %q, want %q", perr.Message, tt.Want)
			}
			if perr.Op != string(wire.OpCheck) || perr.Err == nil {
				t.Errorf("operation %q, cause %v", perr.Op, perr.Err)
			}
		})
	}
}

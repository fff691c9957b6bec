package fal

import (
	"net/http"
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestErrors_MeanWhatTheirStatusSays(t *testing.T) {
	t.Parallel()
	adapter().TestPlainErrors(t, map[int]wiretest.Meaning{
		403: {Submit: wiretest.Paused(provider.PauseBlocked), Check: wiretest.Paused(provider.PauseBlocked)},
		404: {}, // Below: the words decide.
		410: {Submit: wiretest.Class(provider.Rejected), Check: wiretest.Class(provider.Unavailable)},
	})
}

func TestErrors_MeanWhatTheirWordsSay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		submit provider.Class
		pause  provider.Pause
		check  provider.Class
	}{
		"no balance":              {403, `{"detail":"User is locked. Reason: Exhausted balance. Top up at fal.ai/dashboard/billing."}`, provider.AccountBlocked, provider.PauseCredits, provider.AccountBlocked},
		"locked for another":      {403, `{"detail":"User is locked. Reason: Fraud"}`, provider.AccountBlocked, provider.PauseBlocked, provider.AccountBlocked},
		"a firewall":              {403, `<html>Exhausted balance</html>`, provider.AccountBlocked, provider.PauseBlocked, provider.AccountBlocked},
		"the words of another":    {402, `{"detail":"Exhausted balance"}`, provider.AccountBlocked, provider.PauseCredits, provider.AccountBlocked},
		"no model":                {404, `{"detail":"Application not found"}`, provider.ModelWithdrawn, "", provider.NotFound},
		"no model, in other form": {404, `{"detail":[{"msg":"Application 'x' not found","type":"not_found"}]}`, provider.ModelWithdrawn, "", provider.NotFound},
		"no model, named":         {404, `{"detail":"Application \"modify\" not found"}`, provider.ModelWithdrawn, "", provider.NotFound},
		"no model, in capitals":   {404, `{"detail":"APPLICATION NOT FOUND"}`, provider.ModelWithdrawn, "", provider.NotFound},
		"no route":                {404, `{"detail":"Not Found"}`, provider.Rejected, "", provider.NotFound},
		"no path of a model":      {404, `{"detail":"Path /modify not found"}`, provider.Rejected, "", provider.NotFound},
		"no words known":          {404, `{"detail":"Application is disabled"}`, provider.Rejected, "", provider.NotFound},
		"not the words of 404":    {410, `{"detail":"Application not found"}`, provider.Rejected, "", provider.Unavailable},
		"a page":                  {404, `<html>Not Found</html>`, provider.Rejected, "", provider.Unavailable},
		"another API":             {404, `{"message":"Not Found"}`, provider.Rejected, "", provider.NotFound},
		"nothing":                 {404, ``, provider.Rejected, "", provider.Unavailable},
		"an empty object":         {404, `{}`, provider.Rejected, "", provider.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := answering(t, tt.status, tt.body)
			if perr := wiretest.WantClass(t, adapter().Do(t, p, wire.OpSubmit), tt.submit); perr.Pause != tt.pause || perr.Code != tt.status {
				t.Errorf("submit: pause %q, code %d", perr.Pause, perr.Code)
			}
			if perr := wiretest.WantClass(t, adapter().Do(t, p, wire.OpCheck), tt.check); perr.Pause != tt.pause {
				t.Errorf("check: pause %q", perr.Pause)
			}
		})
	}
}

func TestUpload_ARefusalSaysNothingAboutSubmissions(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]wire.Verdict{
		http.StatusUnauthorized:          wire.Credentials,
		http.StatusForbidden:             wire.Rejected,
		http.StatusBadRequest:            wire.BadInput,
		http.StatusRequestEntityTooLarge: wire.BadInput,
		http.StatusNotFound:              wire.Rejected,
		http.StatusTooManyRequests:       wire.RateLimited,
		http.StatusInternalServerError:   wire.Unavailable,
	} {
		perr := wiretest.ProviderError(t, adapter().Do(t, answering(t, status, `{"detail":"no"}`), wire.OpUpload))
		if got := (wire.Verdict{Class: perr.Class, Pause: perr.Pause, Input: perr.Input}); got != want {
			t.Errorf("%d means %+v, want %+v", status, got, want)
		}
	}
}

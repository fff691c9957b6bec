package luma

import (
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

// FuzzCallback checks that whatever a stranger sends is malformed or a possible callback, proves nothing, and
// reads as a check with the same body does.
func FuzzCallback(f *testing.F) {
	for _, g := range generations {
		f.Add([]byte(g.Body))
	}
	f.Add([]byte(`{"id":"\ud800","state":"failed"}`))
	f.Add([]byte(`{"id":[[[[`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := p.Callback(t.Context(), http.Header{}, body, time.Time{})
		if err != nil {
			if !errors.Is(err, provider.ErrCallbackMalformed) {
				t.Fatalf("error is %v, want malformed", err)
			}
			return
		}
		if !wire.IsPathTaskID(got.ProviderTaskID) || got.Proof != provider.ProofNone {
			t.Fatalf("impossible callback %+v", got)
		}
		wiretest.CheckStatus(t, got.Status)
		again, err := p.Callback(t.Context(), http.Header{}, wiretest.Recode(t, body), time.Time{})
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Fatalf("spelt otherwise it reads otherwise: %v (-first +again):\n%s", err, diff)
		}

		generation, perr := p.Wire.ReadObject(wire.Call{Op: wire.OpCheck}, codes(), wire.Answer{Status: http.StatusOK, Body: body})
		checked, perr := p.ReadCheck(generation, perr, got.ProviderTaskID, time.Hour)
		if perr != nil {
			t.Fatalf("a check does not take what a callback does: %v", perr)
		}
		if diff := cmp.Diff(checked, got.Status); diff != "" {
			t.Fatalf("callback and check differ (-check +callback):\n%s", diff)
		}
	})
}

// FuzzGeneration checks that a success is only read from a generation that says so: from HTTP 2xx and state
// completed, as an independent reading of the same bytes sees them.
func FuzzGeneration(f *testing.F) {
	for _, g := range generations {
		f.Add(http.StatusOK, []byte(g.Body))
	}
	f.Add(http.StatusNotFound, []byte(`{"detail":"Generation not found"}`))
	f.Add(http.StatusForbidden, []byte(`error code: 1010`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := wire.Answer{Status: httpStatus, Body: body}
		status, perr := wiretest.CheckAges(t, func(age time.Duration) (provider.Status, *provider.Error) {
			generation, perr := p.Wire.ReadObject(wire.Call{Op: wire.OpCheck}, codes(), a)
			return p.ReadCheck(generation, perr, taskID, age)
		})
		seen := wiretest.CheckQuestion(t, httpStatus, body, status, perr)
		if seen == nil {
			return
		}
		if strings.ToLower(wiretest.Trimmed(seen["state"])) != "completed" {
			t.Fatalf("success read from state %v", seen["state"])
		}
		wiretest.CheckLinks(t, status.ResultURLs, wiretest.Inner(seen["assets"])["video"])
	})
}

// FuzzSubmit checks that an id is only read from a success that names it, and that every other answer says
// something about money.
func FuzzSubmit(f *testing.F) {
	f.Add(http.StatusCreated, []byte(accepted))
	f.Add(http.StatusUnprocessableEntity, []byte(accepted))
	f.Add(http.StatusCreated, []byte(`{"id":".."}`))
	f.Add(http.StatusTooManyRequests, []byte(`{"detail":"slow down"}`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := wire.Answer{Status: httpStatus, Body: body}
		receipt, err := wire.Created(p.Wire.ReadObject(wire.Call{Op: wire.OpSubmit}, codes(), a))
		wiretest.CheckCreated(t, httpStatus, body, "id", receipt.TaskID, err)
	})
}

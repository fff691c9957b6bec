package lumaagents

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

// FuzzGeneration checks that a success is only read from a generation that says so: from HTTP 2xx and state
// completed, as an independent reading of the same bytes sees them.
func FuzzGeneration(f *testing.F) {
	for _, g := range generations {
		f.Add(http.StatusOK, []byte(g.body))
	}
	f.Add(http.StatusNotFound, []byte(`{"detail":"Generation not found"}`))
	f.Add(http.StatusForbidden, []byte(`error code: 1010`))
	p := newProvider(f, "")
	f.Fuzz(func(t *testing.T, httpStatus int, body []byte) {
		a := wire.Answer{Status: httpStatus, Body: body}
		generation, perr := p.wire.ReadObject(wire.Call{Op: wire.OpCheck}, codes, a)
		status, perr := p.readCheck(generation, perr, taskID, time.Hour)
		if perr != nil {
			if perr.Class == provider.Ambiguous || perr.Class == provider.NotSent || perr.Class == provider.Rejected {
				t.Fatalf("a question ended as a submission does: %v", perr)
			}
			wiretest.CheckError(t, perr)
			return
		}
		wiretest.CheckStatus(t, status)
		if status.Phase != provider.Succeeded {
			return
		}
		var seen map[string]any
		if err := json.Unmarshal(body, &seen); err != nil {
			t.Fatalf("success read from what is no JSON: %v", err)
		}
		if httpStatus < 200 || httpStatus > 299 || seen["state"] != "completed" {
			t.Fatalf("success read from HTTP %d, state %v", httpStatus, seen["state"])
		}
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
		id, err := wire.Created(p.wire.ReadObject(wire.Call{Op: wire.OpSubmit}, codes, a))
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
		wiretest.CheckError(t, perr)
		switch perr.Class {
		case provider.Ambiguous, provider.RateLimited, provider.Rejected, provider.AccountBlocked:
		default:
			t.Fatalf("a submission ended as a question does: %v", perr)
		}
		if nothingCreated := perr.Class != provider.Ambiguous; nothingCreated && (httpStatus < 400 || httpStatus > 499) {
			t.Fatalf("HTTP %d is taken for proof that nothing was created: %v", httpStatus, perr)
		}
	})
}

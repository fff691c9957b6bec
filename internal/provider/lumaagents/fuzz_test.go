package lumaagents

import (
	"net/http"
	"strings"
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
		wiretest.CheckLinks(t, status.ResultURLs, seen["output"])
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

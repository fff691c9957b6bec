package kie

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestFunds_ReadsTheBalance(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"code":200,"msg":"success","data":5916.25}`: "5916.25",
		`{"code":200,"msg":"success","data":100}`:     "100",
		`{"code":200,"msg":"success","data":"7"}`:     "7",
	} {
		got, err := answering(t, 200, body).Funds(t.Context())
		if err != nil || got != (provider.Cost{Amount: want, Unit: "credits"}) {
			t.Errorf("%s: got %+v, %v, want %s credits", body, got, err, want)
		}
	}
}

func TestFunds_RefusalsHaveAClass(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Class{
		`{"code":401,"msg":"You do not have access permissions"}`: provider.AccountBlocked,
		`{"code":500,"msg":"no"}`:                                 provider.Unavailable,
		`{"code":200,"msg":"success","data":null}`:                provider.Unavailable,
		`<html>`: provider.Unavailable,
	} {
		_, err := answering(t, 200, body).Funds(t.Context())
		wiretest.WantClass(t, err, want)
	}
}

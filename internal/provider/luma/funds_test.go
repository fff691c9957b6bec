package luma

import (
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestFunds_ReadsTheBalance(t *testing.T) {
	t.Parallel()
	got, err := answering(t, 200, `{"credit_balance":825}`).Funds(t.Context())
	if err != nil || got != (provider.Cost{Amount: "825", Unit: "US cents"}) {
		t.Errorf("got %+v, %v, want 825 US cents", got, err)
	}
}

func TestFunds_RefusalsHaveAClass(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   provider.Class
	}{
		"a wrong key": {401, `{"detail":"Invalid API key"}`, provider.AccountBlocked},
		"an outage":   {503, `{"detail":"later"}`, provider.Unavailable},
		"no balance":  {200, `{}`, provider.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := answering(t, tc.status, tc.body).Funds(t.Context())
			wiretest.WantClass(t, err, tc.want)
		})
	}
}

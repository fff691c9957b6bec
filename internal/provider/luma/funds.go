package luma

import (
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

var _ provider.Treasurer = (*Provider)(nil)

// Funds returns the balance of the account, which the API has in US cents [D]: one GET, at most 15 s.
func (p *Provider) Funds(ctx context.Context) (provider.Cost, error) {
	answer, perr := p.Wire.CallObject(ctx, wire.Call{
		Op: wire.OpFunds, Method: http.MethodGet, Path: "/credits", Timeout: wire.QuestionTimeout,
	}, codes())
	if perr != nil {
		return provider.Cost{}, perr
	}
	amount, ok := answer.Decimal("credit_balance")
	if !ok {
		return provider.Cost{}, &provider.Error{
			Class: provider.Unavailable, Op: string(wire.OpFunds), Err: errors.New("the answer has no balance"),
		}
	}
	return provider.Cost{Amount: amount, Unit: "US cents"}, nil
}

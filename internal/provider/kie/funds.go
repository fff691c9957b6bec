package kie

import (
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

var _ provider.Treasurer = (*Provider)(nil)

// Funds returns the remaining credits of the account [D]: one GET, at most 15 s.
func (p *Provider) Funds(ctx context.Context) (provider.Cost, error) {
	a, perr := p.call(ctx, wire.Call{
		Op: wire.OpFunds, Method: http.MethodGet, Path: "/api/v1/chat/credit", Timeout: wire.QuestionTimeout,
	})
	if perr != nil {
		return provider.Cost{}, perr
	}
	amount, ok := a.root.Decimal("data")
	if !ok {
		return provider.Cost{}, &provider.Error{
			Class: provider.Unavailable, Op: string(wire.OpFunds), Code: a.code, Err: errors.New("the answer has no balance"),
		}
	}
	return provider.Cost{Amount: amount, Unit: "credits"}, nil
}

package luma

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Callback decodes one callback. Its body is the generation, as a check returns it. The provider signs
// nothing, so the result is never proven. The provider sends a callback at every change of the state. They
// arrive in any order: Running may follow Succeeded.
//
// Callback returns ErrCallbackMalformed for a body without a usable id or without a known state.
func (p *Provider) Callback(_ context.Context, _ http.Header, body []byte, _ time.Time) (provider.Callback, error) {
	generation, ok := wire.DecodeCallback(body)
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: not a JSON object", provider.ErrCallbackMalformed)
	}
	id := generation.ID("id")
	if !wire.IsPathTaskID(id) {
		return provider.Callback{}, fmt.Errorf("%w: no usable id", provider.ErrCallbackMalformed)
	}
	status, ok := p.ReadGeneration(generation)
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: unknown state %s", provider.ErrCallbackMalformed,
			p.Wire.Redact(string(generation["state"]), echoSecrets(generation)...))
	}
	return provider.Callback{ProviderTaskID: id, Status: status}, nil
}

package luma

import (
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Callback decodes one callback, which is the generation as a check returns it. The provider signs nothing,
// so it is never Proven. Callbacks come at every change of the state and in any order: one that says Running
// may follow one that says Succeeded.
//
// A body without a usable id or without a state that we know is ErrCallbackMalformed.
func (p *Provider) Callback(_ http.Header, body []byte, _ time.Time) (provider.Callback, error) {
	generation, ok := wire.DecodeObject(body)
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

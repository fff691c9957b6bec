package kie

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Callback decodes one callback and, where signing keys are configured, verifies its signature. Without
// keys the signature headers are ignored and nothing is proven.
//
// A body without a readable task id or without a code is ErrCallbackMalformed: taking a missing code for
// a failure could start a second, paid attempt. With ErrCallbackSignature and ErrCallbackStale the
// Callback holds the task id, for the record, and no status.
func (p *Provider) Callback(_ context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	root, ok := wire.DecodeCallback(body)
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: not a JSON object", provider.ErrCallbackMalformed)
	}
	data := root.Object("data")
	id, err := callbackTaskID(root, data)
	if err != nil {
		return provider.Callback{}, err
	}
	cb := provider.Callback{ProviderTaskID: id}
	if len(p.signingKeys) > 0 {
		if err := p.verify(header, id, now); err != nil {
			return cb, err
		}
		cb.Proof = provider.ProofID
	}
	code, ok := root.Integer("code")
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: no code", provider.ErrCallbackMalformed)
	}
	cb.Status = p.callbackStatus(code, root, data)
	return cb, nil
}

// callbackStatus reads a callback of either product. Any code but 200 is a failure. The market's have a state besides, so that
// 200 with the state of a failure is one. A state under 200 that is not known proves no end: a check decides.
func (p *Provider) callbackStatus(code int, root, data wire.Object) provider.Status {
	switch state := data.Word("state"); {
	case code != http.StatusOK, state == stateFail:
		return p.callbackFailure(code, root, data)
	case state == stateSuccess, wire.IsNull(data["state"]):
		return p.callbackResult(data)
	default:
		return provider.Status{Phase: provider.Running}
	}
}

// callbackFailure reads a failure: what the market says of its task, else the code and the message of the envelope.
func (p *Provider) callbackFailure(code int, root, data wire.Object) provider.Status {
	status := p.jobFailure(data)
	if status.Code == 0 && code != http.StatusOK {
		status.Code = code
	}
	if status.Message == "" {
		status.Message = p.wire.Redact(cmp.Or(root.AnyText("msg"), root.AnyText("message")), echoSecrets(data)...)
	}
	return status
}

// callbackResult reads the links of a success, which stand in resultJson in the market's callbacks.
func (p *Provider) callbackResult(data wire.Object) provider.Status {
	if _, isJob := data["resultJson"]; isJob {
		return p.jobResult(data)
	}
	return p.wire.Success(data, "resultUrls", echoSecrets(data)...)
}

// callbackTaskID finds the task id in the places where the provider's products put it. The signature
// covers the id alone, so a body that names two tasks can't be trusted about either.
func callbackTaskID(root, data wire.Object) (string, error) {
	id := ""
	for _, place := range []struct {
		in  wire.Object
		key string
	}{{data, "taskId"}, {data, "task_id"}, {root, "taskId"}, {root, "task_id"}} {
		raw := place.in[place.key]
		if wire.IsNull(raw) || string(raw) == `""` { // Siblings send empty strings for what they do not know.
			continue
		}
		found := place.in.ID(place.key)
		switch {
		case !wire.IsTaskID(found):
			return "", fmt.Errorf("%w: unusable task id", provider.ErrCallbackMalformed)
		case id != "" && id != found:
			return "", fmt.Errorf("%w: several task ids", provider.ErrCallbackMalformed)
		}
		id = found
	}
	if id == "" {
		return "", fmt.Errorf("%w: no task id", provider.ErrCallbackMalformed)
	}
	return id, nil
}

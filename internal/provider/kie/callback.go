package kie

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Callback decodes one callback and, where signing keys are configured, verifies its signature. Without
// keys the signature headers are ignored and nothing is Proven.
//
// A body without a readable task id or without a code is ErrCallbackMalformed: taking a missing code for
// a failure could start a second, paid attempt. With ErrCallbackSignature and ErrCallbackStale the
// Callback holds the task id, for the record, and no status.
func (p *Provider) Callback(header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	root, ok := wire.DecodeObject(body)
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
		cb.Proven = true
	}
	code, ok := root.Integer("code")
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: no code", provider.ErrCallbackMalformed)
	}
	cb.Status = p.callbackStatus(code, root, data)
	return cb, nil
}

func (p *Provider) callbackStatus(code int, root, data wire.Object) provider.Status {
	if code == http.StatusOK {
		return p.wire.Success(data, "resultUrls", echoSecrets(data, "promptJson")...)
	}
	message := cmp.Or(root.AnyText("msg"), root.AnyText("message"))
	return provider.Status{
		Phase:   provider.Failed,
		Code:    code,
		Message: p.wire.Redact(message, echoSecrets(data, "promptJson")...),
	}
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

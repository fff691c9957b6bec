package fal

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Callback decodes one webhook and verifies its signature, which covers the body. It fetches the keys of the provider if it has
// none, or if no known one made the signature. Without keys the webhook proves nothing, and KeysUnavailable says why.
//
// A body without a usable request id or without a known status is ErrCallbackMalformed. With ErrCallbackSignature and
// ErrCallbackStale the Callback holds the request id, for the record, and no status.
func (p *Provider) Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	root, ok := wire.DecodeCallback(body)
	if !ok {
		return provider.Callback{}, fmt.Errorf("%w: not a JSON object", provider.ErrCallbackMalformed)
	}
	id := root.ID("request_id")
	if !wire.IsPathTaskID(id) {
		return provider.Callback{}, fmt.Errorf("%w: no usable request id", provider.ErrCallbackMalformed)
	}
	cb := provider.Callback{ProviderTaskID: id}
	userID, unavailable, refusal := p.verify(ctx, header, id, body, now)
	if refusal != nil {
		return cb, refusal
	}
	if cb.KeysUnavailable = unavailable; unavailable == nil {
		cb.Proof = provider.ProofBody
	}
	if cb.Proof == provider.ProofBody && p.userID == "" {
		cb.Signer = userID // Else it is the configured one, and the configuration may change.
	}
	switch root.Word("status") {
	case "ok":
		cb.Status = p.succeeded(root, &cb)
	case "error":
		cb.Status = p.failed(failureOfCallback(root))
	default:
		return provider.Callback{}, fmt.Errorf("%w: unknown status %s", provider.ErrCallbackMalformed, p.wire.Redact(string(root["status"])))
	}
	return cb, nil
}

// succeeded reads the payload of a success. Where it is null, because fal could not write it as JSON [D], the webhook proves the
// success and not the links, which a check reads.
func (p *Provider) succeeded(root wire.Object, cb *provider.Callback) provider.Status {
	payload, ok := wire.AsObject(root["payload"])
	switch {
	case ok:
		return p.output(payload)
	case cb.Proof == provider.ProofBody:
		cb.Proof = provider.ProofID
	}
	return p.wire.Unread(root, "payload")
}

// failureOfCallback reads an error: "error" names the HTTP status of the model's answer, and the payload is that answer [D].
func failureOfCallback(root wire.Object) failure {
	payload := root.Object("payload")
	said := root.AnyText("error")
	f := failureOf(payload, "detail")
	if f.message == "" {
		f.message = said
	}
	_, code, _ := strings.Cut(said, "Invalid status code: ")
	status, err := strconv.Atoi(strings.TrimSpace(code))
	if err != nil {
		return f
	}
	return f.of(status)
}

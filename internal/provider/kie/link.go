package kie

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const linkPath = "/api/v1/common/download-url"

// RefreshLink asks for a fresh link to a result: one POST that creates nothing, at most 15 s. The fresh
// link works for 20 minutes. The provider refuses links that are not its own, with class Rejected.
func (p *Provider) RefreshLink(ctx context.Context, link string) (string, error) {
	a, perr := p.call(ctx, wire.Call{
		Op:      wire.OpLink,
		Method:  http.MethodPost,
		Path:    linkPath,
		Body:    map[string]string{"url": link},
		Timeout: wire.QuestionTimeout,
		Secrets: []string{link},
	})
	if perr != nil {
		return "", perr
	}
	var fresh string
	if err := json.Unmarshal(a.data, &fresh); err != nil || !wire.IsLink(fresh) {
		return "", &provider.Error{
			Class:   provider.Unavailable,
			Op:      string(wire.OpLink),
			Code:    a.code,
			Message: p.wire.Words(a.message, link),
			Err:     errors.New("answer holds no link"),
		}
	}
	return fresh, nil
}

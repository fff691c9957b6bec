package kie

import (
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const linkPath = "/api/v1/common/download-url"

// RefreshLink asks for a fresh link to a result: one POST that creates nothing, at most 15 s. The fresh
// link works for 20 minutes. The provider refuses links that are not its own, with class Rejected.
func (p *Provider) RefreshLink(ctx context.Context, link string) (string, error) {
	call := wire.Call{
		Op:      wire.OpLink,
		Method:  http.MethodPost,
		Path:    linkPath,
		Body:    map[string]string{"url": link},
		Timeout: wire.QuestionTimeout,
		Secrets: []string{link},
	}
	a, perr := p.call(ctx, call)
	return p.readLink(call, a, perr)
}

// readLink returns the link that an answer holds, or the error that it stands for.
func (p *Provider) readLink(call wire.Call, a answer, perr *provider.Error) (string, error) {
	if perr != nil {
		return "", perr
	}
	fresh, ok := wire.Links(a.data)
	if !ok || len(fresh) != 1 {
		return "", &provider.Error{
			Class:   provider.Unavailable,
			Op:      string(call.Op),
			Code:    a.code,
			Message: p.wire.Redact(a.message, call.Secrets...),
			Err:     errors.New("answer holds no link"),
		}
	}
	return fresh[0], nil
}

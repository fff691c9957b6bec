package kie

import (
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
)

const submitPath = "/api/v1/modify/generate"

// modifyRequest is the body of a submission. Mind the spelling: the B of callBackUrl is a capital, and
// the m of watermark is not, though the provider's echo writes waterMark.
type modifyRequest struct {
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	CallBackURL string `json:"callBackUrl,omitempty"`
	Watermark   string `json:"watermark,omitempty"`
}

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only with a task
// id in hand; an answer that says a task was created and does not name it is Ambiguous.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (string, error) {
	a, perr := p.call(ctx, call{
		op:      opSubmit,
		method:  http.MethodPost,
		path:    submitPath,
		body:    modifyRequest{Prompt: s.Prompt, VideoURL: s.SourceURI, CallBackURL: s.CallbackURL, Watermark: s.Watermark},
		timeout: submitTimeout,
		secrets: callbackSecrets(s.CallbackURL),
	})
	data, _ := decodeObject(a.data)
	id := data.text("taskId")
	switch {
	case perr != nil && id != "" && perr.Class != provider.GenerationFailed:
		// NOTE: a refusal that names a task proves nothing about money.
		perr.Class, perr.Pause = provider.Ambiguous, ""
		perr.Err = errors.New("error answer names a task")
		return "", perr
	case perr != nil:
		return "", perr
	case !isTaskID(id):
		return "", &provider.Error{
			Class:   provider.Ambiguous,
			Op:      string(opSubmit),
			Code:    a.code,
			Message: p.words(a.message, callbackSecrets(s.CallbackURL)...),
			Err:     errors.New("accepted without a usable task id"),
		}
	}
	return id, nil
}

package kie

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
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
	call := wire.Call{
		Op:      wire.OpSubmit,
		Method:  http.MethodPost,
		Path:    submitPath,
		Body:    modifyRequest{Prompt: s.Prompt, VideoURL: s.SourceURI, CallBackURL: s.CallbackURL, Watermark: s.Watermark},
		Timeout: wire.SubmitTimeout,
		Secrets: wire.CallbackSecrets(s.CallbackURL),
	}
	a, perr := p.call(ctx, call)
	return p.readSubmit(call, a, perr)
}

// readSubmit returns the task id that the answer to a submission names, or the error that it stands for.
func (p *Provider) readSubmit(call wire.Call, a answer, perr *provider.Error) (string, error) {
	id, named := createdID(a)
	switch {
	case perr != nil && named && perr.Class != provider.GenerationFailed:
		// NOTE: a refusal that names a task proves nothing about money.
		perr.Class, perr.Pause, perr.Input = provider.Ambiguous, "", false
		perr.Err = errors.New("error answer names a task")
		return "", perr
	case perr != nil:
		return "", perr
	case !wire.IsTaskID(id):
		return "", &provider.Error{
			Class:   provider.Ambiguous,
			Op:      string(call.Op),
			Code:    a.code,
			Message: p.wire.Redact(a.message, call.Secrets...),
			Err:     errors.New("accepted without a usable task id"),
		}
	}
	return id, nil
}

// createdID returns the id that an answer names, and whether it names any: data.taskId on the Luma page, data.task_id
// in the provider's general introduction. Two that differ name nothing that can be relied on.
func createdID(a answer) (id string, named bool) {
	data, _ := wire.AsObject(a.data)
	camel, snake := data.ID("taskId"), data.ID("task_id")
	if camel != "" && snake != "" && camel != snake {
		return "", true
	}
	id = cmp.Or(camel, snake)
	return id, id != ""
}

package kie

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// modifyRemote is the remote name of Luma Modify, and submitPath where it is submitted to.
const (
	modifyRemote = "modify/generate"
	submitPath   = "/api/v1/" + modifyRemote
)

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has a task
// id. An answer that reports a created task without its id is Ambiguous.
//
// The spelling matters: callBackUrl has a capital B.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (string, error) {
	if s.Remote != modifyRemote { // A model that is sold by another call would be paid for as Luma Modify.
		return "", &provider.Error{Class: provider.Rejected, Op: string(wire.OpSubmit), Err: fmt.Errorf("there is no call for model %q", s.Remote)}
	}
	body := maps.Clone(s.Inputs)
	if s.CallbackURL != "" {
		body["callBackUrl"] = s.CallbackURL
	}
	call := wire.Call{
		Op:      wire.OpSubmit,
		Method:  http.MethodPost,
		Path:    submitPath,
		Body:    body,
		Timeout: wire.SubmitTimeout,
		Secrets: wire.CallbackSecrets(s.CallbackURL),
	}
	a, perr := p.call(ctx, call)
	return p.readSubmit(call, a, perr)
}

// readSubmit returns the task id in the answer to a submission, or the error that the answer means.
func (p *Provider) readSubmit(call wire.Call, a answer, perr *provider.Error) (string, error) {
	id, named := createdID(a)
	switch {
	case perr != nil && named && perr.Class != provider.GenerationFailed:
		// NOTE: a refusal with a task id does not prove that the provider charged nothing.
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

// createdID returns the task id in an answer, and reports whether there is one: data.taskId on the Luma page,
// data.task_id in the provider's general introduction. If both are present and differ, the id is empty, because
// neither is reliable.
func createdID(a answer) (id string, named bool) {
	data, _ := wire.AsObject(a.data)
	camel, snake := data.ID("taskId"), data.ID("task_id")
	if camel != "" && snake != "" && camel != snake {
		return "", true
	}
	id = cmp.Or(camel, snake)
	return id, id != ""
}

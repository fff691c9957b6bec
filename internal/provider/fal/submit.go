package fal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// submitHeaders go with every submission.
//
// NOTE: without X-Fal-No-Retry the queue runs a request up to ten times by itself after 503, 504 and connection errors [D]. One
// attempt is one run, and a second run is Refract's to decide.
var submitHeaders = map[string]string{
	"X-Fal-No-Retry":                    "1",
	"X-Fal-Object-Lifecycle-Preference": lifecyclePreference,
}

// lifecyclePreference asks for the lifetime of files.
var lifecyclePreference = `{"expiration_duration_seconds":` + strconv.Itoa(int(fileLifetime.Seconds())) + `}`

// Submit asks the provider to start one attempt: one POST, at most 30 s. It succeeds only if the answer has a request id. An
// answer that reports a created request without its id is Ambiguous.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	path, ok := modelPath(s.Remote)
	if !ok {
		return provider.Receipt{}, &provider.Error{Class: provider.Rejected, Op: string(wire.OpSubmit), Err: fmt.Errorf("there is no call for model %q", s.Remote)}
	}
	call := wire.Call{
		Op:      wire.OpSubmit,
		Method:  http.MethodPost,
		Path:    path,
		Header:  submitHeaders,
		Body:    s.Inputs,
		Timeout: wire.SubmitTimeout,
		Secrets: wire.CallbackSecrets(s.CallbackURL),
	}
	if s.CallbackURL != "" {
		call.Query = url.Values{"fal_webhook": {s.CallbackURL}}
	}
	answer, perr := p.call(ctx, call)
	return p.readSubmit(answer, perr)
}

// modelPath returns the path of a model id, which is OWNER/APP and, for most models, more parts.
func modelPath(remote string) (path string, ok bool) {
	parts := strings.Split(remote, "/")
	if len(parts) < 2 {
		return "", false
	}
	for _, part := range parts {
		if strings.Trim(part, ".") == "" {
			return "", false
		}
		path += "/" + url.PathEscape(part)
	}
	return path, true
}

// readSubmit returns the receipt in the answer to a submission, or the error that the answer means.
func (p *Provider) readSubmit(answer wire.Object, perr *provider.Error) (provider.Receipt, error) {
	id := answer.ID("request_id")
	switch {
	case perr != nil && id != "":
		// NOTE: a refusal with a request id does not prove that nothing was created.
		perr.Class, perr.Pause, perr.Input = provider.Ambiguous, "", false
		perr.Err = errors.New("error answer names a request")
		return provider.Receipt{}, perr
	case perr != nil:
		return provider.Receipt{}, perr
	case !wire.IsPathTaskID(id):
		return provider.Receipt{}, &provider.Error{
			Class: provider.Ambiguous, Op: string(wire.OpSubmit), Err: errors.New("accepted without a usable request id"),
		}
	}
	return provider.Receipt{TaskID: id, Handle: p.newHandle(answer.Text("status_url"), answer.Text("response_url"))}, nil
}

// call makes one HTTP request to an endpoint that answers with an object, and judges what came back. The object is returned with
// the error too.
func (p *Provider) call(ctx context.Context, c wire.Call) (wire.Object, *provider.Error) {
	answer, perr := p.wire.Do(ctx, c)
	if perr != nil {
		return nil, perr
	}
	return p.judge(c, answer)
}

// judge reads an answer with the table, and then by the words that its status leaves open.
func (p *Provider) judge(c wire.Call, answer wire.Answer) (wire.Object, *provider.Error) {
	o, perr := p.wire.ReadObject(c, codes, answer)
	if perr == nil {
		return o, nil
	}
	words := strings.ToLower(o.AnyText("detail"))
	switch {
	case answer.Status == http.StatusForbidden && strings.Contains(words, "exhausted balance"):
		// "User is locked. Reason: Exhausted balance." [T]
		perr.Class, perr.Pause = provider.AccountBlocked, provider.PauseCredits
	case perr.Class == provider.ModelWithdrawn && !saysNoModel(words):
		// Something in front of the queue answered, or the base URL is wrong: {"detail":"Not Found"} is what any server that is
		// made with FastAPI answers to an unknown path. Nothing was created, and it says nothing about the model [I].
		perr.Class = provider.Rejected
	case perr.Class == provider.NotFound && len(o) == 0:
		perr.Class = provider.Unavailable // In the same way. The request may be paid and running.
	}
	return o, perr
}

// saysNoModel reports whether the words of a 404, in lower case, say that fal does not have the model. Users of fal saw
// "Application not found" and `Application "x" not found` [T]; fal documents no text [U]. The offering closes by these words, so
// that any others refuse one task only.
func saysNoModel(words string) bool {
	return strings.Contains(words, "application") && strings.Contains(words, "not found")
}

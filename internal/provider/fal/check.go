package fal

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// visibilityGrace is how long a request may stay invisible after its submission. No such gap is documented or was seen. But an
// attempt that is already paid is lost if we believe a 404 too early [I].
const visibilityGrace = 2 * time.Minute

// Check asks for the status of a request, and for its result once it is completed: one GET, or two at the end of a request, at
// most 15 s each. fal documents no limit of queries, so a second one in a check counts for nothing. A request that is not visible
// within two minutes of its submission is Running, and NotFound after that.
func (p *Provider) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	status, perr := p.check(ctx, q)
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

func (p *Provider) check(ctx context.Context, q provider.Query) (provider.Status, *provider.Error) {
	statusURL, responseURL, ok := p.addresses(q)
	if !ok {
		return provider.Status{}, unreadable("the model of the request is not known", "")
	}
	answer, perr := p.ask(ctx, statusURL)
	status, done, perr := p.readStatus(answer, perr, q.TaskID, time.Since(q.Submitted))
	if perr != nil || done {
		return status, perr
	}
	result, perr := p.ask(ctx, responseURL)
	return p.readResult(result, perr, status, time.Since(q.Submitted))
}

func (p *Provider) ask(ctx context.Context, target string) (wire.Answer, *provider.Error) {
	return p.wire.Do(ctx, wire.Call{Op: wire.OpCheck, Method: http.MethodGet, URL: target, Timeout: wire.QuestionTimeout})
}

// question is what answers to checks are judged as.
var question = wire.Call{Op: wire.OpCheck}

// readStatus returns the status of a request that was submitted age ago, and whether that is all of it. Otherwise the result has
// the rest: the status is Succeeded, or Failed without a certain cause.
func (p *Provider) readStatus(
	answer wire.Answer, perr *provider.Error, id string, age time.Duration,
) (status provider.Status, done bool, _ *provider.Error) {
	if perr != nil {
		return status, false, perr
	}
	o, perr := p.judge(question, answer)
	switch {
	case perr != nil && perr.Class == provider.NotFound && age < visibilityGrace:
		return provider.Status{Phase: provider.Running}, true, nil
	case perr != nil:
		return status, false, perr
	}
	if got := o.ID("request_id"); got != "" && got != id {
		return status, false, unreadable("status is of another request", "")
	}
	switch o.Word("status") {
	case "in_queue", "in_progress":
		return provider.Status{Phase: provider.Running}, true, nil
	case "completed":
		f := failureOf(o, "error")
		if f.message == "" && f.name == "" {
			return provider.Status{Phase: provider.Succeeded}, false, nil
		}
		return p.failed(f), f.certain(), nil
	default:
		return status, false, unreadable("unknown status", p.wire.Redact("status "+wire.Spelled(o["status"])))
	}
}

// readResult completes the status of a request with its result. A request whose status had an error failed, whatever the result
// is; the result may say why. A request whose status had none failed too if its model says so. Any other error is of the question
// alone: the request may have succeeded, and a failure is final and may be followed by another paid attempt.
func (p *Provider) readResult(
	answer wire.Answer, perr *provider.Error, status provider.Status, age time.Duration,
) (provider.Status, *provider.Error) {
	if perr == nil {
		var o wire.Object
		o, perr = p.judge(question, answer)
		f := failureOf(o, "detail")
		switch {
		case perr == nil && status.Phase == provider.Succeeded:
			return p.output(o), nil
		case f.ofModel(answer.Status), status.Phase == provider.Failed && f.ofPlatform(answer.Status):
			return p.failed(f.of(answer.Status)), nil
		}
	}
	switch {
	case status.Phase == provider.Failed:
		return status, nil
	case perr.Class == provider.NotFound && age < visibilityGrace:
		return provider.Status{Phase: provider.Running}, nil
	default:
		// NOTE: a 404 is NotFound as for the status. fal deletes its answer about an hour after the end [D], so that further
		// questions find nothing. That the request failed does not follow.
		return provider.Status{}, perr
	}
}

// output returns the success with the links in the output of a model: the video. fal's models of this kind have one [L].
func (p *Provider) output(o wire.Object) provider.Status {
	return p.wire.Success(o, "video")
}

func unreadable(why, message string) *provider.Error {
	return &provider.Error{Class: provider.Unavailable, Op: string(wire.OpCheck), Message: message, Err: errors.New(why)}
}

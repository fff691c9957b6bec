package worker

import (
	"context"
	"errors"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// prepareTimeout bounds the preparation of an attempt: a look at its source, and an upload of that to the provider.
const prepareTimeout = 12 * time.Minute

// Sources makes sources reachable for providers.
type Sources interface {
	// Prepare returns the URI under which a provider account gets the source of a task, or says with a
	// source.UnfitError or a *provider.Error why the attempt can't be sent.
	Prepare(ctx context.Context, spec task.Spec, account string, at source.Account) (uri string, err error)
}

// prepare returns the URI of the source of an attempt that is about to be sent, and nothing for one that will not be.
// It comes before the attempt counts as sent, so whatever fails here is not paid for.
func (s *submitter) prepare(ctx context.Context, id task.AttemptID) (string, error) {
	t, err := s.tasks.TaskOfAttempt(ctx, id)
	if err != nil {
		return "", err
	}
	a := t.AttemptByID(id)
	if a.Sent || a.State != task.AttemptSubmitting || t.State != task.Submitting {
		return "", nil
	}
	u, err := s.upstream(a.Account)
	if err != nil {
		return "", &provider.Error{Class: provider.NotSent, Op: "submit", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)() //nolint:contextcheck // A stop cuts it, as it cuts saves.
	uri, err := s.sources.Prepare(ctx, t.Spec, a.Account, u)
	if ctx.Err() != nil {
		err = ctx.Err() // Nothing is known of the source or the provider.
	}
	if err != nil && refusal(err) {
		s.log.WarnContext(ctx, "attempt is not sent", "task_id", t.ID, "attempt_id", id, "account", a.Account, "error", err)
	}
	return uri, err
}

// refusal tells whether an error of prepare settles the attempt; every other one is ours, and the job is tried again.
func refusal(err error) bool {
	_, unfit := errors.AsType[*source.UnfitError](err)
	_, refused := errors.AsType[*provider.Error](err)
	return unfit || refused
}

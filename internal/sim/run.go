package sim

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// start runs a job until its callbacks are over.
func (s *Server) start(j *Job) {
	s.group.spawn(func(ctx context.Context) { s.run(ctx, j) })
}

// run leads a job through its life: wait, generate, settle, announce. It ends early when the server is closing.
func (s *Server) run(ctx context.Context, j *Job) {
	defer j.markNotified()
	begun := s.queue(ctx, j)
	s.news.changed()
	announced := closed()
	var v Status
	if begun {
		announced = s.announceStart(j)
		v = s.generateUntilCanceled(ctx, j)
		j.api.runners.release(j.Submission.Key)
	}
	s.jobs.done()
	j.api.slots.release(j.Submission.Key)
	if ctx.Err() != nil {
		return
	}
	j.settle(v)
	s.news.changed()
	v = j.Status()
	s.cfg.Logger.Info("generation ended", "provider_task_id", j.ID, "state", int(v.State), "error", v.Message)
	select {
	case <-announced: // The callbacks of a job leave in order.
		s.announceEnd(ctx, j)
	case <-ctx.Done():
	}
}

// closed returns a closed channel.
func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// queue holds a job back until its generation may begin, and reports whether it begins. Otherwise the job ended in the
// queue, or the server is closing.
func (s *Server) queue(ctx context.Context, j *Job) bool {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	j.whenCanceled(stop)
	if limit := j.Submission.StartTimeout; limit > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, limit)
		defer end()
	}
	err := sleep(ctx, cmp.Or(j.Script.Queued, j.api.terms.Queued))
	if err == nil {
		err = j.api.runners.take(ctx, j.Submission.Key)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		j.settle(Status{State: StateGenerateFailed, Ended: time.Now(), Code: http.StatusGatewayTimeout, Message: "Request timed out"})
		return false
	case err != nil:
		return false
	case !j.begin(): // It was canceled in the meantime.
		j.api.runners.release(j.Submission.Key)
		return false
	default:
		return true
	}
}

// generateUntilCanceled generates, and returns early when the job is canceled, which has settled it then.
func (s *Server) generateUntilCanceled(ctx context.Context, j *Job) Status {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	j.whenCanceled(stop)
	v, err := s.generate(ctx, j)
	if err != nil {
		return Status{}
	}
	return v
}

// generate produces the results of a job, and takes at least as long as the script wants. It returns an error only when
// ctx ends; the failure of a generation is a status.
func (s *Server) generate(ctx context.Context, j *Job) (Status, error) {
	ready := time.Now().Add(cmp.Or(j.Script.Processing, s.cfg.Processing))
	v := Status{State: StateSucceeded}
	var origin, result File
	switch j.Script.Outcome {
	case OutcomeCreateFailed:
		v = failed(StateCreateFailed, j.Script)
	case OutcomeGenerateFailed:
		v = failed(StateGenerateFailed, j.Script)
	case OutcomeSuccess:
		if input := j.Submission.BadInput; input != nil {
			v = Status{State: StateGenerateFailed, Code: http.StatusUnprocessableEntity, Message: input.Message}
			break
		}
		var err error
		var bad *badInputError
		origin, result, err = s.studio.produce(ctx, j)
		if errors.As(err, &bad) {
			s.cfg.Logger.Warn("input unusable", "provider_task_id", j.ID, "error", err)
			v = Status{State: StateGenerateFailed, Code: bad.code, Message: bad.message}
		} else if err != nil {
			return Status{}, err
		}
	}
	if err := sleep(ctx, time.Until(ready)); err != nil {
		return Status{}, err
	}
	v.Ended = time.Now()
	if v.State == StateSucceeded { // Only now, because links live from when they are given out.
		s.publish(j, &v, origin, result)
	}
	return v, nil
}

func failed(st State, script Script) Status {
	return Status{
		State:   st,
		Code:    cmp.Or(script.FailureCode, http.StatusNotImplemented),
		Message: cmp.Or(script.FailureMessage, "Generation failed"),
	}
}

// publish gives the files of a job their links.
func (s *Server) publish(j *Job, v *Status, origin, result File) {
	v.file = result
	if j.api.terms.FreshLinks {
		return // Each query gives out links of its own.
	}
	v.Origins = []string{s.host.add("/origins/", link{
		content: origin, taskID: j.ID, profile: j.Submission.Profile, ttl: j.api.terms.LinkTTL,
	})}
	v.Results = s.links(j, result)
}

// links returns fresh links for all results of a job. An expired link works in the second set, where there is one.
func (s *Server) links(j *Job, file File) []string {
	terms, script := j.api.terms, j.Script
	if j.minted.Add(1) > 1 && script.Link == LinkExpired {
		script.Link = LinkGood
	}
	if script.EmptyResults {
		return []string{}
	}
	var out []string
	for n := range max(script.Results, 1) {
		out = append(out, s.host.add("/results/", link{
			content: file.numbered(j.ID, n), taskID: j.ID, profile: terms.Name, script: script,
			ttl: cmp.Or(j.Submission.LinkTTL, terms.LinkTTL), presigned: terms.FreshLinks,
		}))
	}
	return out
}

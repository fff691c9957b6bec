package sim

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// start lets a job live until its callbacks are over.
func (s *Server) start(j *job) {
	s.group.spawn(func(ctx context.Context) { s.live(ctx, j) })
}

// live is the life of a job: generate, settle, tell.
func (s *Server) live(ctx context.Context, j *job) {
	defer j.markNotified()
	v, err := s.generate(ctx, j)
	s.jobs.done()
	if err != nil {
		return // The server is closing.
	}
	j.settle(v)
	s.news.changed()
	s.cfg.Logger.Info("generation ended", "provider_task_id", j.id, "flag", int(v.state), "error", v.message)
	s.tell(ctx, j)
}

// generate produces the results of a job, and takes at least the time that the script wants. Its error means that the
// server is closing; the failure of a generation is a verdict.
func (s *Server) generate(ctx context.Context, j *job) (verdict, error) {
	ready := j.created.Add(cmp.Or(j.script.Processing, s.cfg.Processing))
	v := verdict{state: succeeded}
	var origin, result content
	switch j.script.Outcome {
	case OutcomeCreateFailed:
		v = failed(createFailed, j.script)
	case OutcomeGenerateFailed:
		v = failed(generateFailed, j.script)
	case OutcomeSuccess:
		var err error
		var bad *badInputError
		origin, result, err = s.studio.produce(ctx, j)
		if errors.As(err, &bad) {
			s.cfg.Logger.Warn("input unusable", "provider_task_id", j.id, "error", err)
			v = verdict{state: generateFailed, code: bad.code, message: bad.message}
		} else if err != nil {
			return verdict{}, err
		}
	}
	if err := sleep(ctx, time.Until(ready)); err != nil {
		return verdict{}, err
	}
	v.ended = time.Now()
	if v.state == succeeded { // Only now, because links live from when they are given out.
		v.origins, v.results = s.publish(j, origin, result)
	}
	return v, nil
}

func failed(st state, script Script) verdict {
	return verdict{
		state:   st,
		code:    cmp.Or(script.FailureCode, http.StatusNotImplemented),
		message: cmp.Or(script.FailureMessage, "Generation failed"),
	}
}

// publish gives the files of a job their links.
func (s *Server) publish(j *job, origin, result content) (origins, results []string) {
	origins = []string{s.host.add("/origins/", link{content: origin, taskID: j.id, ttl: s.cfg.LinkTTL})}
	if j.script.EmptyResults {
		return origins, []string{}
	}
	for n := range max(j.script.Results, 1) {
		results = append(results, s.host.add("/results/", link{
			content: result.numbered(j.id, n), taskID: j.id, ttl: s.cfg.LinkTTL, script: j.script,
		}))
	}
	return origins, results
}

// tell sends the callbacks of a settled job, in the order that the script wants.
func (s *Server) tell(ctx context.Context, j *job) {
	v := j.verdict()
	if j.sub.CallbackURL == "" || (v.state == createFailed && s.cfg.SilentCreateFailure) {
		return
	}
	if sleep(ctx, j.script.Late) != nil {
		return
	}
	if j.script.ForgeURLs {
		_ = s.courier.deliver(ctx, j, KindForged, j.wire.callback(j, forgedURLs))
	}
	if j.script.ForgeCode != 0 {
		_ = s.courier.deliver(ctx, j, KindForged, j.wire.callback(j, forgedCode))
	}
	if j.script.Never {
		return
	}
	genuine := j.wire.callback(j, truth)
	if err := s.courier.deliver(ctx, j, KindGenuine, genuine); err != nil {
		if ctx.Err() != nil {
			return // The server is closing, which says nothing about the receiver.
		}
		s.cfg.Logger.Warn("callback given up", "provider_task_id", j.id, "error", err)
		j.undelivered("callback delivery failed: " + err.Error())
		s.news.changed()
		return
	}
	for range j.script.Duplicates {
		_ = s.courier.deliver(ctx, j, KindDuplicate, genuine)
	}
	if j.script.Conflict {
		_ = s.courier.deliver(ctx, j, KindConflict, j.wire.callback(j, opposite))
	}
}

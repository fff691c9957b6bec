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

// live is the life of a job: wait, generate, settle, tell. It ends early when the server is closing.
func (s *Server) live(ctx context.Context, j *job) {
	defer j.markNotified()
	if sleep(ctx, cmp.Or(j.script.Queued, j.wire.rules().queued)) != nil {
		return
	}
	j.settle(verdict{state: generating})
	s.news.changed()
	announced := s.announce(j)
	v, err := s.generate(ctx, j)
	s.jobs.done()
	j.wire.rules().slots.release(j.sub.Key)
	if err != nil {
		return
	}
	j.settle(v)
	s.news.changed()
	s.cfg.Logger.Info("generation ended", "provider_task_id", j.id, "state", int(v.state), "error", v.message)
	select {
	case <-announced: // What came first is told first.
		s.tell(ctx, j)
	case <-ctx.Done():
	}
}

// generate produces the results of a job, and takes at least the time that the script wants. Its error means that the
// server is closing; the failure of a generation is a verdict.
func (s *Server) generate(ctx context.Context, j *job) (verdict, error) {
	ready := time.Now().Add(cmp.Or(j.script.Processing, s.cfg.Processing))
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
		s.publish(j, &v, origin, result)
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
func (s *Server) publish(j *job, v *verdict, origin, result content) {
	v.file = result
	if j.wire.rules().freshLinks {
		return // Each query gives out links of its own.
	}
	v.origins = []string{s.host.add("/origins/", link{
		content: origin, taskID: j.id, profile: j.sub.Profile, ttl: s.cfg.LinkTTL,
	})}
	v.results = s.links(j, result)
}

// links returns fresh links for all results of a job. An expired link comes alive in the second set, where there is one.
func (s *Server) links(j *job, file content) []string {
	t, script := j.wire.rules(), j.script
	if j.minted.Add(1) > 1 && script.Link == LinkExpired {
		script.Link = LinkGood
	}
	if script.EmptyResults {
		return []string{}
	}
	var out []string
	for n := range max(script.Results, 1) {
		out = append(out, s.host.add("/results/", link{
			content: file.numbered(j.id, n), taskID: j.id, profile: t.profile, script: script,
			ttl: t.linkTTL, presigned: t.freshLinks,
		}))
	}
	return out
}

package sim

import (
	"context"
	"net/http"
)

// announce sends the callback about the begin of a generation, where the profile has one, without holding the
// generation up. The channel is closed when that is over.
func (s *Server) announce(j *job) <-chan struct{} {
	over := make(chan struct{})
	if !j.wire.rules().progress || j.sub.CallbackURL == "" || j.script.Never {
		close(over)
		return over
	}
	begun := j.wire.callback(j, truth)
	s.group.spawn(func(ctx context.Context) {
		defer close(over)
		if err := s.courier.deliver(ctx, j, KindProgress, begun); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("callback given up", "provider_task_id", j.id, "error", err)
		}
	})
	return over
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
	s.tellAgain(ctx, j, genuine)
}

// tellAgain sends what the script wants after the callback was accepted.
func (s *Server) tellAgain(ctx context.Context, j *job, genuine message) {
	for range j.script.Duplicates {
		_ = s.courier.deliver(ctx, j, KindDuplicate, genuine)
	}
	if j.script.Regress && j.wire.rules().progress {
		_ = s.courier.deliver(ctx, j, KindRegress, j.wire.callback(j, earlier))
	}
	if j.script.Conflict {
		_ = s.courier.deliver(ctx, j, KindConflict, j.wire.callback(j, opposite))
	}
}

// claim is what a callback says of its job: the truth, or what the script wants instead.
func (s *Server) claim(j *job, v variation) verdict {
	claim := j.verdict()
	switch v {
	case truth:
		if j.script.EmptyCallback {
			claim.results = []string{}
		}
	case earlier:
		claim = verdict{state: generating}
	case opposite:
		if claim.good() {
			claim = failed(generateFailed, Script{})
		} else {
			claim = s.forged(j) // A failure has no files of its own to claim.
		}
	case forgedURLs:
		claim = s.forged(j)
	case forgedCode:
		if j.script.ForgeCode != http.StatusOK {
			claim = failed(generateFailed, Script{FailureCode: j.script.ForgeCode})
		} else if !claim.good() {
			claim = s.forged(j)
		}
	}
	return claim
}

// forged is a success with a foreign file: hosted here, so that Downloads tells whether somebody fell for it.
func (s *Server) forged(j *job) verdict {
	return verdict{state: succeeded, results: []string{s.host.add("/forged/", link{
		content: content{taskID: j.id, forged: true}, taskID: j.id, profile: j.sub.Profile, ttl: s.cfg.LinkTTL,
	})}}
}

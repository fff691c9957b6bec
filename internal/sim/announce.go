package sim

import (
	"context"
	"net/http"
)

// variation is what a callback claims about its job.
type variation int

const (
	truth      variation = iota
	earlier              // The state before the end.
	forgedURLs           // Success, with the URL of a foreign file.
	forgedCode           // What Script.ForgeCode says.
	opposite             // Failure for a success, success for a failure.
)

// announceStart sends the callback about the begin of a generation, where the API has one, while the generation goes on.
// The channel is closed when the callback was delivered or given up.
func (s *Server) announceStart(j *Job) <-chan struct{} {
	done := make(chan struct{})
	if !j.api.terms.Callbacks.Progress || j.Submission.CallbackURL == "" || j.Script.Never {
		close(done)
		return done
	}
	begun := s.callback(j, truth)
	s.group.spawn(func(ctx context.Context) {
		defer close(done)
		if err := s.courier.deliver(ctx, j, KindProgress, begun); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("callback given up", "provider_task_id", j.ID, "error", err)
		}
	})
	return done
}

// announceEnd sends the callbacks of a settled job, in the order that the script wants.
func (s *Server) announceEnd(ctx context.Context, j *Job) {
	v, terms := j.Status(), j.api.terms.Callbacks
	silent := (terms.SilentCreateFailure && v.State == StateCreateFailed) || (terms.SilentCancel && v.Code == codeCanceled)
	if j.Submission.CallbackURL == "" || silent {
		return
	}
	if sleep(ctx, j.Script.Late) != nil {
		return
	}
	if j.Script.ForgeURLs {
		_ = s.courier.deliver(ctx, j, KindForged, s.callback(j, forgedURLs))
	}
	if j.Script.ForgeCode != 0 {
		_ = s.courier.deliver(ctx, j, KindForged, s.callback(j, forgedCode))
	}
	if j.Script.Never {
		return
	}
	genuine := s.callback(j, truth)
	if err := s.courier.deliver(ctx, j, KindGenuine, genuine); err != nil {
		if ctx.Err() != nil {
			return // The server is closing, which says nothing about the receiver.
		}
		s.cfg.Logger.Warn("callback given up", "provider_task_id", j.ID, "error", err)
		j.undelivered("callback delivery failed: " + err.Error())
		s.news.changed()
		return
	}
	s.announceAgain(ctx, j, genuine)
}

// announceAgain sends what the script wants after the callback was accepted.
func (s *Server) announceAgain(ctx context.Context, j *Job, genuine Message) {
	for range j.Script.Duplicates {
		_ = s.courier.deliver(ctx, j, KindDuplicate, genuine)
	}
	if j.Script.Regress && j.api.terms.Callbacks.Progress {
		_ = s.courier.deliver(ctx, j, KindRegress, s.callback(j, earlier))
	}
	if j.Script.Conflict {
		_ = s.courier.deliver(ctx, j, KindConflict, s.callback(j, opposite))
	}
}

func (s *Server) callback(j *Job, v variation) Message {
	return j.api.protocol.Callback(j, s.claim(j, v))
}

// claim returns what a callback says about its job.
func (s *Server) claim(j *Job, v variation) Claim {
	claim := Claim{Status: j.Status()}
	switch v {
	case truth:
		if j.Script.EmptyCallback {
			claim.Results = []string{}
		}
	case earlier:
		claim.Status = Status{State: StateGenerating}
	case opposite:
		if claim.Good() {
			claim.Status = failed(StateGenerateFailed, Script{})
		} else {
			claim.Status = s.forged(j) // A failure has no files of its own to claim.
		}
	case forgedURLs:
		claim.Status = s.forged(j)
	case forgedCode:
		claim.ForgedCode = j.Script.ForgeCode
		if j.Script.ForgeCode != http.StatusOK {
			claim.Status = failed(StateGenerateFailed, Script{FailureCode: j.Script.ForgeCode})
		} else if !claim.Good() {
			claim.Status = s.forged(j)
		}
	}
	return claim
}

// forged is a success with a foreign file. The file is hosted here, so that [Server.Downloads] shows whether a client
// fetched it.
func (s *Server) forged(j *Job) Status {
	return Status{State: StateSucceeded, Results: []string{s.host.add("/forged/", link{
		content: File{taskID: j.ID, forged: true}, taskID: j.ID, profile: j.Submission.Profile, ttl: s.cfg.LinkTTL,
	})}}
}

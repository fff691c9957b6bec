package sim

import (
	"io"
	"net/http"
	"time"
)

// submit takes a submission that a protocol read; flaw is what the protocol has against its body or its fields. A call
// is judged in this order: credentials, rate window, flaw, script, jobs at a time, credits. Whatever comes of it stands
// in the ledger before the answer leaves.
func (s *Server) submit(w http.ResponseWriter, r *http.Request, p protocol, sub Submission, flaw *refusal) {
	sub.Profile = p.rules().profile
	script, no := s.admit(r, p, &sub, flaw)
	entry := Entry{
		Time: time.Now(), Profile: sub.Profile, Path: r.URL.Path, Key: sub.Key, Result: ResultRefused,
		Prompt: sub.Prompt, VideoURL: sub.VideoURL, CallbackURL: sub.CallbackURL, Watermark: sub.Watermark,
		Model: sub.Model, Strength: sub.Strength, FirstFrameURL: sub.FirstFrameURL,
	}
	switch {
	case no != nil:
	case script.Answer == AnswerHTML403:
		entry.Code = http.StatusForbidden
		s.record(entry)
		html403(w)
		return
	case script.Answer == AnswerDrop:
		entry.Result = ResultDropped
		s.record(entry)
		panic(http.ErrAbortHandler) // Closes the connection without an answer.
	default:
		no = s.charge(p, sub.Key)
	}
	if no != nil {
		entry.Code = no.code
		s.record(entry)
		p.refuse(w, no)
		return
	}
	j := s.jobs.create(sub, script, p)
	status, body := p.created(w, j)
	entry.Result, entry.Code, entry.TaskID, entry.Paid = ResultCreated, status, j.id, true
	// NOTE: recorded before the job starts, so that no callback can overtake its own ledger entry.
	s.record(entry)
	s.start(j)
	s.answerCreated(w, r, j, status, body)
}

// admit judges a call up to the point where only room or credits could be missing, and completes the submission.
func (s *Server) admit(r *http.Request, p protocol, sub *Submission, flaw *refusal) (Script, *refusal) {
	t := p.rules()
	var no *refusal
	if sub.Key, no = s.enter(r, p); no != nil {
		return Script{}, no
	}
	if wait := t.submits.take(sub.Key); wait > 0 {
		return Script{}, tooMany(p, wait)
	}
	if flaw != nil {
		return Script{}, flaw
	}
	script, err := parseDirectives(sub.Prompt, directivesOf(t.profile))
	if err != nil {
		return Script{}, refuse(http.StatusUnprocessableEntity, "profile %s: %v", t.profile, err)
	}
	sub.Seq, sub.Directives = s.jobs.number(), script
	if s.cfg.Script != nil {
		script = s.cfg.Script(*sub)
	}
	switch {
	case script.Maintenance > 0:
		t.maintain(script.Maintenance)
		no = p.scripted(t.downCode)
	case script.Code == http.StatusTooManyRequests:
		no = tooMany(p, busyRetryAfter)
	case script.Code != 0:
		no = p.scripted(script.Code)
	}
	return script, no
}

// busyRetryAfter is what a refused client is told when nobody knows how long it takes until there is room.
const busyRetryAfter = time.Second

// charge takes a slot and the price of a job, or neither.
func (s *Server) charge(p protocol, key string) *refusal {
	slots := p.rules().slots
	if !slots.take(key) {
		return tooMany(p, busyRetryAfter)
	}
	if !s.purse.take(s.cfg.TaskPrice) {
		slots.release(key)
		return p.scripted(http.StatusPaymentRequired)
	}
	return nil
}

// answerCreated tells the id of a job, or fails to, as the script wants.
func (s *Server) answerCreated(w http.ResponseWriter, r *http.Request, j *job, status int, body []byte) {
	if j.script.Early {
		select {
		case <-j.notified:
		case <-r.Context().Done():
		}
	}
	if sleep(r.Context(), j.script.AnswerDelay) != nil {
		// The client or the server went away; returning would send an empty 200.
		panic(http.ErrAbortHandler)
	}
	switch j.script.Answer {
	case AnswerDropAfter:
		panic(http.ErrAbortHandler)
	case AnswerTruncated:
		s.write(w, status, body[:len(body)-20])
	case AnswerNormal, AnswerHTML403, AnswerDrop:
		s.write(w, status, body)
	}
}

// html403 is what the content network in front of an API answers to clients that it dislikes.
func html403(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<!DOCTYPE html><html><title>Access denied</title><body>error code: 1010</body></html>\n")
}

package sim

import (
	"io"
	"net/http"
	"time"
)

// Submit answers a submission that the protocol decoded; flaw is the refusal of its body or of its fields, or nil. The
// checks run in this order: credentials, rate window, flaw, script, concurrency, credits. The ledger has the entry before
// the answer leaves.
func (a *API) Submit(w http.ResponseWriter, r *http.Request, sub Submission, flaw *Refusal) {
	s := a.server
	sub.Profile = a.terms.Name
	script, no := a.admit(r, &sub, flaw)
	entry := Entry{
		Time: time.Now(), Profile: sub.Profile, Path: r.URL.Path, Key: sub.Key, Result: ResultRefused,
		Prompt: sub.Prompt, VideoURL: sub.VideoURL, CallbackURL: sub.CallbackURL, Watermark: sub.Watermark,
		Model: sub.Model, Strength: sub.Strength, FirstFrameURL: sub.FirstFrameURL, Header: sub.Header, Input: sub.Input,
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
		no = a.charge(sub.Key)
	}
	if no != nil {
		entry.Code = no.Code
		s.record(entry)
		a.protocol.Refuse(w, no)
		return
	}
	j := s.jobs.create(sub, script, a)
	status, body := a.protocol.Created(w, j)
	entry.Result, entry.Code, entry.TaskID, entry.Paid = ResultCreated, status, j.ID, true
	// NOTE: recorded before the job starts, so that no callback can overtake its own ledger entry.
	s.record(entry)
	s.start(j)
	a.answerCreated(w, r, j, status, body)
}

// admit runs the checks before those of concurrency and credits, and completes the submission.
func (a *API) admit(r *http.Request, sub *Submission, flaw *Refusal) (Script, *Refusal) {
	s := a.server
	var no *Refusal
	if sub.Key, no = a.Authenticate(r); no != nil {
		return Script{}, no
	}
	if wait := a.submits.take(sub.Key); wait > 0 {
		return Script{}, a.tooMany(wait)
	}
	if flaw != nil {
		return Script{}, flaw
	}
	script, err := ParseDirectives(sub.Prompt, a.terms.Directives)
	if err != nil {
		return Script{}, Refuse(http.StatusUnprocessableEntity, "profile %s: %v", a.terms.Name, err)
	}
	sub.Seq, sub.Directives = s.jobs.number(), script
	if s.cfg.Script != nil {
		script = s.cfg.Script(*sub)
	}
	switch {
	case script.Maintenance > 0:
		a.maintain(script.Maintenance)
		no = a.protocol.Refusal(a.terms.MaintenanceCode)
	case script.Code == http.StatusTooManyRequests:
		no = a.tooMany(busyRetryAfter)
	case script.Code != 0:
		no = a.protocol.Refusal(script.Code)
	}
	return script, no
}

// busyRetryAfter is the RetryAfter of a refusal whose real wait is not known.
const busyRetryAfter = time.Second

// charge takes a slot and the price of a job, or neither.
func (a *API) charge(key string) *Refusal {
	if !a.slots.take(key) {
		return a.tooMany(busyRetryAfter)
	}
	if !a.server.purse.take(a.server.cfg.TaskPrice) {
		a.slots.release(key)
		return a.protocol.Refusal(http.StatusPaymentRequired)
	}
	return nil
}

// answerCreated answers the submission of a job, or fails to, as the script wants.
func (a *API) answerCreated(w http.ResponseWriter, r *http.Request, j *Job, status int, body []byte) {
	if j.Script.Early {
		select {
		case <-j.notified:
		case <-r.Context().Done():
		}
	}
	if sleep(r.Context(), j.Script.AnswerDelay) != nil {
		// The client or the server went away; returning would send an empty 200.
		panic(http.ErrAbortHandler)
	}
	switch j.Script.Answer {
	case AnswerDropAfter:
		panic(http.ErrAbortHandler)
	case AnswerTruncated:
		a.Write(w, status, body[:len(body)-20])
	case AnswerNormal, AnswerHTML403, AnswerDrop:
		a.Write(w, status, body)
	}
}

// html403 is what the content network in front of an API answers to clients that it dislikes.
func html403(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<!DOCTYPE html><html><title>Access denied</title><body>error code: 1010</body></html>\n")
}

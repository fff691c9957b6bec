package sim

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode"
)

// kieRequest is the body of generate; the echo spells watermark in another way and is sorted by name.
type kieRequest struct {
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	CallBackURL string `json:"callBackUrl"`
	Watermark   string `json:"watermark"`
}

// generate is POST /api/v1/modify/generate. A call is judged in this order: credentials, rate window, JSON, fields,
// script, credits. Whatever comes of it stands in the ledger before the answer leaves.
func (k *kie) generate(w http.ResponseWriter, r *http.Request) {
	entry := Entry{Time: time.Now(), Path: r.URL.Path, Result: ResultRefused}
	var req kieRequest
	badBody := k.decode(w, r, maxJSON, &req)
	entry.Prompt, entry.VideoURL = req.Prompt, req.VideoURL
	entry.CallbackURL, entry.Watermark = req.CallBackURL, req.Watermark

	sub, script, no := k.admit(r, req, badBody, &entry.Key)
	switch {
	case no != nil:
	case script.Answer == AnswerHTML403:
		entry.Code = http.StatusForbidden
		k.sim.record(entry)
		k.html403(w)
		return
	case script.Answer == AnswerDrop:
		entry.Result = ResultDropped
		k.sim.record(entry)
		panic(http.ErrAbortHandler) // Closes the connection without an answer.
	case !k.sim.purse.take(k.sim.cfg.TaskPrice):
		no = scripted(http.StatusPaymentRequired)
	}
	if no != nil {
		entry.Code = no.code
		k.sim.record(entry)
		k.refuse(w, no)
		return
	}
	j := k.sim.jobs.create(sub, script, k)
	entry.Result, entry.Code, entry.TaskID, entry.Paid = ResultCreated, http.StatusOK, j.id, true
	// NOTE: recorded before the job starts, so that no callback can overtake its own ledger entry.
	k.sim.record(entry)
	k.sim.start(j)
	k.answerCreated(w, r, j)
}

// admit judges a call up to the point where only credits could be missing.
func (k *kie) admit(r *http.Request, req kieRequest, badBody *kieRefusal, key *string) (Submission, Script, *kieRefusal) {
	var no *kieRefusal
	if *key, no = k.bearer(r); no != nil {
		return Submission{}, Script{}, no
	}
	if !k.sim.submits.take(*key) {
		return Submission{}, Script{}, scripted(http.StatusTooManyRequests)
	}
	if no = cmp.Or(badBody, k.checkRequest(req)); no != nil {
		return Submission{}, Script{}, no
	}
	script, err := ParseDirectives(req.Prompt)
	if err != nil {
		return Submission{}, Script{}, refuse(http.StatusUnprocessableEntity, "%v", err)
	}
	sub := Submission{
		Seq: k.sim.jobs.number(), Key: *key, Prompt: req.Prompt, VideoURL: req.VideoURL,
		CallbackURL: req.CallBackURL, Watermark: req.Watermark, Directives: script,
	}
	if k.sim.cfg.Script != nil {
		script = k.sim.cfg.Script(sub)
	}
	if script.Code != 0 {
		no = scripted(script.Code)
	}
	return sub, script, no
}

func (k *kie) checkRequest(req kieRequest) *kieRefusal {
	switch {
	case req.Prompt == "":
		return refuse(http.StatusUnprocessableEntity, "prompt is required")
	case req.VideoURL == "":
		return refuse(http.StatusUnprocessableEntity, "videoUrl is required")
	case !isURI(req.VideoURL):
		return refuse(http.StatusUnprocessableEntity, "videoUrl is not a valid URL")
	case req.CallBackURL != "" && !isURI(req.CallBackURL):
		return refuse(http.StatusUnprocessableEntity, "callBackUrl is not a valid URL")
	}
	for _, c := range req.Prompt {
		if k.sim.cfg.RejectNonASCII && c > unicode.MaxASCII {
			return refuse(http.StatusUnprocessableEntity, "Only English prompts are supported")
		}
	}
	return nil
}

// isURI reports whether s is absolute and names a host.
func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != ""
}

// answerCreated tells the task id, or fails to, as the script wants.
func (k *kie) answerCreated(w http.ResponseWriter, r *http.Request, j *job) {
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
		whole := kieJSON(kieEnvelope{Code: http.StatusOK, Msg: "success", Data: map[string]string{"taskId": j.id}})
		k.write(w, http.StatusOK, whole[:len(whole)-20])
	case AnswerNormal, AnswerHTML403, AnswerDrop:
		k.accept(w, map[string]string{"taskId": j.id})
	}
}

// html403 is what the content network answers to clients that it dislikes.
func (k *kie) html403(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<!DOCTYPE html><html><title>Access denied</title><body>error code: 1010</body></html>\n")
}

package kie

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// Sign returns the X-Webhook-Signature of a callback of kie.ai: base64 of HMAC-SHA256 over the task id, a dot and the
// X-Webhook-Timestamp (Unix seconds). The body is not covered.
func Sign(key, taskID, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(taskID + "." + timestamp))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// callbackBody is the body of a callback.
type callbackBody struct {
	TaskID string        `json:"taskId,omitempty"`
	Code   int           `json:"code"`
	Msg    string        `json:"msg"`
	Data   *callbackData `json:"data"`
}

type callbackData struct {
	TaskID     string          `json:"taskId,omitempty"`
	SnakeID    string          `json:"task_id,omitempty"`
	PromptJSON json.RawMessage `json:"promptJson"`
	ResultURLs any             `json:"resultUrls,omitzero"` // Missing on failure, which differs from empty.
}

// Callback renders a callback about a settled job.
func (p *protocol) Callback(j *sim.Job, claim sim.Claim) sim.Message {
	body := p.modifyCallback(j, claim)
	if isJob(j) {
		body = p.jobCallback(j, claim)
	}
	return sim.Message{Body: body, Headers: func(now time.Time) http.Header { return p.headers(j, now) }}
}

func (p *protocol) modifyCallback(j *sim.Job, claim sim.Claim) []byte {
	code := cmp.Or(claim.ForgedCode, http.StatusInternalServerError)
	body := callbackBody{Code: code, Msg: "Modify record generation failed.", Data: &callbackData{PromptJSON: echo(j)}}
	if claim.Good() {
		body.Code, body.Msg, body.Data.ResultURLs = http.StatusOK, "Modify record generated successfully.", j.Script.Shape.Write(claim.Results, claim.Results)
	}
	if j.Script.Quirk != quirkPromptObject {
		body.Data.PromptJSON = sim.JSON(string(echo(j)))
	}
	body.TaskID, body.Data.TaskID, body.Data.SnakeID = p.placeID(j.ID)
	if j.Script.NullData {
		body.Data = nil
	}
	return sim.JSON(body)
}

// placeID returns the id, or nothing, for the places of the task id in a callback: taskId, data.taskId and data.task_id.
func (p *protocol) placeID(id string) (root, camel, snake string) {
	switch p.cfg.CallbackID {
	case IDDataCamel:
		return "", id, ""
	case IDDataSnake:
		return "", "", id
	case IDRoot:
		return id, "", ""
	case IDBoth:
		return id, "", id
	}
	return "", "", ""
}

// headers signs a callback that leaves now, as far as the script lets it.
func (p *protocol) headers(j *sim.Job, now time.Time) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	key := p.cfg.WebhookKey
	if key == "" || j.Script.Signature == sim.SignatureMissing {
		return h
	}
	if j.Script.Signature == sim.SignatureWrong {
		key = "not " + key
	}
	stamp := strconv.FormatInt(now.Add(-j.Script.Stale).Unix(), 10)
	h.Set("X-Webhook-Timestamp", stamp)
	h.Set("X-Webhook-Signature", Sign(key, j.ID, stamp))
	return h
}

package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Sign returns the X-Webhook-Signature of a callback of kie.ai: base64 of HMAC-SHA256 over the task id, a dot and the
// X-Webhook-Timestamp (Unix seconds). The body is not covered.
func Sign(key, taskID, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(taskID + "." + timestamp))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// kieCallback is the body of a callback.
type kieCallback struct {
	TaskID string           `json:"taskId,omitempty"`
	Code   int              `json:"code"`
	Msg    string           `json:"msg"`
	Data   *kieCallbackData `json:"data"`
}

type kieCallbackData struct {
	TaskID     string          `json:"taskId,omitempty"`
	SnakeID    string          `json:"task_id,omitempty"`
	PromptJSON json.RawMessage `json:"promptJson"`
	ResultURLs any             `json:"resultUrls,omitzero"` // Missing on failure, which differs from empty.
}

// callback renders a callback about a settled job.
func (k *kie) callback(j *job, v variation) message {
	claim := k.sim.claim(j, v)
	code := http.StatusInternalServerError
	if v == forgedCode {
		code = j.script.ForgeCode
	}
	body := kieCallback{Code: code, Msg: "Modify record generation failed.", Data: &kieCallbackData{PromptJSON: echo(j)}}
	if claim.good() {
		body.Code, body.Msg, body.Data.ResultURLs = http.StatusOK, "Modify record generated successfully.", j.script.Shape.write(claim.results, claim.results)
	}
	if !j.script.PromptObject {
		body.Data.PromptJSON = toJSON(string(echo(j)))
	}
	k.placeID(&body, j.id)
	if j.script.NullData {
		body.Data = nil
	}
	return message{body: toJSON(body), headers: func(now time.Time) http.Header { return k.headers(j, now) }}
}

func (k *kie) placeID(body *kieCallback, id string) {
	switch k.sim.cfg.CallbackID {
	case IDDataCamel:
		body.Data.TaskID = id
	case IDDataSnake:
		body.Data.SnakeID = id
	case IDRoot:
		body.TaskID = id
	case IDBoth:
		body.TaskID, body.Data.SnakeID = id, id
	}
}

// headers signs a callback that leaves now, as far as the script lets it.
func (k *kie) headers(j *job, now time.Time) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	key := k.sim.cfg.WebhookKey
	if key == "" || j.script.Signature == SignatureMissing {
		return h
	}
	if j.script.Signature == SignatureWrong {
		key = "not " + key
	}
	stamp := strconv.FormatInt(now.Add(-j.script.Stale).Unix(), 10)
	h.Set("X-Webhook-Timestamp", stamp)
	h.Set("X-Webhook-Signature", Sign(key, j.id, stamp))
	return h
}

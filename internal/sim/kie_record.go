package sim

import (
	"encoding/json"
	"net/http"
)

// kieEcho is the request as the provider repeats it: sorted by name, with waterMark in its own spelling.
type kieEcho struct {
	CallBackURL string `json:"callBackUrl"`
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	WaterMark   string `json:"waterMark"`
}

func echo(j *job) []byte {
	return toJSON(kieEcho{j.sub.CallbackURL, j.sub.Prompt, j.sub.VideoURL, j.sub.Watermark})
}

// kieRecord is data of record-info. The four raw fields are null or missing when they have no value.
type kieRecord struct {
	TaskID       string          `json:"taskId"`
	ParamJSON    string          `json:"paramJson"`
	CompleteTime json.RawMessage `json:"completeTime,omitempty"`
	Response     json.RawMessage `json:"response,omitempty"`
	SuccessFlag  int             `json:"successFlag"`
	CreateTime   int64           `json:"createTime"`
	ErrorCode    json.RawMessage `json:"errorCode,omitempty"`
	ErrorMessage json.RawMessage `json:"errorMessage,omitempty"`
}

// kieResponse is data.response of a finished task.
type kieResponse struct {
	TaskID     string   `json:"taskId"`
	OriginURLs []string `json:"originUrls"`
	ResultURLs any      `json:"resultUrls"`
}

// recordInfo is GET /api/v1/modify/record-info.
func (k *kie) recordInfo(w http.ResponseWriter, r *http.Request) {
	if no := k.sim.question(r, k); no != nil {
		k.refuse(w, no)
		return
	}
	id := r.URL.Query().Get("taskId")
	if id == "" {
		k.refuse(w, refuse(http.StatusUnprocessableEntity, "taskId is required"))
		return
	}
	j := k.sim.jobs.find(ProfileKie, id)
	if j == nil && k.sim.cfg.UnknownTaskCode == http.StatusNotFound {
		k.refuse(w, refuse(http.StatusNotFound, "Task not found"))
		return
	}
	if j == nil || j.hidden(k.sim.cfg.InvisibleFor) {
		k.refuse(w, refuse(http.StatusUnprocessableEntity, "recordInfo is null"))
		return
	}
	k.accept(w, k.record(j))
}

// kieFlag is the successFlag of a state: 0 generating, 1 success, 2 creation failed, 3 generation failed, 4 callback failed.
func kieFlag(s state) int { return max(int(s-generating), 0) }

// record renders a job as record-info shows it now.
func (k *kie) record(j *job) kieRecord {
	v := j.shown()
	rec := kieRecord{
		TaskID: j.id, ParamJSON: string(echo(j)), SuccessFlag: kieFlag(v.state), CreateTime: j.created.UnixMilli(),
		CompleteTime: k.null(), Response: k.null(), ErrorCode: k.null(), ErrorMessage: k.null(),
	}
	if !v.ended.IsZero() {
		rec.CompleteTime = toJSON(v.ended.UnixMilli())
	}
	if v.good() {
		rec.Response = toJSON(kieResponse{TaskID: j.id, OriginURLs: v.origins, ResultURLs: j.script.Shape.write(v.results, v.results)})
	}
	if v.code != 0 {
		rec.ErrorCode = toJSON(v.code)
	}
	if v.message != "" {
		rec.ErrorMessage = toJSON(v.message)
	}
	return rec
}

// null is a field without a value: null, or nothing when nulls are left out.
func (k *kie) null() json.RawMessage {
	if k.sim.cfg.OmitNulls {
		return nil
	}
	return json.RawMessage("null")
}

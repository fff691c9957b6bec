package kie

import (
	"encoding/json"
	"net/http"

	"github.com/refract-video/refract/internal/sim"
)

// requestEcho is the request as the provider repeats it: sorted by name, with waterMark in its own spelling.
type requestEcho struct {
	CallBackURL string `json:"callBackUrl"`
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	WaterMark   string `json:"waterMark"`
}

func echo(j *sim.Job) []byte {
	return sim.JSON(requestEcho{j.Submission.CallbackURL, j.Submission.Prompt, j.Submission.VideoURL, j.Submission.Watermark})
}

// taskRecord is data of record-info. The four raw fields are null or missing when they have no value.
type taskRecord struct {
	TaskID       string          `json:"taskId"`
	ParamJSON    string          `json:"paramJson"`
	CompleteTime json.RawMessage `json:"completeTime,omitempty"`
	Response     json.RawMessage `json:"response,omitempty"`
	SuccessFlag  int             `json:"successFlag"`
	CreateTime   int64           `json:"createTime"`
	ErrorCode    json.RawMessage `json:"errorCode,omitempty"`
	ErrorMessage json.RawMessage `json:"errorMessage,omitempty"`
}

// recordResponse is data.response of a finished task.
type recordResponse struct {
	TaskID     string   `json:"taskId"`
	OriginURLs []string `json:"originUrls"`
	ResultURLs any      `json:"resultUrls"`
}

// recordInfo is GET /api/v1/modify/record-info.
func (p *protocol) recordInfo(r *http.Request) (any, *sim.Refusal) {
	j, no := p.find(r, false)
	switch {
	case no != nil:
		return nil, no
	case j == nil:
		return p.success(null), nil
	default:
		return p.success(p.record(j)), nil
	}
}

// find returns the job that a query asks for. Each product knows its own jobs. Without a job and a refusal the data is null.
func (p *protocol) find(r *http.Request, ofMarket bool) (*sim.Job, *sim.Refusal) {
	id := r.URL.Query().Get("taskId")
	if id == "" {
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "taskId is required")
	}
	j := p.api.Find(id)
	if j != nil && isJob(j) != ofMarket {
		j = nil
	}
	switch {
	case j != nil && !j.Hidden(p.cfg.InvisibleFor):
		return j, nil
	case j == nil && p.cfg.UnknownTaskCode == http.StatusNotFound:
		return nil, sim.Refuse(http.StatusNotFound, "Task not found")
	case j == nil && p.cfg.UnknownTaskCode == http.StatusOK:
		return nil, nil
	default:
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "recordInfo is null")
	}
}

// successFlag is the successFlag of a state: 0 generating, 1 success, 2 creation failed, 3 generation failed, 4 callback failed.
func successFlag(s sim.State) int { return max(int(s-sim.StateGenerating), 0) }

// record renders a job as record-info shows it now.
func (p *protocol) record(j *sim.Job) taskRecord {
	v := j.Shown()
	rec := taskRecord{
		TaskID: j.ID, ParamJSON: string(echo(j)), SuccessFlag: successFlag(v.State), CreateTime: j.Created.UnixMilli(),
		CompleteTime: p.null(), Response: p.null(), ErrorCode: p.null(), ErrorMessage: p.null(),
	}
	if !v.Ended.IsZero() {
		rec.CompleteTime = sim.JSON(v.Ended.UnixMilli())
	}
	if v.Good() {
		rec.Response = sim.JSON(recordResponse{TaskID: j.ID, OriginURLs: v.Origins, ResultURLs: j.Script.Shape.Write(v.Results, v.Results)})
	}
	if v.Code != 0 {
		rec.ErrorCode = sim.JSON(v.Code)
	}
	if v.Message != "" {
		rec.ErrorMessage = sim.JSON(v.Message)
	}
	return rec
}

// null is a field without a value: null, or nothing when nulls are left out.
func (p *protocol) null() json.RawMessage {
	if p.cfg.OmitNulls {
		return nil
	}
	return null
}

package kie

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// jobRecord is data of recordInfo, and of a callback of the market. The raw fields are null or missing when they have no value.
type jobRecord struct {
	TaskID          string          `json:"taskId,omitempty"`
	SnakeID         string          `json:"task_id,omitempty"`
	Model           string          `json:"model"`
	State           string          `json:"state"`
	Param           json.RawMessage `json:"param"`
	ResultJSON      json.RawMessage `json:"resultJson,omitempty"`
	FailCode        json.RawMessage `json:"failCode,omitempty"`
	FailMsg         json.RawMessage `json:"failMsg,omitempty"`
	CostTime        json.RawMessage `json:"costTime,omitempty"`
	CompleteTime    json.RawMessage `json:"completeTime,omitempty"`
	CreateTime      int64           `json:"createTime"`
	UpdateTime      int64           `json:"updateTime,omitempty"`
	CreditsConsumed json.RawMessage `json:"creditsConsumed,omitempty"`
	ConsumeCredits  json.RawMessage `json:"consumeCredits,omitempty"`
	RemainedCredits json.RawMessage `json:"remainedCredits,omitempty"`
}

// jobInfo is GET /api/v1/jobs/recordInfo.
func (p *protocol) jobInfo(r *http.Request) (any, *sim.Refusal) {
	j, no := p.find(r, true)
	switch {
	case no != nil:
		return nil, no
	case j == nil:
		return p.success(null), nil
	}
	v := j.Shown()
	rec := p.jobRecord(j, v, v.Results)
	rec.TaskID, rec.Param = j.ID, sim.JSON(string(param(j)))
	return p.success(rec), nil
}

// param is the request as the market repeats it. The input in it is JSON in a string.
func param(j *sim.Job) []byte {
	echo := map[string]string{"model": j.Submission.Model, "input": string(j.Submission.Input)}
	if j.Submission.CallbackURL != "" {
		echo["callBackUrl"] = j.Submission.CallbackURL
	}
	return sim.JSON(echo)
}

// jobRecord renders the state of a job, without its id and its request.
func (p *protocol) jobRecord(j *sim.Job, v sim.Status, results []string) jobRecord {
	rec := jobRecord{
		Model: j.Submission.Model, State: p.cfg.RunningState, CreateTime: j.Created.UnixMilli(),
		ResultJSON: json.RawMessage(`""`), FailCode: p.null(), FailMsg: p.null(), CostTime: p.null(), CompleteTime: p.null(),
	}
	switch {
	case v.Good():
		rec.State = "success"
		rec.ResultJSON = sim.JSON(string(sim.JSON(map[string]any{"resultUrls": j.Script.Shape.Write(results, results)})))
	case v.State == sim.StateCreateFailed, v.State == sim.StateGenerateFailed:
		rec.State, rec.ResultJSON = "fail", p.null()
		rec.FailMsg = sim.JSON(v.Message)
		rec.FailCode = sim.JSON(strconv.Itoa(v.Code))
		if p.cfg.NumericFailCode {
			rec.FailCode = sim.JSON(v.Code)
		}
	default:
		return rec
	}
	if !v.Ended.IsZero() {
		unit := time.Second
		if p.cfg.CostTimeMillis {
			unit = time.Millisecond
		}
		rec.CompleteTime, rec.CostTime = sim.JSON(v.Ended.UnixMilli()), sim.JSON(v.Ended.Sub(j.Created)/unit)
	}
	if p.cfg.UpdateTime {
		rec.UpdateTime = rec.CreateTime // The pages show the same value.
	}
	if p.cfg.Credits == CreditsConsumed {
		rec.CreditsConsumed = sim.JSON(p.cost(v))
	}
	return rec
}

// cost is what a job cost. A failed one is free.
func (p *protocol) cost(v sim.Status) int {
	if v.Good() {
		return p.api.Price()
	}
	return 0
}

// jobCallbackBody is the body of a callback of the market.
type jobCallbackBody struct {
	TaskID string     `json:"taskId,omitempty"`
	Code   int        `json:"code"`
	Msg    string     `json:"msg"`
	Data   *jobRecord `json:"data"`
}

func (p *protocol) jobCallback(j *sim.Job, claim sim.Claim) []byte {
	rec := p.jobRecord(j, claim.Status, claim.Results)
	body := jobCallbackBody{Code: p.cfg.JobFailureCode, Msg: "Playground task failed.", Data: &rec}
	if claim.Good() {
		body.Code, body.Msg = http.StatusOK, "Playground task completed successfully."
	}
	if claim.ForgedCode != 0 {
		body.Code = claim.ForgedCode
	}
	rec.Param = param(j)
	if j.Script.Quirk != quirkPromptObject {
		rec.Param = sim.JSON(string(rec.Param))
	}
	if p.cfg.Credits == CreditsOld {
		rec.ConsumeCredits, rec.RemainedCredits = sim.JSON(p.cost(claim.Status)), sim.JSON(p.api.Balance())
	}
	body.TaskID, rec.TaskID, rec.SnakeID = p.placeID(j.ID)
	if j.Script.NullData {
		body.Data = nil
	}
	return sim.JSON(body)
}

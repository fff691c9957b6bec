package kie

import (
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// The states of a task of the market [D]; waiting, success and fail were recorded.
const (
	stateWaiting    = "waiting"
	stateQueuing    = "queuing"
	stateGenerating = "generating"
	stateSuccess    = "success"
	stateFail       = "fail"
)

// readJob reads a record of the market. Its costTime is in seconds on one page and in milliseconds on another, so that nothing
// is computed with it.
func (p *Provider) readJob(a answer, record wire.Object) (provider.Status, *provider.Error) {
	switch record.Word("state") {
	case stateWaiting, stateQueuing, stateGenerating:
		return provider.Status{Phase: provider.Running}, nil
	case stateSuccess:
		return p.jobResult(record), nil
	case stateFail:
		return p.jobFailure(record), nil
	default:
		return p.unknown(a, record, "state")
	}
}

// jobFailure reads the end of a task that failed.
func (p *Provider) jobFailure(record wire.Object) provider.Status {
	status := p.failure(record, "failCode", "failMsg")
	status.Cost = jobCost(record)
	return status
}

// jobCost returns the credits of a task that ended: creditsConsumed in records and on newer pages of callbacks, consumeCredits on
// older ones [D]. No field of April 2026 had them [L]. A failed task reports 0 [D].
func jobCost(record wire.Object) provider.Cost {
	for _, key := range []string{"creditsConsumed", "consumeCredits"} {
		if amount, ok := record.Decimal(key); ok {
			return provider.Cost{Amount: amount, Unit: "credits"}
		}
	}
	return provider.Cost{}
}

// jobResult reads the links of a task that succeeded. resultJson is an object as JSON in a string. Only its resultUrls are
// results: resultWaterMarkUrls are copies with a watermark.
func (p *Provider) jobResult(record wire.Object) (status provider.Status) {
	secrets := echoSecrets(record)
	if result, ok := wire.AsObject(record["resultJson"]); ok {
		status = p.wire.Success(result, "resultUrls", secrets...)
	} else {
		status = p.wire.Unread(record, "resultJson", secrets...)
	}
	status.Cost = jobCost(record)
	return status
}

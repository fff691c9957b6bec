package kie

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const checkPath = "/api/v1/modify/record-info"

// visibilityGrace is how long a task may stay invisible after its submission. Integrators saw seconds;
// one waits 90 s.
const visibilityGrace = 2 * time.Minute

// What the provider calls successFlag.
const (
	flagGenerating     = 0
	flagSuccess        = 1
	flagCreateFailed   = 2
	flagGenerateFailed = 3
	flagCallbackFailed = 4 // The provider could not reach us; the video is fine.
)

// Check asks for the record of a task: one GET, at most 15 s. A task that is not visible within two
// minutes of its submission is Running, and NotFound after that. Code 501 is the task's failure. Code
// 408, the provider's own upstream being late, is Unavailable: a result may still turn up, so the caller
// asks again and lets a record, or its own deadline, decide.
func (p *Provider) Check(ctx context.Context, providerTaskID string, submitted time.Time) (provider.Status, error) {
	a, perr := p.call(ctx, wire.Call{
		Op:      wire.OpCheck,
		Method:  http.MethodGet,
		Path:    checkPath,
		Query:   url.Values{"taskId": {providerTaskID}},
		Timeout: wire.QuestionTimeout,
	})
	status, perr := p.readCheck(a, perr, providerTaskID, time.Since(submitted))
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

// readCheck turns the answer to a check, or the error it stands for, into a status of a task that was
// submitted age ago.
func (p *Provider) readCheck(a answer, perr *provider.Error, id string, age time.Duration) (provider.Status, *provider.Error) {
	if perr == nil && wire.IsNull(a.data) {
		perr = checkError(provider.NotFound, a.code, p.wire.Redact(a.message))
	}
	switch {
	case perr == nil:
		return p.readRecord(a, id)
	case perr.Class == provider.NotFound && age < visibilityGrace:
		return provider.Status{Phase: provider.Running}, nil
	case perr.Class == provider.GenerationFailed:
		return provider.Status{Phase: provider.Failed, Code: perr.Code, Message: perr.Message}, nil
	default:
		return provider.Status{}, perr
	}
}

func (p *Provider) readRecord(a answer, id string) (provider.Status, *provider.Error) {
	record, ok := wire.AsObject(a.data)
	if !ok {
		perr := checkError(provider.Unavailable, a.code, "")
		perr.Err = errors.New("record is not a JSON object")
		return provider.Status{}, perr
	}
	if got := record.ID("taskId"); got != "" && got != id {
		perr := checkError(provider.Unavailable, a.code, "")
		perr.Err = errors.New("record is of another task")
		return provider.Status{}, perr
	}
	switch flagOf(record) {
	case flagGenerating:
		return provider.Status{Phase: provider.Running}, nil
	case flagSuccess, flagCallbackFailed:
		// NOTE: only resultUrls. originUrls is our own source, hosted again.
		response, ok := wire.AsObject(record["response"])
		if !ok {
			return p.wire.Unread(record, "response", echoSecrets(record, "paramJson")...), nil
		}
		return p.wire.Success(response, "resultUrls", echoSecrets(record, "paramJson")...), nil
	case flagCreateFailed, flagGenerateFailed:
		return p.failure(record), nil
	default:
		message := p.wire.Redact("unknown successFlag "+string(record["successFlag"]), echoSecrets(record, "paramJson")...)
		return provider.Status{}, checkError(provider.Unavailable, a.code, message)
	}
}

// flagNames are what the provider's pages call the flags.
var flagNames = map[string]int{
	"generating": flagGenerating, "success": flagSuccess, "create_task_failed": flagCreateFailed,
	"generate_failed": flagGenerateFailed, "callback_failed": flagCallbackFailed,
}

// flagOf returns the successFlag of a record, or -1 where it is not certain. True is 1 and false is 0, but a false with an
// error may mean any failure.
func flagOf(record wire.Object) int {
	if flag, ok := record.Integer("successFlag"); ok {
		return flag
	}
	said := strings.ToLower(strings.TrimSpace(record.AnyText("successFlag")))
	if flag, ok := flagNames[said]; ok {
		return flag
	}
	switch code, _ := record.Integer("errorCode"); {
	case said == "true":
		return flagSuccess
	case said == "false" && code == 0 && record.AnyText("errorMessage") == "":
		return flagGenerating
	default:
		return -1
	}
}

// failure reads the end of a task that failed. An errorCode that is not a number is a word, and kept as one.
func (p *Provider) failure(record wire.Object) provider.Status {
	message := record.AnyText("errorMessage")
	code, ok := record.Integer("errorCode")
	if word := record.AnyText("errorCode"); !ok && word != "" {
		message = word + ": " + message
	}
	return provider.Status{
		Phase:   provider.Failed,
		Code:    code,
		Message: p.wire.Redact(message, echoSecrets(record, "paramJson")...),
	}
}

func checkError(class provider.Class, code int, message string) *provider.Error {
	return &provider.Error{Class: class, Op: string(wire.OpCheck), Code: code, Message: message}
}

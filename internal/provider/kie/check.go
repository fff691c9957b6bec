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
func (p *Provider) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	a, perr := p.call(ctx, wire.Call{
		Op:      wire.OpCheck,
		Method:  http.MethodGet,
		Path:    productOf(q.Remote).checkPath,
		Query:   url.Values{"taskId": {q.TaskID}},
		Timeout: wire.QuestionTimeout,
	})
	status, perr := p.readCheck(a, perr, q, time.Since(q.Submitted))
	if perr != nil {
		return provider.Status{}, perr
	}
	return status, nil
}

// readCheck turns the answer to a check, or the error it stands for, into a status of a task that was
// submitted age ago.
func (p *Provider) readCheck(a answer, perr *provider.Error, q provider.Query, age time.Duration) (provider.Status, *provider.Error) {
	if perr == nil && wire.IsNull(a.data) {
		perr = checkError(provider.NotFound, a.code, p.wire.Redact(a.message))
	}
	switch {
	case perr == nil:
		return p.readRecord(a, q)
	case perr.Class == provider.NotFound && age < visibilityGrace:
		return provider.Status{Phase: provider.Running}, nil
	case perr.Class == provider.GenerationFailed:
		return provider.Status{Phase: provider.Failed, Code: perr.Code, Message: perr.Message}, nil
	default:
		return provider.Status{}, perr
	}
}

func (p *Provider) readRecord(a answer, q provider.Query) (provider.Status, *provider.Error) {
	record, ok := wire.AsObject(a.data)
	if !ok {
		perr := checkError(provider.Unavailable, a.code, "")
		perr.Err = errors.New("record is not a JSON object")
		return provider.Status{}, perr
	}
	if got := record.ID("taskId"); got != "" && got != q.TaskID {
		perr := checkError(provider.Unavailable, a.code, "")
		perr.Err = errors.New("record is of another task")
		return provider.Status{}, perr
	}
	return productOf(q.Remote).read(p, a, record)
}

// readModification reads a record of Luma Modify.
func (p *Provider) readModification(a answer, record wire.Object) (provider.Status, *provider.Error) {
	switch flagOf(record) {
	case flagGenerating:
		return provider.Status{Phase: provider.Running}, nil
	case flagSuccess, flagCallbackFailed:
		// NOTE: only resultUrls. originUrls is our own source, hosted again.
		response, ok := wire.AsObject(record["response"])
		if !ok {
			return p.wire.Unread(record, "response", echoSecrets(record)...), nil
		}
		return p.wire.Success(response, "resultUrls", echoSecrets(record)...), nil
	case flagCreateFailed, flagGenerateFailed:
		return p.failure(record, "errorCode", "errorMessage"), nil
	default:
		return p.unknown(a, record, "successFlag")
	}
}

// unknown returns the error of a record whose state is not known.
func (p *Provider) unknown(a answer, record wire.Object, key string) (provider.Status, *provider.Error) {
	message := p.wire.Redact("unknown "+key+" "+string(record[key]), echoSecrets(record)...)
	return provider.Status{}, checkError(provider.Unavailable, a.code, message)
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

// failure reads the end of a task that failed, from the fields of its product. A code that is not a number is a word, and kept
// as one.
func (p *Provider) failure(record wire.Object, codeKey, messageKey string) provider.Status {
	message := record.AnyText(messageKey)
	code, ok := record.Integer(codeKey)
	if word := record.AnyText(codeKey); !ok && word != "" {
		message = word + ": " + message
	}
	return provider.Status{
		Phase:   provider.Failed,
		Code:    code,
		Message: p.wire.Redact(message, echoSecrets(record)...),
	}
}

func checkError(class provider.Class, code int, message string) *provider.Error {
	return &provider.Error{Class: class, Op: string(wire.OpCheck), Code: code, Message: message}
}

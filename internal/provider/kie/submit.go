package kie

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Submit asks the provider to start one attempt: one POST, at most 30 s. The remote name selects the call. It succeeds only if
// the answer has a task id. An answer that reports a created task without its id is Ambiguous, and so is an error that may name
// a task.
func (p *Provider) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	if s.Remote == "" { // It would be paid for as Luma Modify.
		return provider.Receipt{}, &provider.Error{Class: provider.Rejected, Op: string(wire.OpSubmit), Err: errors.New("the submission names no model")}
	}
	sold := productOf(s.Remote)
	call := wire.Call{
		Op:      wire.OpSubmit,
		Method:  http.MethodPost,
		Path:    sold.submitPath,
		Body:    sold.body(s),
		Timeout: wire.SubmitTimeout,
		Secrets: wire.CallbackSecrets(s.CallbackURL),
	}
	a, perr := p.call(ctx, call)
	return p.readSubmit(call, a, perr)
}

// readSubmit returns the receipt in the answer to a submission, or the error that the answer means.
func (p *Provider) readSubmit(call wire.Call, a answer, perr *provider.Error) (provider.Receipt, error) {
	id := createdID(a)
	switch {
	case perr != nil && perr.Class != provider.GenerationFailed && mayNameTask(a, perr.Class):
		// NOTE: a refusal with a task id does not prove that the provider charged nothing.
		perr.Class, perr.Pause, perr.Input = provider.Ambiguous, "", false
		perr.Err = errors.New("error answer may name a task")
		return provider.Receipt{}, perr
	case perr != nil:
		return provider.Receipt{}, perr
	case id == "":
		return provider.Receipt{}, &provider.Error{
			Class:   provider.Ambiguous,
			Op:      string(call.Op),
			Code:    a.code,
			Message: p.wire.Redact(a.message, call.Secrets...),
			Err:     errors.New("accepted without a usable task id"),
		}
	}
	return provider.Receipt{TaskID: id}, nil
}

// idFields returns the fields that hold the task id: taskId on the Luma page and at the market, task_id in the provider's
// general introduction [D], and recordId, which equals taskId in every recorded answer of the market [L].
func idFields() []string { return []string{"taskId", "task_id", "recordId"} }

// createdID returns the task id in the data of a success, or "". Fields that differ make none of them reliable, and neither
// does one that can't be an id.
func createdID(a answer) (id string) {
	data, _ := wire.AsObject(a.data)
	for _, field := range idFields() {
		if isEmpty(data[field]) {
			continue
		}
		found := data.ID(field)
		if !wire.IsTaskID(found) || id != "" && id != found {
			return ""
		}
		id = found
	}
	return id
}

// mayNameTask reports whether an error of a class may be about a task that exists: one of the fields of its id holds anything,
// in the data, in an object of a list there, or at the root. That the model is gone closes its offering, so there any data
// counts: the documented answers have none.
func mayNameTask(a answer, class provider.Class) bool {
	if class == provider.ModelWithdrawn && !isEmpty(a.data) {
		return true
	}
	var list []json.RawMessage
	_ = json.Unmarshal(a.data, &list) // Data of another kind leaves the list empty.
	places := []wire.Object{a.root}
	for _, value := range append(list, a.data) {
		if o, ok := wire.AsObject(value); ok {
			places = append(places, o)
		}
	}
	for _, o := range places {
		for _, field := range idFields() {
			if !isEmpty(o[field]) {
				return true
			}
		}
	}
	return false
}

// isEmpty reports whether a value is absent or null, or a string of blanks, an object or a list without content.
func isEmpty(raw json.RawMessage) bool {
	if wire.IsNull(raw) {
		return true
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return false // A number that Go can't hold.
	}
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v) == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

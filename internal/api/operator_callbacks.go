package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// CallbackStore reads the callback inbox for operators.
type CallbackStore interface {
	// Callbacks returns callbacks, newest first, without their bodies.
	Callbacks(ctx context.Context, f callback.Filter) ([]callback.Stored, error)
	// InboxCallback returns one callback with its body, or callback.ErrNotFound.
	InboxCallback(ctx context.Context, id callback.ID) (callback.Stored, error)
}

// ListCallbacks lists the callback inbox.
func (s *OperatorService) ListCallbacks(ctx context.Context, req *refractv1.ListCallbacksRequest) (*refractv1.ListCallbacksResponse, error) {
	before, err := parseCallbackPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	f := callback.Filter{
		Task: task.ID(strings.ToLower(req.GetTaskId())), Account: req.GetAccount(), Before: before, Limit: size + 1,
		FromTime: timeOf(req.GetReceiveTimeFrom()), ToTime: timeOf(req.GetReceiveTimeTo()),
	}
	for _, v := range req.GetVerdicts() {
		f.Verdicts = append(f.Verdicts, lifecycle.Verdict(strings.ToLower(strings.TrimPrefix(v.String(), "CALLBACK_VERDICT_"))))
	}
	callbacks, err := s.callbacks.Callbacks(ctx, f)
	if err != nil {
		return nil, err
	}
	page, more := fill(callbacks, size, inboxCallback)
	resp := &refractv1.ListCallbacksResponse{Callbacks: page}
	if more {
		last := callbacks[len(page)-1]
		resp.NextPageToken = callbackPageToken(callback.Place{Time: last.ReceiveTime, ID: last.ID})
	}
	return resp, nil
}

// GetCallback returns one callback.
func (s *OperatorService) GetCallback(ctx context.Context, req *refractv1.GetCallbackRequest) (*refractv1.GetCallbackResponse, error) {
	c, err := s.callbacks.InboxCallback(ctx, callbackID(req))
	if err != nil {
		return nil, err
	}
	return &refractv1.GetCallbackResponse{Callback: inboxCallback(&c)}, nil
}

// ReplayCallback asks the provider about the attempt of a callback.
func (s *OperatorService) ReplayCallback(ctx context.Context, req *refractv1.ReplayCallbackRequest) (*refractv1.ReplayCallbackResponse, error) {
	c, err := s.callbacks.InboxCallback(ctx, callbackID(req))
	if err != nil {
		return nil, err
	}
	if err := s.audit.Record(ctx, audit.Change{Action: "callback.replay", Target: req.GetCallbackId(), After: map[string]any{"task_id": c.Task}}); err != nil {
		return nil, err
	}
	q, err := s.lifecycle.ReplayCallback(ctx, c.Callback)
	if err != nil {
		return nil, &callback.Error{Callback: c.ID, Err: err}
	}
	s.logChange(ctx, "replay of a callback", "callback_id", req.GetCallbackId(), "task_id", c.Task, "attempt_id", c.AttemptID, "outcome", q.Outcome)
	return &refractv1.ReplayCallbackResponse{Inquiry: inquiry(q)}, nil
}

// CheckTask asks the provider about an attempt of a task.
func (s *OperatorService) CheckTask(ctx context.Context, req *refractv1.CheckTaskRequest) (*refractv1.CheckTaskResponse, error) {
	if err := s.audit.Record(ctx, audit.Change{Action: "task.check", Target: string(taskID(req))}); err != nil {
		return nil, err
	}
	q, err := s.lifecycle.CheckTask(ctx, taskID(req))
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "check of a task", "task_id", q.Task.ID, "outcome", q.Outcome)
	return &refractv1.CheckTaskResponse{Inquiry: inquiry(q)}, nil
}

// callbackID returns the id in a request. The validation rules of the contract ensure that it fits.
func callbackID(req interface{ GetCallbackId() string }) callback.ID {
	id, _ := strconv.ParseInt(req.GetCallbackId(), 10, 64)
	return callback.ID(id)
}

func inquiry(q lifecycle.Inquiry) *refractv1.Inquiry {
	return &refractv1.Inquiry{
		Outcome:   refractv1.InquiryOutcome(refractv1.InquiryOutcome_value["INQUIRY_OUTCOME_"+string(q.Outcome)]),
		TaskId:    string(q.Task.ID),
		TaskState: stateOf(q.Task.State),
		Attempt:   attempt(q.Attempt),
		Message:   q.Message,
	}
}

// verdictOf converts a verdict. Verdicts are in lower case, because they are also labels of a metric.
func verdictOf(v lifecycle.Verdict) refractv1.CallbackVerdict {
	return refractv1.CallbackVerdict(refractv1.CallbackVerdict_value["CALLBACK_VERDICT_"+strings.ToUpper(string(v))])
}

func inboxCallback(c *callback.Stored) *refractv1.Callback {
	return &refractv1.Callback{
		Id:             strconv.FormatInt(int64(c.ID), 10),
		ReceiveTime:    timestamppb.New(c.ReceiveTime),
		Account:        c.Account,
		TaskId:         string(c.Task),
		Attempt:        count32(c.Attempt),
		ProviderTaskId: c.ProviderTaskID,
		Verdict:        verdictOf(c.Verdict),
		BodySizeBytes:  c.SizeBytes,
		Body:           c.Body,
	}
}

// callbackPageToken returns a page token of ListCallbacks. It contains the time and the id of the last callback
// on the previous page. The time is in microseconds, as in the database.
func callbackPageToken(last callback.Place) string {
	raw := binary.AppendVarint(nil, last.Time.UnixMicro())
	return base64.RawURLEncoding.EncodeToString(binary.AppendVarint(raw, int64(last.ID)))
}

func parseCallbackPageToken(token string) (callback.Place, error) {
	if token == "" {
		return callback.Place{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return callback.Place{}, errPageToken()
	}
	micros, n := binary.Varint(raw)
	if n <= 0 || micros <= 0 || micros > maxMicros {
		return callback.Place{}, errPageToken()
	}
	id, m := binary.Varint(raw[n:])
	if m <= 0 || id <= 0 || n+m != len(raw) {
		return callback.Place{}, errPageToken()
	}
	last := callback.Place{Time: time.UnixMicro(micros), ID: callback.ID(id)}
	if callbackPageToken(last) != token { // A token has several valid encodings. Only ours is accepted.
		return callback.Place{}, errPageToken()
	}
	return last, nil
}

// maxMicros is the end of the year 9999, the latest time that a Timestamp can hold.
const maxMicros = 253402300799_999999

// validText reports whether the database can store a string.
func validText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

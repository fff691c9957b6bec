package api

import (
	"context"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/explain"
)

// ExplainTask returns the story of a task: a caller's own, or of any tenant for an operator.
func (s *TaskService) ExplainTask(ctx context.Context, req *refractv1.ExplainTaskRequest) (*refractv1.ExplainTaskResponse, error) {
	e, err := s.explainer.Explain(ctx, explain.Caller{Tenant: tenantOf(ctx), Operator: isOperator(ctx)}, taskID(req))
	if err != nil {
		return nil, err
	}
	return &refractv1.ExplainTaskResponse{Explanation: s.explanation(&e)}, nil
}

func (s *TaskService) explanation(e *explain.Explanation) *refractv1.Explanation {
	m := &refractv1.Explanation{
		Task: s.task(&e.Task), EntriesLeftOut: count32(e.LeftOut), TraceId: e.TraceID,
		Next: &refractv1.NextStep{Message: e.Next.Message, Time: optionalTime(e.Next.Time), Waiting: waiting(e.Next.Waiting)},
	}
	m.Task.Waiting = m.Next.Waiting
	for _, entry := range e.Entries {
		m.Entries = append(m.Entries, &refractv1.ExplanationEntry{
			Time: optionalTime(entry.Time), Kind: entryKind(entry.Kind), Attempt: count32(entry.Attempt), Message: entry.Message, Facts: entry.Facts,
		})
	}
	if r := e.Retry; r != nil {
		m.Retry = &refractv1.RetryAdvice{CanHelp: r.CanHelp, Payment: paymentOf(r.Payment), Price: r.Price, Message: r.Message}
	}
	return m
}

// entryKind converts a kind. A test checks that each has its twin, as of the other enums.
func entryKind(k explain.Kind) refractv1.ExplanationEntryKind {
	return refractv1.ExplanationEntryKind(enumValue(refractv1.ExplanationEntryKind_value, "EXPLANATION_ENTRY_KIND_", string(k)))
}

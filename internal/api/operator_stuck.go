package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/task"
)

// ListStuckTasks lists the tasks that have been in their state for longer than is usual.
func (s *OperatorService) ListStuckTasks(ctx context.Context, req *refractv1.ListStuckTasksRequest) (*refractv1.ListStuckTasksResponse, error) {
	after, err := parseStuckPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	f := explain.Filter{Tenant: req.GetTenant(), Provider: req.GetProvider(), After: after, Limit: pageSize(req.GetPageSize())}
	tasks, next, err := s.explainer.Stuck(ctx, f)
	if err != nil {
		return nil, err
	}
	resp := &refractv1.ListStuckTasksResponse{}
	for i := range tasks {
		resp.Tasks = append(resp.Tasks, stuckTask(&tasks[i]))
	}
	if next != nil {
		resp.NextPageToken = stuckPageToken(*next)
	}
	return resp, nil
}

func stuckTask(s *explain.Stuck) *refractv1.StuckTask {
	m := &refractv1.StuckTask{
		TaskId: string(s.Task.ID), Tenant: s.Task.Tenant, State: stateOf(s.Task.State), Provider: s.Task.Provider, Model: s.Task.Spec.Model,
		StateTime: timestamppb.New(s.Task.UpdateTime), Waiting: waiting(s.Waiting), Advice: s.Advice,
	}
	if s.Usual > 0 {
		m.UsualDuration = durationpb.New(s.Usual)
	}
	return m
}

// A page token of ListStuckTasks is the place of the last task of the page before: its time in microseconds, as in the database, and
// its id.
func stuckPageToken(p explain.Place) string {
	id, err := uuid.Parse(string(p.ID))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(id[:], binary.AppendVarint(nil, p.Time.UnixMicro())...))
}

func parseStuckPageToken(token string) (explain.Place, error) {
	if token == "" {
		return explain.Place{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < len(uuid.UUID{}) {
		return explain.Place{}, errPageToken()
	}
	micros, n := binary.Varint(raw[len(uuid.UUID{}):])
	if n <= 0 || micros <= 0 || micros > maxMicros {
		return explain.Place{}, errPageToken()
	}
	p := explain.Place{Time: time.UnixMicro(micros), ID: task.ID(uuid.UUID(raw[:len(uuid.UUID{})]).String())}
	if stuckPageToken(p) != token { // A token has several valid encodings. Only ours is accepted.
		return explain.Place{}, errPageToken()
	}
	return p, nil
}

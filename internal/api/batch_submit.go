package api

import (
	"context"

	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
)

// BatchSubmitTasks submits many tasks. Items that obey the contract are submitted together; every other is refused as
// the interceptors would refuse it alone.
func (s *TaskService) BatchSubmitTasks(ctx context.Context, req *refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error) {
	results := make([]*refractv1.BatchSubmitTasksResult, len(req.GetRequests()))
	var valid []lifecycle.Submission
	var places []int // Of the valid ones in the request.
	for i, item := range req.GetRequests() {
		if err := s.validate(item); err != nil {
			results[i] = s.refused(ctx, err)
			continue
		}
		valid = append(valid, lifecycle.Submission{RequestID: item.GetRequestId(), Spec: specOf(item)})
		places = append(places, i)
	}
	for j, r := range s.lifecycle.SubmitAll(ctx, tenantOf(ctx), valid) {
		i := places[j]
		if r.Err != nil {
			results[i] = s.refused(ctx, r.Err)
			continue
		}
		results[i] = &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Task{Task: s.task(&r.Task)}}
	}
	return &refractv1.BatchSubmitTasksResponse{Results: results}, nil
}

// refused is the result of an item that was not submitted.
func (s *TaskService) refused(ctx context.Context, err error) *refractv1.BatchSubmitTasksResult {
	st := status.Convert(s.statuses.Convert(ctx, refractv1.TaskService_BatchSubmitTasks_FullMethodName, err))
	return &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Status{Status: st.Proto()}}
}

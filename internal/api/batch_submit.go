package api

import (
	"context"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/publicerr"
)

// BatchSubmitTasks submits many tasks. The valid items are submitted together. Each other item is refused as SubmitTask would
// refuse it.
func (s *TaskService) BatchSubmitTasks(ctx context.Context, req *refractv1.BatchSubmitTasksRequest) (*refractv1.BatchSubmitTasksResponse, error) {
	results := make([]*refractv1.BatchSubmitTasksResult, len(req.GetRequests()))
	var valid []lifecycle.Submission
	var places []int // Of the valid ones in the request.
	for i, item := range req.GetRequests() {
		if err := ctx.Err(); err != nil {
			return nil, err // The caller has gone.
		}
		if err := obeys(item, protovalidate.GlobalValidator); err != nil {
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
	shrink(results)
	return &refractv1.BatchSubmitTasksResponse{Results: results}, nil
}

// shrink makes results fit into an answer. From the last result on, statuses lose all details but their ErrorInfo. Where that is
// not enough, tasks lose what the caller knows.
func shrink(results []*refractv1.BatchSubmitTasksResult) {
	sizes := make([]int, len(results))
	total := 0
	for i, r := range results {
		sizes[i] = itemSize(r)
		total += sizes[i]
	}
	for _, short := range []func(*refractv1.BatchSubmitTasksResult) *refractv1.BatchSubmitTasksResult{shortStatus, shortTask} {
		for i := len(results) - 1; i >= 0 && total > maxAnswer; i-- {
			results[i] = short(results[i])
			total -= sizes[i]
			sizes[i] = itemSize(results[i])
			total += sizes[i]
		}
	}
}

func shortStatus(r *refractv1.BatchSubmitTasksResult) *refractv1.BatchSubmitTasksResult {
	if r.GetStatus() == nil {
		return r
	}
	return &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Status{Status: publicerr.Brief(r.GetStatus())}}
}

func shortTask(r *refractv1.BatchSubmitTasksResult) *refractv1.BatchSubmitTasksResult {
	t := r.GetTask()
	if t == nil {
		return r
	}
	return &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Task{Task: &refractv1.Task{
		Id: t.GetId(), RequestId: t.GetRequestId(), State: t.GetState(), Revision: t.GetRevision(),
	}}}
}

// refused is the result of an item that was not submitted.
func (s *TaskService) refused(ctx context.Context, err error) *refractv1.BatchSubmitTasksResult {
	st := status.Convert(s.statuses.Convert(ctx, refractv1.TaskService_BatchSubmitTasks_FullMethodName, err))
	return &refractv1.BatchSubmitTasksResult{Outcome: &refractv1.BatchSubmitTasksResult_Status{Status: st.Proto()}}
}

package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/task"
)

// ListTasks lists tasks.
func (s *TaskService) ListTasks(ctx context.Context, req *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
	before, err := parseTaskPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	found, err := s.tasks.ListTasks(ctx, task.Filter{
		Tenant: tenantOf(ctx), Before: before, States: statesOf(req.GetStates()), Reasons: reasonsOf(req.GetFailureReasons()),
		Models: req.GetModels(), Offerings: s.offeringsOf(req.GetModels()), Providers: req.GetProviders(), Labels: req.GetLabels(), Text: req.GetText(),
		FromTime: timeOf(req.GetCreateTimeFrom()), ToTime: timeOf(req.GetCreateTimeTo()), Limit: size + 1, LimitBytes: listBytes,
	})
	if err != nil {
		return nil, err
	}
	page, more := fill(found.Tasks, size, s.task)
	resp := &refractv1.ListTasksResponse{Tasks: page}
	switch searched := found.SearchedTo; {
	case more && found.Named && len(page) == 1:
		resp.NextPageToken = taskPageToken(newestID)
	case more:
		resp.NextPageToken = taskPageToken(found.Tasks[len(page)-1].ID)
	case searched != nil:
		resp.NextPageToken, resp.SearchedToTime = taskPageToken(searched.ID), timestamppb.New(searched.CreateTime)
	}
	return resp, nil
}

// newestID sorts after all ids of tasks.
const newestID task.ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// offeringsOf returns how tasks name models at providers other than by the names of ours.
func (s *TaskService) offeringsOf(models []string) []task.Offering {
	if s.catalog == nil {
		return nil
	}
	var offerings []task.Offering
	for _, name := range models {
		model := s.catalog().Model(name)
		if model == nil {
			continue
		}
		for _, o := range model.Offerings {
			offerings = append(offerings, task.Offering{Provider: o.Provider, Model: o.Remote})
			if o.Default {
				offerings = append(offerings, task.Offering{Provider: o.Provider})
			}
		}
	}
	return offerings
}

// timeOf returns the time of a field that may be absent.
func timeOf(ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	return ts.AsTime()
}

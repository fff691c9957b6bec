package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/task"
)

// GetTaskStatistics returns statistics of the caller's tasks.
func (s *TaskService) GetTaskStatistics(ctx context.Context, req *refractv1.GetTaskStatisticsRequest) (*refractv1.GetTaskStatisticsResponse, error) {
	m, err := taskStatistics(ctx, s.statistics, s.explainer, tenantOf(ctx), req.GetPeriod())
	if err != nil {
		return nil, err
	}
	return &refractv1.GetTaskStatisticsResponse{Statistics: m}, nil
}

// defaultPeriod is the period of statistics where the request has none.
const defaultPeriod = 24 * time.Hour

// taskStatistics returns statistics of a tenant, or of all tenants for an empty one, with what the tasks wait for.
func taskStatistics(ctx context.Context, reader *statistics.Reader, x *explain.Explainer, tenant string, period *durationpb.Duration) (*refractv1.TaskStatistics, error) {
	d := defaultPeriod
	if period != nil {
		d = period.AsDuration()
	}
	figures, err := reader.Read(ctx, tenant, d)
	if err != nil {
		return nil, err
	}
	ids := make([]task.ID, len(figures.Waiting))
	for i, w := range figures.Waiting {
		ids[i] = w.ID
	}
	causes, err := x.Waiting(ctx, ids)
	if err != nil {
		return nil, err
	}
	return statisticsOf(&figures, causes), nil
}

// statisticsOf converts statistics and the causes for which tasks wait.
func statisticsOf(f *statistics.Statistics, causes map[task.ID]*task.Waiting) *refractv1.TaskStatistics {
	m := &refractv1.TaskStatistics{
		FromTime: timestamppb.New(f.From), ToTime: timestamppb.New(f.To), Complete: f.Complete, Tasks: count32(f.Tasks),
	}
	for _, i := range f.Intervals {
		m.Intervals = append(m.Intervals, &refractv1.TaskInterval{
			StartTime: timestamppb.New(i.Start), Created: count32(i.Created), Succeeded: count32(i.Succeeded), Failed: count32(i.Failed), Canceled: count32(i.Canceled),
		})
	}
	for _, c := range f.States {
		m.States = append(m.States, &refractv1.TaskStateCount{State: stateOf(c.State), Tasks: count32(c.Tasks)})
	}
	for _, t := range f.StateTimes {
		m.StateTimes = append(m.StateTimes, &refractv1.TaskStateTime{
			State: stateOf(t.State), Tasks: count32(t.Tasks), Median: durationpb.New(t.Median), Percentile_95: durationpb.New(t.Percentile95),
		})
	}
	for _, c := range f.Failures {
		m.Failures = append(m.Failures, &refractv1.FailureCount{Reason: reasonOf(c.Reason), Tasks: count32(c.Tasks)})
	}
	for _, w := range f.Waiting {
		m.OldestWaiting = append(m.OldestWaiting, &refractv1.WaitingTask{
			TaskId: string(w.ID), Tenant: w.Tenant, Provider: w.Provider, Model: w.Model, StateTime: timestamppb.New(w.Since), Waiting: waiting(causes[w.ID]),
		})
	}
	return m
}

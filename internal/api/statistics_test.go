package api

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/task"
)

// samples has an empty sample for every period, and the periods that were read.
type samples struct{ read []string }

func (s *samples) Sample(_ context.Context, tenant string, period time.Duration) (statistics.Sample, error) {
	s.read = append(s.read, tenant+" "+period.String())
	return statistics.Sample{From: noon, To: noon.Add(period), Complete: true}, nil
}

func TestStatistics_AreThoseOfTheCallerAndThePeriod(t *testing.T) {
	t.Parallel()
	store := &samples{}
	conn, _ := serveInMemory(t, Config{Tasks: NewTaskService(TaskServiceConfig{Statistics: statistics.NewReader(store), Explainer: explain.New(explain.Config{})})})
	client := refractv1.NewTaskServiceClient(conn)
	for _, period := range []*durationpb.Duration{nil, durationpb.New(time.Minute), durationpb.New(time.Minute)} {
		resp, err := client.GetTaskStatistics(as(t, "good"), &refractv1.GetTaskStatisticsRequest{Period: period})
		if err != nil || !resp.GetStatistics().GetComplete() {
			t.Fatalf("statistics of %v: %v, %v", period, resp, err)
		}
	}
	// The same figures are given again for a few seconds.
	if want := []string{"acme 24h0m0s", "acme 1m0s"}; !cmp.Equal(store.read[:2], want) {
		t.Errorf("read %q, want %q", store.read, want)
	}
	for _, period := range []time.Duration{0, time.Second, 31 * 24 * time.Hour} {
		_, err := client.GetTaskStatistics(as(t, "good"), &refractv1.GetTaskStatisticsRequest{Period: durationpb.New(period)})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("a period of %s: %v, want INVALID_ARGUMENT", period, err)
		}
	}
}

func TestStatisticsOf_HasEveryFigure(t *testing.T) {
	t.Parallel()
	const id task.ID = "01990000-0000-7000-8000-000000000001"
	got := statisticsOf(&statistics.Statistics{
		From: noon, To: noon.Add(time.Hour), Complete: true, Tasks: 9,
		Intervals:  []statistics.Interval{{Start: noon, Created: 4, Succeeded: 3, Failed: 2, Canceled: 1}},
		States:     []statistics.StateCount{{State: task.Queued, Tasks: 5}},
		StateTimes: []statistics.StateTime{{State: task.Running, Tasks: 6, Median: time.Second, Percentile95: time.Minute}},
		Failures:   []statistics.ReasonCount{{Reason: task.OutputInvalid, Tasks: 7}},
		Waiting:    []statistics.Waiting{{ID: id, Tenant: "acme", Provider: "kie", Model: "m", Since: noon}, {ID: "other", Since: noon}},
	}, map[task.ID]*task.Waiting{id: {Cause: task.WaitAdmission, Message: "soon"}})
	want := &refractv1.TaskStatistics{
		FromTime: timestamppb.New(noon), ToTime: timestamppb.New(noon.Add(time.Hour)), Complete: true, Tasks: 9,
		Intervals:  []*refractv1.TaskInterval{{StartTime: timestamppb.New(noon), Created: 4, Succeeded: 3, Failed: 2, Canceled: 1}},
		States:     []*refractv1.TaskStateCount{{State: refractv1.TaskState_TASK_STATE_QUEUED, Tasks: 5}},
		StateTimes: []*refractv1.TaskStateTime{{State: refractv1.TaskState_TASK_STATE_RUNNING, Tasks: 6, Median: durationpb.New(time.Second), Percentile_95: durationpb.New(time.Minute)}},
		Failures:   []*refractv1.FailureCount{{Reason: refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID, Tasks: 7}},
		OldestWaiting: []*refractv1.WaitingTask{
			{TaskId: string(id), Tenant: "acme", Provider: "kie", Model: "m", StateTime: timestamppb.New(noon), Waiting: waiting(&task.Waiting{Cause: task.WaitAdmission, Message: "soon"})},
			{TaskId: "other", StateTime: timestamppb.New(noon)},
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
}

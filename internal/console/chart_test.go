package console

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestColumnChart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		values []int32
		top    int32
		want   []shape
	}{
		"no interval":         {},
		"zeros have no shape": {values: []int32{0, 0}, top: 0},
		"to scale":            {[]int32{5, 0, 10}, 10, []shape{{"created", "1", "50", "8", "50"}, {"created", "21", "0", "8", "100"}}},
		"small ones are seen": {[]int32{1}, 1_000_000, []shape{{"created", "1", "97", "8", "3"}}},
		"never above the top": {[]int32{20}, 10, []shape{{"created", "1", "0", "8", "100"}}},
		"no negative ones":    {values: []int32{-5}, top: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, columnChart("id", "title", "created", tt.values, tt.top).Shapes); diff != "" {
				t.Errorf("columnChart(%v, top %d): (-want +got)\n%s", tt.values, tt.top, diff)
			}
		})
	}
}

func TestBarChart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  float64
		part float64
		want []shape
	}{
		"to scale":               {10, 5, []shape{{"median", "0", "0", "500", "20"}}},
		"nothing":                {10, 0, nil},
		"never beyond the end":   {10, 50, []shape{{"median", "0", "0", "1000", "20"}}},
		"no end":                 {0, 5, []shape{{"median", "0", "0", "3", "20"}}},
		"an end without measure": {math.Inf(1), 5, []shape{{"median", "0", "0", "3", "20"}}},
		"no number":              {10, math.NaN(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, barChart("id", "title", "", tt.end, barPart{"median", tt.part}).Shapes); diff != "" {
				t.Errorf("barChart(%v of %v): (-want +got)\n%s", tt.part, tt.end, diff)
			}
		})
	}
}

func TestCountText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := countText(n); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
}

// statistics returns those of a busy day.
func statistics() *refractv1.TaskStatistics {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s := &refractv1.TaskStatistics{
		FromTime: timestamppb.New(now.Add(-24 * time.Hour)), ToTime: timestamppb.New(now), Tasks: 10000,
		States: []*refractv1.TaskStateCount{
			{State: refractv1.TaskState_TASK_STATE_QUEUED, Tasks: 41},
			{State: refractv1.TaskState_TASK_STATE_RUNNING, Tasks: 12},
			{State: refractv1.TaskState_TASK_STATE_SUCCEEDED, Tasks: 9214},
			{State: refractv1.TaskState_TASK_STATE_FAILED, Tasks: 701},
		},
		StateTimes: []*refractv1.TaskStateTime{
			{State: refractv1.TaskState_TASK_STATE_QUEUED, Tasks: 9900, Median: durationpb.New(4 * time.Second), Percentile_95: durationpb.New(95 * time.Second)},
			{State: refractv1.TaskState_TASK_STATE_SUBMITTING, Tasks: 9900, Median: durationpb.New(800 * time.Millisecond), Percentile_95: durationpb.New(3 * time.Second)},
			{State: refractv1.TaskState_TASK_STATE_RUNNING, Tasks: 9900, Median: durationpb.New(5 * time.Minute), Percentile_95: durationpb.New(13 * time.Minute)},
		},
		Failures: []*refractv1.FailureCount{
			{Reason: refractv1.FailureReason_FAILURE_REASON_CONTENT_MODERATED, Tasks: 402},
			{Reason: refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED, Tasks: 120},
			{Reason: refractv1.FailureReason_FAILURE_REASON_UNSPECIFIED, Tasks: 1},
		},
		OldestWaiting: []*refractv1.WaitingTask{{
			TaskId: "019a1f50-0000-7000-8000-000000000001", Tenant: "films", Provider: "kie", Model: "luma/ray-2-modify", StateTime: timestamppb.New(now.Add(-3 * time.Hour)),
			Waiting: &refractv1.Waiting{Cause: refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED, Message: "The account kie is paused: <no credits>."},
		}},
	}
	for i := range 48 {
		s.Intervals = append(s.Intervals, &refractv1.TaskInterval{
			StartTime: timestamppb.New(now.Add(time.Duration(i-48) * 30 * time.Minute)), Created: int32(200 + 90*math.Sin(float64(i)/6)),
			Succeeded: int32(180 + 80*math.Sin(float64(i)/6-.5)), Failed: int32(i % 20), Canceled: int32(i % 3),
		})
	}
	return s
}

// render returns a page as a visitor sees it.
func render(t *testing.T, name string, data any) string {
	t.Helper()
	var page bytes.Buffer
	if err := pages()[name].ExecuteTemplate(&page, "layout", view{Title: name, Caller: &Caller{Tenant: "films"}, Page: data}); err != nil {
		t.Fatalf("page %s: %v", name, err)
	}
	return page.String()
}

func TestOverview_ShowsFiguresAsChartsAndAsTables(t *testing.T) {
	t.Parallel()
	page, _ := newOverviewPage("24h", "")
	page.Figures = newFigures(statistics())
	page.Service = &serviceState{
		Admission: &refractv1.Admission{Message: "The database was set back.", CloseTime: timestamppb.Now()},
		Paused:    []*refractv1.ProviderAccount{{Account: "kie", Pause: &refractv1.ProviderPause{Reason: "no credits", ByOperator: true}}},
		Stuck:     []*refractv1.StuckTask{{TaskId: "019a1f50-0000-7000-8000-000000000002", Tenant: "films", State: refractv1.TaskState_TASK_STATE_RUNNING, Advice: "Check the task."}},
	}
	got := render(t, "overview", page)
	for _, want := range []string{
		"the newest 10,000 tasks", "A column is 30 min.", `<th scope="row">QUEUED</th><td class="number">4 s</td><td class="number">1 min 35 s</td>`,
		`<th scope="row">Content moderated</th><td class="number">402</td>`, `<rect class="failed"`, `aria-labelledby="throughput-failed-title throughput-failed-desc"`,
		"The account kie is paused: &lt;no credits&gt;.", "Admission is closed", "The database was set back.", "kie is paused", "Check the task.",
		`href="/tasks/019a1f50-0000-7000-8000-000000000002"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got, "style=") || strings.Contains(got, "<no credits>") {
		t.Error("the page has an inline style, or text of a task as markup")
	}
}

func TestOverview_SaysThatThereIsNothing(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*refractv1.TaskStatistics{
		"an empty period": {Complete: true, FromTime: timestamppb.Now(), ToTime: timestamppb.Now(), Intervals: []*refractv1.TaskInterval{{}}},
		"nothing at all":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, _ := newOverviewPage("", "")
			page.Figures = newFigures(s)
			got := render(t, "overview", page)
			for _, want := range []string{"No task was created in the last 24 hours.", "There is nothing to count", "No task waits."} {
				if !strings.Contains(got, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
}

func TestOverview_KeepsTheTenantInItsLinks(t *testing.T) {
	t.Parallel()
	page, length := newOverviewPage("7d", "a&b")
	if length != 7*24*time.Hour || page.Period != "7 days" {
		t.Errorf("the period 7d is %v, %q", length, page.Period)
	}
	want := []periodLink{
		{"1 hour", "/overview?period=1h&tenant=a%26b", false},
		{"24 hours", "/overview?period=24h&tenant=a%26b", false},
		{"7 days", "/overview?period=7d&tenant=a%26b", true},
		{"30 days", "/overview?period=30d&tenant=a%26b", false},
	}
	if diff := cmp.Diff(want, page.Periods); diff != "" {
		t.Errorf("links of the periods: (-want +got)\n%s", diff)
	}
	if page, length = newOverviewPage("5y", ""); length != 24*time.Hour || page.Key != "24h" {
		t.Errorf("an unknown period is %v, %q, want the default", length, page.Key)
	}
}

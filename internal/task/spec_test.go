package task_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/task"
)

func TestSpec_DifferencesNamesFieldsAsTheContractDoes(t *testing.T) {
	t.Parallel()
	base := task.Spec{
		Prompt: "make it rain", SourceURI: "https://example.com/in.mp4", Watermark: "studio", Provider: "kie",
		Priority: 1, Labels: map[string]string{"team": "films"}, Deadline: time.Hour, MaxAttempts: 2,
	}
	for _, tc := range []struct {
		name   string
		change func(*task.Spec)
		want   []string
	}{
		{"nothing", func(*task.Spec) {}, nil},
		{"equal labels in another map", func(s *task.Spec) { s.Labels = maps.Clone(s.Labels) }, nil},
		{"prompt", func(s *task.Spec) { s.Prompt = "make it snow" }, []string{"prompt"}},
		{"source", func(s *task.Spec) { s.SourceURI = "https://example.com/other.mp4" }, []string{"source.uri"}},
		{"uploaded source", func(s *task.Spec) { s.SourceID = "0190b0a8-5a0b-7c1e-8f00-000000000001" }, []string{"source.source_id"}},
		{"watermark", func(s *task.Spec) { s.Watermark = "" }, []string{"watermark"}},
		{"strength", func(s *task.Spec) { s.Strength = "flex_1" }, []string{"strength"}},
		{"model", func(s *task.Spec) { s.Model = "ray-2" }, []string{"model"}},
		{"first frame", func(s *task.Spec) { s.FirstFrameURI = "https://example.com/a.png" }, []string{"first_frame_uri"}},
		{"provider", func(s *task.Spec) { s.Provider = "luma" }, []string{"provider"}},
		{"fallbacks", func(s *task.Spec) { s.Fallbacks = []string{"luma"} }, []string{"fallback_providers"}},
		{"priority", func(s *task.Spec) { s.Priority = -1 }, []string{"priority"}},
		{"value of a label", func(s *task.Spec) { s.Labels = map[string]string{"team": "ads"} }, []string{"labels"}},
		{"further label", func(s *task.Spec) { s.Labels = map[string]string{"team": "films", "x": ""} }, []string{"labels"}},
		{"no labels", func(s *task.Spec) { s.Labels = nil }, []string{"labels"}},
		{"deadline", func(s *task.Spec) { s.Deadline++ }, []string{"deadline"}},
		{"attempts", func(s *task.Spec) { s.MaxAttempts = 3 }, []string{"max_attempts"}},
		{"webhook", func(s *task.Spec) { s.WebhookURI = "https://example.com/hook" }, []string{"webhook_uri"}},
		{
			"everything", func(s *task.Spec) { *s = task.Spec{} },
			[]string{"prompt", "source.uri", "watermark", "provider", "priority", "labels", "deadline", "max_attempts"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			other := base
			tc.change(&other)
			if diff := cmp.Diff(tc.want, base.Differences(other)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, other.Differences(base)); diff != "" {
				t.Errorf("differences the other way round (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpec_NoLabelsAndEmptyLabelsAreTheSame(t *testing.T) {
	t.Parallel()
	if got := (task.Spec{Labels: map[string]string{}}).Differences(task.Spec{}); got != nil {
		t.Errorf("got differences %v, want none", got)
	}
}

package lifecycle_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

func TestSubmit_ConcurrentCallsMakeOneTask(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var mu sync.Mutex
	ids := make(map[task.ID]int)
	errs := atOnce(t.Context(), 50, func(ctx context.Context, _ int) error {
		submitted, err := s.Submit(ctx, "films", "r1", plain())
		mu.Lock()
		defer mu.Unlock()
		ids[submitted.ID]++
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 1 {
		t.Errorf("50 calls returned %d tasks, want 1", len(ids))
	}
	if n := query[int](t, s, "SELECT count(*) FROM task"); n != 1 {
		t.Errorf("%d tasks are stored, want 1", n)
	}
	if n := query[int](t, s, "SELECT count(*) FROM task_event"); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

func TestSubmit_ConflictNamesEveryFieldThatDiffers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first := plain()
	first.Labels = map[string]string{"team": "a"}
	submitted, err := s.Submit(t.Context(), "films", "r1", first)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*task.Spec)
		want   []string
	}{
		"same":             {func(*task.Spec) {}, nil},
		"defaults spelled": {func(s *task.Spec) { s.Deadline, s.MaxAttempts = 6*time.Hour, 1 }, nil},
		"provider named":   {func(s *task.Spec) { s.Provider = "kie" }, []string{"provider"}}, // It may not be the route's any more.
		"prompt":           {func(s *task.Spec) { s.Prompt = "x" }, []string{"prompt"}},
		"source":           {func(s *task.Spec) { s.SourceURI = "https://example.com/b" }, []string{"source.uri"}},
		"watermark":        {func(s *task.Spec) { s.Watermark = "x" }, []string{"watermark"}},
		"priority":         {func(s *task.Spec) { s.Priority = 1 }, []string{"priority"}},
		"labels":           {func(s *task.Spec) { s.Labels = nil }, []string{"labels"}},
		"label":            {func(s *task.Spec) { s.Labels = map[string]string{"team": "b"} }, []string{"labels"}},
		"deadline":         {func(s *task.Spec) { s.Deadline = time.Hour }, []string{"deadline"}},
		"attempts":         {func(s *task.Spec) { s.MaxAttempts = 2 }, []string{"max_attempts"}},
		"several":          {func(s *task.Spec) { s.Prompt, s.MaxAttempts = "x", 2 }, []string{"prompt", "max_attempts"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := first
			test.change(&spec)
			got, err := s.Submit(t.Context(), "films", "r1", spec)
			if test.want == nil {
				if err != nil || got.ID != submitted.ID {
					t.Errorf("Submit = task %s, %v, want task %s", got.ID, err, submitted.ID)
				}
				return
			}
			conflict, ok := errors.AsType[*lifecycle.ConflictError](err)
			if !ok {
				t.Fatalf("Submit = %v, want a ConflictError", err)
			}
			if diff := cmp.Diff(&lifecycle.ConflictError{TaskID: submitted.ID, Fields: test.want}, conflict); diff != "" {
				t.Errorf("conflict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSubmit_RepeatsWithEveryDeadline(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, deadline := range []time.Duration{0, time.Second, time.Hour + time.Nanosecond, 7*24*time.Hour - time.Nanosecond, 1234567890123456} {
		spec := plain()
		spec.Deadline = deadline
		requestID := newID()
		first, err := s.Submit(t.Context(), "films", requestID, spec)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Submit(t.Context(), "films", requestID, spec)
		if err != nil {
			t.Errorf("a repeated Submit with deadline %s = %v, want the first task", deadline, err)
			continue
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("a repeated Submit with deadline %s returns another task (-first +second):\n%s", deadline, diff)
		}
	}
}

func TestSubmit_OtherTenantsHaveTheirOwnRequestIDs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, err := s.Submit(t.Context(), "films", "r1", plain())
	if err != nil {
		t.Fatal(err)
	}
	other := plain()
	other.Prompt = "make it rain"
	second, err := s.Submit(t.Context(), "shorts", "r1", other)
	if err != nil || second.ID == first.ID {
		t.Errorf("Submit of another tenant = task %s, %v, want a new task", second.ID, err)
	}
}

func TestSubmit_RefusesFieldsByName(t *testing.T) {
	t.Parallel()
	s := setup(t)
	tests := map[string]struct {
		change func(*task.Spec)
		field  string
	}{
		"unknown provider": {func(s *task.Spec) { s.Provider = "nobody" }, "provider"},
		"bad source":       {func(s *task.Spec) { s.SourceURI = "ftp://example.com" }, "source.uri"},
		"bad webhook":      {func(s *task.Spec) { s.WebhookURI = "https://private.example.com" }, "webhook_uri"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := plain()
			test.change(&spec)
			_, err := s.Submit(t.Context(), "films", newID(), spec)
			if fe, ok := errors.AsType[*lifecycle.FieldError](err); !ok || fe.Field != test.field {
				t.Errorf("Submit = %v, want a FieldError of %s", err, test.field)
			}
			if n := query[int](t, s, "SELECT count(*) FROM task"); n != 0 {
				t.Errorf("%d tasks are stored, want none", n)
			}
		})
	}
}

func TestSubmit_TakesTheTenantsOwnSources(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := task.SourceID(newID())
	s.exec(t, `INSERT INTO source (id, tenant, sha256, size_bytes, content_type, duration_us, width, height, flaw, key, last_use_time)
		VALUES ($1, 'films', sha256(''), 1, '', 0, 0, 0, '', 'k', now() - interval '1 day')`, id)
	spec := task.Spec{Prompt: "make it snow", SourceID: id}
	first, err := s.Submit(t.Context(), "films", "r1", spec)
	if err != nil || first.Spec.SourceID != id {
		t.Fatalf("submit: %v, source %q, want %q", err, first.Spec.SourceID, id)
	}
	if !query[bool](t, s, "SELECT last_use_time > now() - interval '1 minute' FROM source") {
		t.Error("the source does not count as used")
	}
	if _, err := s.Submit(t.Context(), "ads", "r1", spec); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("another tenant's source: %v, want ErrNotFound", err)
	}
	s.exec(t, "UPDATE source SET state = 'EXPIRED'")
	if _, err := s.Submit(t.Context(), "films", "r2", spec); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("an expired source: %v, want ErrNotFound", err)
	}
	again, err := s.Submit(t.Context(), "films", "r1", spec)
	if err != nil || again.ID != first.ID {
		t.Errorf("the first submission again: %v, task %s, want %s", err, again.ID, first.ID)
	}
}

package task_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/task"
)

func TestNewAttemptID_IsAUUIDThatDependsOnTaskAndNumberAlone(t *testing.T) {
	t.Parallel()
	id := task.ID(uuid.Must(uuid.NewV7()).String())
	first := task.NewAttemptID(id, 1)
	parsed, err := uuid.Parse(string(first))
	if err != nil || parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 || parsed.String() != string(first) {
		t.Errorf("%s is no UUID of version 7: %v", first, err)
	}
	if again := task.NewAttemptID(id, 1); again != first {
		t.Errorf("the same attempt is %s and then %s", first, again)
	}
	if first[:18] != task.AttemptID(id[:18]) {
		t.Errorf("the time of %s is not the one of task %s", first, id)
	}
	other := task.ID(string(id[:18]) + "-8000-000000000000")
	for name, id := range map[string]task.AttemptID{"the next attempt": task.NewAttemptID(id, 2), "an attempt of another task": task.NewAttemptID(other, 1)} {
		if id == first {
			t.Errorf("%s has the id of the first", name)
		}
	}
}

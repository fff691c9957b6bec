package admission_test

import (
	"math"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// TestProbe_IndependentWitnessesGoFirst has the order in which tasks probe, and who may before a pause ends.
func TestProbe_IndependentWitnessesGoFirst(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	fresh := func(id task.ID, since int64) admission.QueuedTask {
		return admission.QueuedTask{Task: id, Time: at(since)}
	}
	refused := func(id task.ID, since, when int64) admission.QueuedTask {
		return admission.QueuedTask{Task: id, Time: at(since), Refused: at(when)}
	}
	queue := func(tenant string, refused bool, places ...admission.QueuedTask) admission.TenantQueue {
		return admission.TenantQueue{Tenant: tenant, Weight: 1, Left: math.MaxInt, Refused: refused, Tasks: places}
	}
	full := queue("full", false, fresh("f", 0))
	full.Left = 0
	for _, tc := range []struct {
		name    string
		probers admission.Probers
		queues  []admission.TenantQueue
		want    task.ID // Empty where none may probe.
	}{
		{"another tenant's task goes before an older one", admission.AllTasks, []admission.TenantQueue{queue("a", true, fresh("a1", 1), refused("a0", 0, 9)), queue("b", false, fresh("b", 8))}, "b"},
		{"another task goes before the one that was refused", admission.AllTasks, []admission.TenantQueue{queue("a", true, fresh("a1", 8), refused("a0", 0, 9))}, "a1"},
		{"the oldest refusal goes first", admission.AllTasks, []admission.TenantQueue{queue("a", true, refused("a0", 0, 9), refused("a1", 1, 7)), queue("b", true, refused("b", 2, 8))}, "a1"},
		{"the only task goes again", admission.AllTasks, []admission.TenantQueue{queue("a", true, refused("a0", 0, 9))}, "a0"},
		{"equals go by share and age", admission.AllTasks, []admission.TenantQueue{queue("a", false, fresh("a", 5)), queue("b", false, fresh("b", 4))}, "b"},
		{"a tenant with its quota spent is passed over", admission.AllTasks, []admission.TenantQueue{full, queue("b", true, refused("b", 2, 8))}, "b"},
		{"early in the pause only other tenants", admission.OtherTenants, []admission.TenantQueue{queue("a", true, fresh("a1", 1), refused("a0", 0, 9))}, ""},
		{"early in the pause another tenant", admission.OtherTenants, []admission.TenantQueue{queue("a", true, fresh("a1", 1)), queue("b", false, fresh("b", 8))}, "b"},
		{"later in the pause another task", admission.OtherTasks, []admission.TenantQueue{queue("a", true, refused("a0", 0, 9), fresh("a1", 8))}, "a1"},
		{"within the pause none that was refused", admission.OtherTasks, []admission.TenantQueue{queue("a", true, refused("a0", 0, 9))}, ""},
		{"while an operator pauses, none", admission.NoTasks, []admission.TenantQueue{queue("b", false, fresh("b", 8))}, ""},
		{"no task waits", admission.AllTasks, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, ok := admission.Probe(admission.Usage{Account: "kie", Probers: tc.probers}, tc.queues)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("Probe = %q, %t, want %q", got, ok, tc.want)
			}
		})
	}
}

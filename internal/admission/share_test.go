package admission_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// queue is the queue of a tenant with n tasks, which began to wait so many seconds after the others'.
func queue(tenant string, weight, used, n, began int) admission.TenantQueue {
	q := admission.TenantQueue{Tenant: tenant, Weight: weight, Used: used, Left: math.MaxInt}
	for i := range n {
		q.Tasks = append(q.Tasks, admission.QueuedTask{Task: task.ID(fmt.Sprintf("%s%d", tenant, i)), Time: time.Unix(int64(began+i), 0)})
	}
	if n > 0 {
		q.First = q.Tasks[0].Time
	}
	return q
}

// quota bounds what a tenant may still have.
func quota(q admission.TenantQueue, left int) admission.TenantQueue {
	q.Left = left
	return q
}

func TestShare_ChoosesByShareThenAge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		permits int
		queues  []admission.TenantQueue
		want    []task.ID
	}{
		{"no task waits", 3, nil, nil},
		{"no permit", 0, []admission.TenantQueue{queue("a", 1, 0, 2, 0)}, nil},
		{"one tenant gets all", 3, []admission.TenantQueue{queue("a", 1, 9, 4, 0)}, []task.ID{"a0", "a1", "a2"}},
		{"equals take turns, the oldest first", 4, []admission.TenantQueue{queue("a", 1, 0, 4, 5), queue("b", 1, 0, 4, 0)}, []task.ID{"b0", "a0", "b1", "a1"}},
		{"a tenant that has nothing goes before one that waits longer", 2, []admission.TenantQueue{queue("a", 1, 1, 9, 0), queue("b", 1, 0, 1, 99)}, []task.ID{"b0", "a0"}},
		{"weight is a share", 4, []admission.TenantQueue{queue("a", 3, 0, 9, 0), queue("b", 1, 0, 9, 0)}, []task.ID{"a0", "b0", "a1", "a2"}},
		{"what is in flight counts", 3, []admission.TenantQueue{queue("a", 1, 2, 9, 0), queue("b", 1, 0, 9, 9)}, []task.ID{"b0", "b1", "a0"}},
		{"a quota ends a turn", 3, []admission.TenantQueue{quota(queue("a", 1, 0, 9, 0), 1), queue("b", 1, 5, 9, 0)}, []task.ID{"a0", "b0", "b1"}},
		{"a quota that is spent leaves nothing", 2, []admission.TenantQueue{quota(queue("a", 1, 0, 9, 0), -1)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, admission.Share(tc.permits, tc.queues, &admission.Rooms{})); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// A tenant with a permit too many would have taken it from one that has less for its weight.
func TestShare_IsFairWhateverWaits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		queues := make([]admission.TenantQueue, rapid.IntRange(0, 6).Draw(t, "tenants"))
		for i := range queues {
			queues[i] = queue(string(rune('a'+i)), rapid.IntRange(1, 4).Draw(t, "weight"), rapid.IntRange(0, 5).Draw(t, "used"),
				rapid.IntRange(0, 8).Draw(t, "tasks"), rapid.IntRange(0, 9).Draw(t, "began"))
		}
		permits := rapid.IntRange(0, 20).Draw(t, "permits")
		chosen := admission.Share(permits, queues, &admission.Rooms{})
		waiting := 0
		got := map[string]int{}
		for _, q := range queues {
			waiting += len(q.Tasks)
			for _, p := range q.Tasks {
				if slices.Contains(chosen, p.Task) {
					got[q.Tenant]++
				}
			}
			for _, p := range q.Tasks[:got[q.Tenant]] {
				if !slices.Contains(chosen, p.Task) {
					t.Fatalf("%s was passed over in its queue", p.Task)
				}
			}
		}
		if total := len(chosen); total != min(permits, waiting) || len(slices.Compact(slices.Sorted(slices.Values(chosen)))) != total {
			t.Fatalf("chose %v for %d permits and %d tasks", chosen, permits, waiting)
		}
		for _, rich := range queues {
			for _, poor := range queues {
				if got[rich.Tenant] > 0 && got[poor.Tenant] < len(poor.Tasks) &&
					(rich.Used+got[rich.Tenant]-1)*poor.Weight > (poor.Used+got[poor.Tenant])*rich.Weight {
					t.Fatalf("%s got a permit before %s, which has less: %v", rich.Tenant, poor.Tenant, maps.Collect(maps.All(got)))
				}
			}
		}
	})
}

func TestShare_PassesOverTasksWhoseOfferingHasNoRoom(t *testing.T) {
	t.Parallel()
	q := queue("a", 1, 0, 5, 0)
	for i, model := range []string{"slow", "slow-1", "slow", "", "slow"} {
		q.Tasks[i].Model = model
	}
	var rooms admission.Rooms
	rooms.Add(admission.Offering{Model: "slow", Names: []string{"slow", "slow-1"}}, 2)
	if diff := cmp.Diff([]task.ID{"a0", "a1", "a3"}, admission.Share(5, []admission.TenantQueue{q}, &rooms)); diff != "" {
		t.Errorf("chosen (-want +got):\n%s", diff)
	}
}

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

// line is the line of a tenant with n tasks, which began to wait so many seconds after the others'.
func line(tenant string, weight, used, n, began int) admission.Line {
	l := admission.Line{Tenant: tenant, Weight: weight, Used: used, Left: math.MaxInt}
	for i := range n {
		l.Tasks = append(l.Tasks, admission.Place{Task: task.ID(fmt.Sprintf("%s%d", tenant, i)), Time: time.Unix(int64(began+i), 0)})
	}
	if n > 0 {
		l.First = l.Tasks[0].Time
	}
	return l
}

// quota bounds what a tenant may still have.
func quota(l admission.Line, left int) admission.Line {
	l.Left = left
	return l
}

func TestShare_ChoosesByShareThenAge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		permits int
		lines   []admission.Line
		want    []task.ID
	}{
		{"nobody waits", 3, nil, nil},
		{"no permit", 0, []admission.Line{line("a", 1, 0, 2, 0)}, nil},
		{"one tenant gets all", 3, []admission.Line{line("a", 1, 9, 4, 0)}, []task.ID{"a0", "a1", "a2"}},
		{"equals take turns, the oldest first", 4, []admission.Line{line("a", 1, 0, 4, 5), line("b", 1, 0, 4, 0)}, []task.ID{"b0", "a0", "b1", "a1"}},
		{"who has nothing goes before who waits longer", 2, []admission.Line{line("a", 1, 1, 9, 0), line("b", 1, 0, 1, 99)}, []task.ID{"b0", "a0"}},
		{"weight is a share", 4, []admission.Line{line("a", 3, 0, 9, 0), line("b", 1, 0, 9, 0)}, []task.ID{"a0", "b0", "a1", "a2"}},
		{"what is in flight counts", 3, []admission.Line{line("a", 1, 2, 9, 0), line("b", 1, 0, 9, 9)}, []task.ID{"b0", "b1", "a0"}},
		{"a quota ends a turn", 3, []admission.Line{quota(line("a", 1, 0, 9, 0), 1), line("b", 1, 5, 9, 0)}, []task.ID{"a0", "b0", "b1"}},
		{"a quota that is spent leaves nothing", 2, []admission.Line{quota(line("a", 1, 0, 9, 0), -1)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, admission.Share(tc.permits, tc.lines)); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// A tenant with a permit too many would have taken it from one that has less for its weight.
func TestShare_IsFairWhateverWaits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := make([]admission.Line, rapid.IntRange(0, 6).Draw(t, "tenants"))
		for i := range lines {
			lines[i] = line(string(rune('a'+i)), rapid.IntRange(1, 4).Draw(t, "weight"), rapid.IntRange(0, 5).Draw(t, "used"),
				rapid.IntRange(0, 8).Draw(t, "tasks"), rapid.IntRange(0, 9).Draw(t, "began"))
		}
		permits := rapid.IntRange(0, 20).Draw(t, "permits")
		chosen := admission.Share(permits, lines)
		waiting := 0
		got := map[string]int{}
		for _, l := range lines {
			waiting += len(l.Tasks)
			for _, p := range l.Tasks {
				if slices.Contains(chosen, p.Task) {
					got[l.Tenant]++
				}
			}
			for _, p := range l.Tasks[:got[l.Tenant]] {
				if !slices.Contains(chosen, p.Task) {
					t.Fatalf("%s was passed over in its line", p.Task)
				}
			}
		}
		if total := len(chosen); total != min(permits, waiting) || len(slices.Compact(slices.Sorted(slices.Values(chosen)))) != total {
			t.Fatalf("chose %v for %d permits and %d tasks", chosen, permits, waiting)
		}
		for _, rich := range lines {
			for _, poor := range lines {
				if got[rich.Tenant] > 0 && got[poor.Tenant] < len(poor.Tasks) &&
					(rich.Used+got[rich.Tenant]-1)*poor.Weight > (poor.Used+got[poor.Tenant])*rich.Weight {
					t.Fatalf("%s got a permit before %s, which has less: %v", rich.Tenant, poor.Tenant, maps.Collect(maps.All(got)))
				}
			}
		}
	})
}

package admission_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/admission"
)

// A queue that is left out would have got no permit.
func TestContenders_LeaveOutNoneThatSharesPermits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		queues := make([]admission.TenantQueue, rapid.IntRange(0, 8).Draw(t, "tenants"))
		for i := range queues {
			queues[i] = quota(queue(string(rune('a'+i)), rapid.IntRange(1, 4).Draw(t, "weight"), rapid.IntRange(0, 5).Draw(t, "used"),
				rapid.IntRange(1, 4).Draw(t, "tasks"), rapid.IntRange(0, 9).Draw(t, "began")), rapid.IntRange(-1, 3).Draw(t, "left"))
		}
		permits := rapid.IntRange(0, 8).Draw(t, "permits")
		want := admission.Share(permits, queues, &admission.Rooms{})
		contenders := admission.Contenders(slices.Clone(queues), permits)
		if len(contenders) > permits {
			t.Errorf("%d queues contend for %d permits", len(contenders), permits)
		}
		if got := admission.Share(permits, contenders, &admission.Rooms{}); !slices.Equal(got, want) {
			t.Errorf("contenders share %v, all queues %v", got, want)
		}
	})
}

package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMeter_SlidesInsteadOfResetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeter("p", Limit{N: 3, Window: 10 * time.Second})
		steps := []struct {
			wait time.Duration
			want bool
		}{
			{0, true}, {4 * time.Second, true}, {5 * time.Second, true}, // at 0, 4 and 9 s
			{time.Second - 1, false},     // just before 10 s: all three are inside
			{1, true},                    // at 10 s: the first has left
			{time.Second, false},         // at 11 s: 4, 9 and 10 are inside
			{3 * time.Second, true},      // at 14 s: 4 has left
			{time.Hour, true}, {0, true}, // a fresh window
			{0, true}, {0, false}, {0, false}, // full again; refused calls take no room
			{10 * time.Second, true},
		}
		for i, step := range steps {
			time.Sleep(step.wait) //nolint:forbidigo // In a bubble, where it takes no time.
			if got := m.take("k") == 0; got != step.want {
				t.Errorf("step %d: took %v, want %v", i, got, step.want)
			}
		}
		got := m.report()[0]
		if got.PeakAccepted != 3 || got.PeakArrived != 5 || got.Refused != 4 || got.Accepted != 9 {
			t.Errorf("usage %+v: want peaks 3 and 5, 9 accepted, 4 refused", got)
		}
	})
}

func TestMeter_WithoutALimitStillCounts(t *testing.T) {
	t.Parallel()
	m := newMeter("p", Limit{N: -1, Window: time.Hour})
	for range 100 {
		if m.take("k") != 0 {
			t.Fatal("refused")
		}
	}
	if got := m.report()[0].PeakAccepted; got != 100 {
		t.Errorf("peak %d, want 100", got)
	}
}

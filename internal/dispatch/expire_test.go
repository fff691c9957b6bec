package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/lifecycle"
)

// overdue has so many overdue tasks at first, and notes when it was asked.
type overdue struct {
	tasks int
	err   error
	start time.Time
	asked []time.Duration
}

func (o *overdue) Expire(context.Context) (int, error) {
	o.asked = append(o.asked, time.Since(o.start))
	found := min(o.tasks, lifecycle.ExpireBatch)
	o.tasks -= found
	return found, o.err
}

func TestRunExpiry_EndsAllThatIsOverdueEverySecond(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tasks int
		err   error
		want  []time.Duration // When it looks for overdue tasks.
		lines int             // How many failures it logs.
	}{
		"none":            {0, nil, []time.Duration{0, time.Second, 2 * time.Second}, 0},
		"some":            {10, nil, []time.Duration{0, time.Second, 2 * time.Second}, 0},
		"several batches": {2*lifecycle.ExpireBatch + 1, nil, []time.Duration{0, 0, 0, time.Second, 2 * time.Second}, 0},
		"a failing store": {10, errors.New("no database"), []time.Duration{0, time.Second, 2 * time.Second}, 3},
		"a failing batch": {3 * lifecycle.ExpireBatch, errors.New("one task"), []time.Duration{0, time.Second, 2 * time.Second}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &overdue{tasks: tc.tasks, err: tc.err, start: time.Now()}
				var logged strings.Builder
				ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
				defer cancel()
				if err := dispatch.RunExpiry(ctx, o, slog.New(slog.NewTextHandler(&logged, nil))); err != nil {
					t.Errorf("RunExpiry = %v, want nil", err)
				}
				if !slices.Equal(o.asked, tc.want) {
					t.Errorf("it looked after %v, want %v", o.asked, tc.want)
				}
				if n := strings.Count(logged.String(), "level=ERROR"); n != tc.lines {
					t.Errorf("%d failures are logged, want %d:\n%s", n, tc.lines, logged.String())
				}
			})
		})
	}
}

package loop_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/loop"
)

func TestEvery_CallsAtOnceAndOnceAPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+time.Second)
		defer cancel()
		began := time.Now()
		var at []time.Duration
		err := loop.Every(ctx, time.Minute, func(context.Context) { at = append(at, time.Since(began)) })
		if err != nil || len(at) != 4 || at[0] != 0 || at[3] != 3*time.Minute {
			t.Errorf("called at %v, %v; want at once and after 1, 2 and 3 minutes", at, err)
		}
	})
}

func TestRest_ReportsWhetherTheContextGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !loop.Rest(ctx, time.Second) {
			t.Error("a rest within the time of the context reports its end")
		}
		if loop.Rest(ctx, time.Hour) {
			t.Error("a rest beyond the time of the context does not report its end")
		}
	})
}

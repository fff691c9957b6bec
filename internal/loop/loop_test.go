package loop_test

import (
	"context"
	"errors"
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

func TestSleep_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := loop.Sleep(ctx, time.Second); err != nil || time.Since(began) != time.Second {
			t.Errorf("Sleep within the time of the context = %v after %v", err, time.Since(began))
		}
		if err := loop.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("Sleep beyond the time of the context = %v after %v, want its error at its end", err, time.Since(began))
		}
	})
}

package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/provider"
)

// limited is a provider that takes two questions a second.
type limited struct{ provider.Provider }

func (limited) Capabilities() provider.Capabilities {
	return provider.Capabilities{Limits: provider.Limits{Queries: 2}}
}

func (limited) Check(context.Context, string, time.Time) (provider.Status, error) {
	return provider.Status{}, nil
}

func (limited) RefreshLink(context.Context, string) (string, error) { return "", nil }

// line is where the questions of one replica stand in line.
type line struct{ next time.Time }

func (l *line) ReserveQueries(_ context.Context, _ string, n int, pause time.Duration) (time.Duration, error) {
	wait := max(time.Until(l.next), 0)
	l.next = time.Now().Add(wait + time.Duration(n)*pause)
	return wait, nil
}

// newUpstream returns an account whose questions are limited, and the first in their line.
func newUpstream(t *testing.T) *upstream {
	t.Helper()
	all, err := upstreams(provider.Accounts{"kie": limited{}}, &line{}, noop.NewMeterProvider().Meter(""))
	if err != nil {
		t.Fatal(err)
	}
	return all["kie"]
}

func TestUpstream_EveryQuestionWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, start := newUpstream(t), time.Now()
		for range 3 {
			if _, err := u.ask(t.Context(), "p1", 0); err != nil {
				t.Fatal(err)
			}
			if _, err := u.refreshLink(t.Context(), "https://result.example/1"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 5*u.pause {
			t.Errorf("six questions took %s, want five pauses of %s", took, u.pause)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := u.refreshLink(ctx, "https://result.example/1"); provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("canceled in line: %v, want that nothing was asked", err)
		}
	})
}

// TestUpstream_QuestionsWhoseTurnHasPassedTakeOthers has the machine stop while several questions wait for their times.
func TestUpstream_QuestionsWhoseTurnHasPassedTakeOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t)
		first, err := u.reserve(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(4 * u.pause) // The machine stops.
		start := time.Now()
		for i := range 3 {
			if _, err := u.check(t.Context(), first.Add(time.Duration(i)*u.pause), "p1", 0); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 2*u.pause {
			t.Errorf("three late questions left within %s, want two pauses of %s", took, u.pause)
		}
	})
}

package upstream

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	"pgregory.net/rapid"

	"github.com/refract-video/refract/internal/provider"
)

// limited is a provider that takes two queries a second.
type limited struct{ provider.Provider }

func (limited) Capabilities() provider.Capabilities {
	return provider.Capabilities{Limits: provider.Limits{Queries: 2}}
}

func (limited) Check(context.Context, provider.Query) (provider.Status, error) {
	return provider.Status{}, nil
}

func (limited) RefreshLink(context.Context, string) (string, error) { return "", nil }

// asked is limited, and records when queries leave.
type asked struct {
	limited
	mu    sync.Mutex
	times []time.Time
}

func (a *asked) Check(context.Context, provider.Query) (provider.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Now())
	return provider.Status{}, nil
}

// line reserves queries in memory, as the database does for all replicas.
type line struct {
	mu   sync.Mutex
	next time.Time
}

func (l *line) ReserveQueries(_ context.Context, _ string, n int, pause time.Duration) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := max(time.Until(l.next), 0)
	l.next = time.Now().Add(wait + time.Duration(n)*pause)
	return wait, nil
}

// unreadable is limited, and reports success without links that can be read.
type unreadable struct {
	limited
	links []string
}

func (u unreadable) Check(context.Context, provider.Query) (provider.Status, error) {
	return provider.Status{Phase: provider.Succeeded, ResultURLs: u.links, Unread: "resultUrls can't be read: 7"}, nil
}

// TestUpstream_ASuccessWithoutAReadableLinkIsNoAnswer asks for links and checks the error that the caller finally gets.
func TestUpstream_ASuccessWithoutAReadableLinkIsNoAnswer(t *testing.T) {
	t.Parallel()
	for want, links := range map[string][]string{`check: unavailable: "resultUrls can't be read: 7": success without a link that can be read`: nil, "": {"https://h/1.mp4"}} {
		all, err := New(provider.Accounts{"kie": unreadable{links: links}}, &line{}, noop.NewMeterProvider().Meter(""))
		if err != nil {
			t.Fatal(err)
		}
		_, err = all["kie"].Ask(t.Context(), provider.Query{TaskID: "p1"}, 0)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("with links %q: %v, want %q", links, err, want)
		}
	}
}

// newUpstream returns an account whose queries are limited.
func newUpstream(t *testing.T) *Account {
	t.Helper()
	all, err := New(provider.Accounts{"kie": limited{}}, &line{}, noop.NewMeterProvider().Meter(""))
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
			if _, err := u.Ask(t.Context(), provider.Query{TaskID: "p1"}, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := u.Exchange(t.Context(), "https://result.example/1"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 5*u.Pause {
			t.Errorf("six questions took %s, want five pauses of %s", took, u.Pause)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := u.Exchange(ctx, "https://result.example/1"); provider.ClassOf(err) != provider.Unavailable {
			t.Errorf("canceled in line: %v, want that nothing was asked", err)
		}
	})
}

// TestUpstream_LateQuestionsReserveAnotherTime suspends the machine while several queries wait for their times.
func TestUpstream_LateQuestionsReserveAnotherTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t)
		first, err := u.Reserve(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(4 * u.Pause) // The machine is suspended.
		start := time.Now()
		for i := range 3 {
			if _, err := u.Query(t.Context(), first.Add(time.Duration(i)*u.Pause), provider.Query{TaskID: "p1"}, 0); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 2*u.Pause {
			t.Errorf("three late questions left within %s, want two pauses of %s", took, u.Pause)
		}
	})
}

// TestUpstream_NoSecondHoldsMoreQuestionsThanTheLimit makes two replicas share a limit of two queries a second. Each
// query is delayed by a time of its own, as on a busy machine. Each query leaves once.
//
// It fails if waitUntil lets queries leave that are late by half a pause.
func TestUpstream_NoSecondHoldsMoreQuestionsThanTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		stalls := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 8), 2, 2).Draw(rt, "stalls")
		synctest.Test(t, func(t *testing.T) {
			a, shared := &asked{}, &line{}
			var all sync.WaitGroup
			questions := 0
			for _, replica := range stalls {
				upstreams, err := New(provider.Accounts{"kie": a}, shared, noop.NewMeterProvider().Meter(""))
				if err != nil {
					t.Fatal(err)
				}
				u := upstreams["kie"]
				at, err := u.Reserve(t.Context(), len(replica))
				if err != nil {
					t.Fatal(err)
				}
				questions += len(replica)
				for i, stall := range replica {
					all.Go(func() {
						<-time.After(time.Duration(stall) * time.Millisecond)
						if _, err := u.Query(t.Context(), at.Add(time.Duration(i)*u.Pause), provider.Query{TaskID: "p1"}, 0); err != nil {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
			slices.SortFunc(a.times, time.Time.Compare)
			if len(a.times) != questions {
				t.Fatalf("%d questions left, want %d", len(a.times), questions)
			}
			for i := 2; i < len(a.times); i++ {
				if within := a.times[i].Sub(a.times[i-2]); within < time.Second {
					t.Fatalf("three questions left within %s, want two a second: %v", within, a.times)
				}
			}
		})
	})
}

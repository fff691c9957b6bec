package source_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/source"
)

// await waits for a source as a submission does.
func await(ctx context.Context, waits *source.SubmitWaits, p source.Preparation, at source.Account) (string, error) {
	waiting, end, err := waits.Begin(ctx, fair.Claim{Tenant: p.Tenant, Host: p.Host(), Due: time.Now()})
	if err != nil {
		return "", err
	}
	defer end()
	return waits.URI(waiting, p, at)
}

// hanging is a probe that hangs at hosts of that name.
func hanging(ctx context.Context, uri string) error {
	if !strings.Contains(uri, "hangs") {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestSubmitWaits_AHealthySourceIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		start := time.Now()
		p := behind("films", "healthy", 1)
		uri, err := await(t.Context(), source.NewSubmitWaits(w.Preparer), p, w.hosts)
		if err != nil || uri != p.URI || time.Since(start) != 0 {
			t.Errorf("ready after %s with %q, %v, want it at once", time.Since(start), uri, err)
		}
	})
}

// TestSubmitWaits_ATenantWithSlowSourcesWaitsShortly has a host that hangs, and looks at it again and again.
func TestSubmitWaits_ATenantWithSlowSourcesWaitsShortly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.probe = hanging
		waits := source.NewSubmitWaits(w.Preparer)
		for i, step := range []struct {
			tenant string
			later  time.Duration
			want   time.Duration
		}{
			{"films", 0, 2 * time.Second},
			{"films", 0, 200 * time.Millisecond},
			{"music", 0, 2 * time.Second},
			{"films", time.Minute, 2 * time.Second},
		} {
			pass(step.later)
			start := time.Now()
			_, err := await(t.Context(), waits, behind(step.tenant, "hangs", i), w.hosts)
			if took := time.Since(start); !errors.Is(err, source.ErrNotReady) || took != step.want {
				t.Errorf("step %d: %v after %s, want ErrNotReady after %s", i, err, took, step.want)
			}
		}
	})
}

func TestSubmitWaits_ARefusalIsFinalAndAFailureIsNot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		probe   error
		refusal bool
	}{
		"dead link":   {&media.UnreachableError{Final: true, Err: errors.New("status 404")}, true},
		"unreachable": {unreachable(0), false},
		"ours":        {errors.New("no database"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkshop(t)
				w.hosts.probe = func(context.Context, string) error { return tc.probe }
				_, err := await(t.Context(), source.NewSubmitWaits(w.Preparer), behind("films", "example.com", 1), w.hosts)
				if source.Refusal(err) != tc.refusal || errors.Is(err, source.ErrNotReady) == tc.refusal {
					t.Errorf("it ends with %v, want a refusal: %t", err, tc.refusal)
				}
			})
		})
	}
}

// TestSubmitWaits_AnUploadIsLeftToThePreparer waits for an upload that is fast, and for one that is slow.
func TestSubmitWaits_AnUploadIsLeftToThePreparer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes time.Duration
		ready bool
	}{"fast": {time.Second, true}, "slow": {time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkshop(t)
				w.hosts.upload = func(context.Context) error { <-time.After(tc.takes); return nil }
				p := w.add(t, "films")
				w.run(t)
				waits := source.NewSubmitWaits(w.Preparer)
				start := time.Now()
				uri, err := await(t.Context(), waits, p, w.hosts)
				switch took := time.Since(start); {
				case tc.ready && (err != nil || uri == "" || took != tc.takes):
					t.Errorf("%q, %v after %s, want the URI when the upload has ended", uri, err, took)
				case !tc.ready && (!errors.Is(err, source.ErrNotReady) || took != 2*time.Second):
					t.Errorf("%q, %v after %s, want ErrNotReady", uri, err, took)
				}
				pass(2 * time.Minute)
				if uri, err := await(t.Context(), waits, p, w.hosts); err != nil || uri == "" {
					t.Errorf("%q, %v, want the copy of the account", uri, err)
				}
				if w.hosts.uploaded != 1 {
					t.Errorf("the source was uploaded %d times, want once", w.hosts.uploaded)
				}
			})
		})
	}
}

func TestSubmitWaits_EndWithTheirCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.probe = hanging
		waits := source.NewSubmitWaits(w.Preparer)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := await(ctx, waits, behind("films", "hangs", 1), w.hosts); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, source.ErrNotReady) {
			t.Errorf("it ends with %v, want the error of its context", err)
		}
		if _, err := await(ctx, waits, behind("films", "hangs", 2), w.hosts); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that begins after that ends with %v, want the error of its context", err)
		}
	})
}

// TestSubmitWaits_SlowSourcesDelayTheirOwnTenantAlone has more submissions of two tenants look at hosts that hang than there are
// places. Half of the places stay free for others.
func TestSubmitWaits_SlowSourcesDelayTheirOwnTenantAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.probe = hanging
		waits := source.NewSubmitWaits(w.Preparer)
		const each = 100
		results := make(chan error, 2*each)
		for i := range each {
			for _, tenant := range []string{"films", "shorts"} {
				go func() {
					_, err := await(t.Context(), waits, behind(tenant, tenant+".hangs", i), w.hosts)
					results <- err
				}()
			}
		}
		synctest.Wait()
		if n := len(w.hosts.probed()); n == 0 || n > 16 {
			t.Errorf("%d of 32 places are at hosts that hang, want at most half", n)
		}
		start := time.Now()
		for i, tenant := range []string{"ads", "films"} {
			if uri, err := await(t.Context(), waits, behind(tenant, "healthy", i), w.hosts); err != nil || uri != fmt.Sprintf("https://healthy/%d.mp4", i) {
				t.Errorf("a submission of %s with a good source gets %q, %v", tenant, uri, err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("submissions with good sources took %s, want no wait", took)
		}
		for range 2 * each {
			if err := <-results; !errors.Is(err, source.ErrNotReady) {
				t.Errorf("a submission whose source hangs ends with %v, want ErrNotReady", err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the last permit is given back after %s, want 2 s at most", took)
		}
	})
}

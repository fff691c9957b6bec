package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/source/sourcetest"
	"github.com/refract-video/refract/internal/task"
)

// hosts are what stands behind URIs, and what an account answers uploads.
type hosts struct {
	mu       sync.Mutex
	probes   []time.Duration // When each probe came, since the start.
	uploads  map[string]int  // The uploads under way, by tenant.
	start    time.Time
	probe    func(ctx context.Context, uri string) error
	upload   func(ctx context.Context) error
	uploaded int
}

func (*hosts) Name() string { return "kie" }

func (*hosts) Capabilities() provider.Capabilities {
	return provider.Capabilities{Upload: true, UploadLifetime: 24 * time.Hour}
}

// Upload answers as upload says. The name of a file begins with the id of its source, which is its tenant here.
func (h *hosts) Upload(ctx context.Context, f provider.File) (string, error) {
	tenant, _, _ := strings.Cut(f.Name, "-")
	h.count(tenant, 1)
	defer h.count(tenant, -1)
	if h.upload != nil {
		if err := h.upload(ctx); err != nil {
			return "", err
		}
	}
	return "https://files.example/" + tenant, nil
}

func (h *hosts) count(tenant string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uploads[tenant] += n
	h.uploaded += max(n, 0)
}

// Probe notes the time, and answers as probe says.
func (h *hosts) Probe(ctx context.Context, uri string) (task.Clip, error) {
	h.mu.Lock()
	h.probes = append(h.probes, time.Since(h.start))
	h.mu.Unlock()
	if h.probe != nil {
		if err := h.probe(ctx, uri); err != nil {
			return task.Clip{}, err
		}
	}
	return task.Clip{ContentType: "video/mp4", SizeBytes: 5, Duration: time.Second}, nil
}

// probed returns when probes came.
func (h *hosts) probed() []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.probes)
}

// workshop is a preparer over a store in memory, in a bubble of its own time.
type workshop struct {
	*source.Preparer
	store *sourcetest.Memory
	hosts *hosts
}

// newWorkshop must be called within a bubble.
func newWorkshop(t *testing.T) workshop {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	w := workshop{store: sourcetest.NewMemory(), hosts: &hosts{uploads: map[string]int{}, start: time.Now()}}
	log := slog.New(slog.DiscardHandler)
	w.Preparer = source.NewPreparer(source.PreparerConfig{
		Store: w.store, Verbs: w.store, Accounts: map[string]source.Account{"kie": w.hosts}, Log: log,
		Resolver: &source.Resolver{Store: w.store, Bucket: bucket, Catalog: models, Probe: w.hosts.Probe, CheckURI: func(string) error { return nil }, Log: log},
	})
	return w
}

// run runs the preparer until the test ends, or until stop is called.
func (w workshop) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// add adds an uploaded source of a tenant.
func (w workshop) add(t *testing.T, tenant string) source.Preparation {
	t.Helper()
	s := task.Source{ID: task.SourceID(tenant), Tenant: tenant, Key: "sources/" + tenant, Clip: task.Clip{ContentType: "video/mp4", SizeBytes: 5, Duration: time.Second}}
	if err := w.Resolver.Bucket.Put(t.Context(), s.Key, s.ContentType, bytes.NewReader([]byte("video"))); err != nil {
		t.Fatal(err)
	}
	w.store.Add(s)
	return source.Preparation{Tenant: tenant, Account: "kie", Source: s.ID}
}

// behind is the preparation of the n-th URI of a tenant at a host.
func behind(tenant, host string, n int) source.Preparation {
	return source.Preparation{Tenant: tenant, Account: "kie", URI: fmt.Sprintf("https://%s/%d.mp4", host, n)}
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// verbs returns the calls of verbs, as "verb task".
func (w workshop) verbs() []string {
	var verbs []string
	for _, c := range w.store.Calls() {
		verbs = append(verbs, c.Verb)
	}
	return verbs
}

func unreachable(retryAfter time.Duration) error {
	return &media.UnreachableError{From: "https://example.com", RetryAfter: retryAfter, Err: errors.New("status 503")}
}

func TestPreparer_ReleasesAllTasksOfOneSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		for range 1200 { // More than are released at a time.
			w.store.Hold(t, behind("films", "example.com", 1))
		}
		w.run(t)
		synctest.Wait()
		if got := len(w.store.Calls()); got != 1200 || len(w.hosts.probed()) != 1 {
			t.Errorf("%d tasks are released after %d probes, want 1200 after one", got, len(w.hosts.probed()))
		}
		if claimed, err := w.store.ClaimPreparations(t.Context(), source.Claim{Free: 8}); err != nil || len(claimed) != 0 {
			t.Errorf("%v is left, %v", claimed, err)
		}
	})
}

func TestPreparer_RestsWhileTheSameTasksAreLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		var unlock []func()
		for i := range 3 {
			held := w.store.Hold(t, behind("films", "example.com", 1))
			if i > 0 {
				unlock = append(unlock, w.store.Lock(held))
			}
		}
		w.run(t)
		pass(time.Second)
		if got := w.verbs(); len(got) != 1 {
			t.Errorf("%v, want one release while the others are locked", got)
		}
		if n := w.store.Reads(); n > 25 {
			t.Errorf("waiters were read %d times in a second, want a pause between", n)
		}
		for _, u := range unlock {
			u()
		}
		pass(50 * time.Millisecond)
		if got := w.verbs(); len(got) != 3 {
			t.Errorf("%v, want all released", got)
		}
	})
}

func TestPreparer_StopsWhileTasksAreLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.store.Lock(w.store.Hold(t, behind("films", "example.com", 1)))
		stop := w.run(t)
		pass(time.Second)
		stop()
	})
}

// TestPreparer_ProbesDoNotWaitForUploads has uploads of two tenants that never end.
func TestPreparer_ProbesDoNotWaitForUploads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.upload = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for _, tenant := range []string{"films", "shorts"} {
			for n := range 10 {
				p := w.add(t, fmt.Sprintf("%s-%d", tenant, n))
				p.Tenant = tenant
				w.store.Hold(t, p)
			}
		}
		for n := range 40 {
			w.store.Hold(t, behind("films", "example.com", n))
			w.store.Hold(t, behind("ads", "example.com", n))
		}
		w.run(t)
		pass(time.Minute)
		if n := len(w.verbs()); n != 80 {
			t.Errorf("%d of 80 sources were probed while uploads take long", n)
		}
		w.hosts.mu.Lock()
		defer w.hosts.mu.Unlock()
		if want := map[string]int{"films": 4, "shorts": 4}; !maps.Equal(w.hosts.uploads, want) {
			t.Errorf("uploads under way: %v, want %v", w.hosts.uploads, want)
		}
	})
}

// TestPreparer_GivesAHostUpAfterAWhile has a host that never serves the source.
func TestPreparer_GivesAHostUpAfterAWhile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers error
		each    time.Duration // How long the host takes to answer.
		probes  []time.Duration
	}{
		"refuses at once": {unreachable(0), 0, []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303}},
		"asks to wait":    {unreachable(time.Minute), 0, []time.Duration{0, 60, 120, 180, 240, 300}},
		"asks for a day":  {unreachable(24 * time.Hour), 0, []time.Duration{0, 900, 1800, 2700}},
		"hangs long":      {unreachable(0), 4 * time.Minute, []time.Duration{0, 241, 483, 727}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkshop(t)
				w.hosts.probe = func(ctx context.Context, _ string) error {
					select {
					case <-time.After(tc.each):
						return tc.answers
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				w.store.Hold(t, behind("films", "example.com", 1))
				w.run(t)
				pass(2 * time.Hour)
				got := w.hosts.probed()
				for i := range got {
					got[i] = got[i].Round(time.Second) / time.Second
				}
				if !slices.Equal(got, tc.probes) {
					t.Errorf("probed after %v seconds, want %v", got, tc.probes)
				}
				calls := w.store.Calls()
				if len(calls) != 1 || calls[0].Verb != "unprepared" {
					t.Fatalf("calls are %+v, want that the task is settled", calls)
				}
				cause, ok := errors.AsType[*source.UnfitError](calls[0].Cause)
				if !ok || cause.Reason != task.InputUnreachable || !cause.Everywhere || !strings.Contains(cause.Message, fmt.Sprintf("tried %d times", len(tc.probes))) {
					t.Errorf("it is settled with %+v, want that the source can't be reached", calls[0].Cause)
				}
			})
		})
	}
}

// TestPreparer_DecidesByTheKindOfFailure has one try fail.
func TestPreparer_DecidesByTheKindOfFailure(t *testing.T) {
	t.Parallel()
	const again = "again"
	for name, tc := range map[string]struct {
		probe, upload error
		verb          string // What the task is settled with, or again.
		message       string
	}{
		"the link is dead":          {probe: &media.UnreachableError{From: "https://example.com", Final: true, Err: errors.New("status 404")}, verb: "unprepared", message: "status 404"},
		"the host is down":          {probe: unreachable(0), verb: again, message: "status 503"},
		"the failure is ours":       {probe: errors.New("secret"), verb: again},
		"the storage fails":         {upload: &media.StorageError{Op: "get", Err: errors.New("secret")}, verb: again, message: "our storage"},
		"the file is refused":       {upload: &provider.Error{Class: provider.Rejected, Input: true, Message: "bad file"}, verb: "unprepared", message: "bad file"},
		"the provider is down":      {upload: &provider.Error{Class: provider.Unavailable, Op: "upload", Err: errors.New("secret")}, verb: again, message: "upload"},
		"the provider asks to rest": {upload: &provider.Error{Class: provider.RateLimited, Op: "upload", RetryAfter: time.Minute}, verb: again, message: "upload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkshop(t)
				w.hosts.probe = func(context.Context, string) error { return tc.probe }
				w.hosts.upload = func(context.Context) error { return tc.upload }
				if tc.probe != nil {
					w.store.Hold(t, behind("films", "example.com", 1))
				} else {
					w.store.Hold(t, w.add(t, "films"))
				}
				w.run(t)
				pass(10 * time.Millisecond)
				verb, message := again, strings.Join(w.store.Messages(), "")
				if calls := w.store.Calls(); len(calls) > 0 {
					verb, message = calls[0].Verb, calls[0].Cause.Error()
				}
				if verb != tc.verb || !strings.Contains(message, tc.message) || tc.message == "" && message != "" || strings.Contains(message, "secret") {
					t.Errorf("it is %s with %q, want %s with %q", verb, message, tc.verb, tc.message)
				}
			})
		})
	}
}

// TestPreparer_AnUploadAtFaultStopsNoOther has an account refuse an upload by which it says that it is blocked, while it accepts
// other tasks.
func TestPreparer_AnUploadAtFaultStopsNoOther(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before task.RefusalHistory
		want   []string
		after  task.RefusalHistory // Without OthersAccepted.
	}{
		"the first time":              {task.RefusalHistory{}, []string{"block"}, task.RefusalHistory{Refusals: 1}},
		"again, and others, too":      {task.RefusalHistory{Refusals: 3}, []string{"block"}, task.RefusalHistory{Refusals: 4}},
		"again, and others are taken": {task.RefusalHistory{Refusals: 1, OthersAccepted: true}, nil, task.RefusalHistory{Refusals: 2, Faults: 1}},
		"once more":                   {task.RefusalHistory{Refusals: 2, Faults: 1, OthersAccepted: true}, []string{"unprepared"}, task.RefusalHistory{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkshop(t)
				w.hosts.upload = func(context.Context) error {
					return &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked, Op: "upload"}
				}
				w.store.Hold(t, w.add(t, "films"))
				w.store.Refuse(tc.before)
				w.run(t)
				pass(10 * time.Millisecond)
				if got := w.verbs(); !slices.Equal(got, tc.want) {
					t.Errorf("it did %v, want %v", got, tc.want)
				}
				got, err := w.store.PreparationRefusals(t.Context(), 1)
				got.OthersAccepted = false
				if ended := errors.Is(err, source.ErrNotFound); got != tc.after || ended != slices.Equal(tc.want, []string{"unprepared"}) {
					t.Errorf("the refusals are %+v, %v, want %+v", got, err, tc.after)
				}
			})
		})
	}
}

func TestPreparer_AReplicaThatStopsGivesItsWorkBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.probe = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		w.store.Hold(t, behind("films", "example.com", 1))
		stop := w.run(t)
		pass(10 * time.Second)
		stop()
		claimed, err := w.store.ClaimPreparations(t.Context(), source.Claim{Free: 8, Lease: time.Hour})
		if err != nil || len(claimed) != 1 || claimed[0].Tries != 0 {
			t.Errorf("another replica claims %+v, %v, want the preparation without a failed try", claimed, err)
		}
	})
}

// TestPreparer_ALongTryKeepsItsLease has a second replica look for work while an upload takes ten minutes.
func TestPreparer_ALongTryKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		w.hosts.upload = func(ctx context.Context) error { <-time.After(10 * time.Minute); return ctx.Err() }
		w.store.Hold(t, w.add(t, "films"))
		w.run(t)
		other := source.NewPreparer(w.PreparerConfig)
		workshop{Preparer: other}.run(t)
		pass(11 * time.Minute)
		if w.hosts.uploaded != 1 || !slices.Equal(w.verbs(), []string{"prepared"}) {
			t.Errorf("%d uploads and %v, want one upload", w.hosts.uploaded, w.verbs())
		}
	})
}

func TestPreparer_LeavesAnAccountThatIsNotConfiguredToAdmission(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t)
		p := behind("films", "example.com", 1)
		p.Account = "gone"
		w.store.Hold(t, p)
		w.run(t)
		synctest.Wait()
		if !slices.Equal(w.verbs(), []string{"prepared"}) || len(w.hosts.probed()) != 0 {
			t.Errorf("%v after %d probes, want that admission gets the task", w.verbs(), len(w.hosts.probed()))
		}
	})
}

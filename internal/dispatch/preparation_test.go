package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

// waiting is a preparation for which tasks wait, in an order that changes with each look.
type waiting struct {
	Preparations
	tasks []source.Waiter
}

func (w *waiting) PreparationWaiters(context.Context, source.PreparationID, int) ([]source.Waiter, int64, error) {
	slices.Reverse(w.tasks)
	return slices.Clone(w.tasks), 1, nil
}

func (w *waiting) EndPreparation(context.Context, source.PreparationID, int64) (bool, error) {
	return len(w.tasks) == 0, nil
}

func TestTell_RestsWhileTheSameTasksAreBeingChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const change = time.Second // How long somebody changes two of three tasks.
		w := &waiting{tasks: []source.Waiter{{Task: "a"}, {Task: "b"}, {Task: "c"}}}
		p := &Preparer{Config: Config{Preparations: w}}
		start, rounds := time.Now(), 0
		err := p.tell(t.Context(), source.Claimed{}, func(context.Context, []source.Waiter) error {
			rounds++
			w.tasks = slices.DeleteFunc(w.tasks, func(w source.Waiter) bool {
				return w.Task == "a" || time.Since(start) >= change
			})
			if rounds > 100 {
				t.Fatal("it does not rest")
			}
			return nil
		})
		if took := time.Since(start); err != nil || took != change {
			t.Errorf("told after %s and %d rounds, %v, want as soon as they can be told", took, rounds, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.tasks = []source.Waiter{{Task: "a"}}
		if err := p.tell(ctx, source.Claimed{}, func(context.Context, []source.Waiter) error { return nil }); err == nil {
			t.Error("it goes on when it is stopped")
		}
	})
}

// due is what is to be prepared, and what becomes of it.
type due struct {
	Preparations
	mu      sync.Mutex
	rows    []source.Claimed
	handing map[string]int // The uploads under way, by tenant.
	looked  int
}

func (d *due) ClaimPreparations(_ context.Context, want source.Claim) (claimed []source.Claimed, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	made := maps.Clone(want.Made)
	d.rows = slices.DeleteFunc(d.rows, func(c source.Claimed) bool {
		c.Party.Tenant = c.Tenant // Each has one host here.
		if (c.Source != "") != want.Uploaded || made[c.Party] >= fair.Limit(fair.Limit(want.Free+want.Made[c.Party])) || len(claimed) >= (want.Free+1)/2 {
			return false
		}
		made[c.Party]++
		claimed = append(claimed, c)
		return true
	})
	return claimed, nil
}

func (d *due) RenewPreparations(context.Context, []source.PreparationID, time.Duration) error {
	return nil
}

func (d *due) GiveBackPreparation(context.Context, source.Claimed) error { return nil }

func (d *due) PreparationWaiters(context.Context, source.PreparationID, int) ([]source.Waiter, int64, error) {
	return nil, 1, nil
}

func (d *due) EndPreparation(context.Context, source.PreparationID, int64) (bool, error) {
	return true, nil
}

func (d *due) Look(context.Context, task.Spec, string, source.Account) (string, error) {
	return "", source.ErrNotHanded
}

// Prepare looks at once, and uploads for ever. The id of an uploaded source is its tenant.
func (d *due) Prepare(ctx context.Context, spec task.Spec, _ string, _ source.Account) error {
	d.mu.Lock()
	if spec.SourceID == "" {
		defer d.mu.Unlock()
		d.looked++
		return nil
	}
	d.handing[string(spec.SourceID)]++
	d.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func TestPreparer_LooksDoNotWaitForUploads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &due{handing: map[string]int{}}
		add := func(n int, p source.Preparation) {
			for range n {
				p.Account = "kie"
				d.rows = append(d.rows, source.Claimed{Preparation: p, ID: source.PreparationID(len(d.rows) + 1)})
			}
		}
		add(40, source.Preparation{Tenant: "films", Source: "films"})
		add(40, source.Preparation{Tenant: "shorts", Source: "shorts"})
		add(40, source.Preparation{Tenant: "films", URI: "https://example.com/a.mp4"})
		add(40, source.Preparation{Tenant: "ads", URI: "https://example.com/b.mp4"})
		_, p := New(Config{Preparations: d, Sources: d, Accounts: upstream.Accounts{"kie": {}}, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = p.Run(ctx) }() // It returns nil.
		<-time.After(time.Minute)
		synctest.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.looked != 80 {
			t.Errorf("%d of 80 sources were looked at while uploads take long", d.looked)
		}
		if want := map[string]int{"films": 4, "shorts": 4}; !maps.Equal(d.handing, want) {
			t.Errorf("uploads under way: %v, want %v", d.handing, want)
		}
	})
}

// refusing is a preparation of an upload that the account refuses for its own sake.
type refusing struct {
	Preparations
	history task.RefusalHistory
	did     []string
}

func (r *refusing) PreparationRefusals(context.Context, source.PreparationID) (task.RefusalHistory, error) {
	return r.history, nil
}

func (r *refusing) RefusePreparation(_ context.Context, _ source.PreparationID, blame task.Blame) error {
	r.did = append(r.did, "held against "+string(blame))
	return nil
}

func (r *refusing) PreparationWaiters(_ context.Context, _ source.PreparationID, limit int) ([]source.Waiter, int64, error) {
	if limit == 1 {
		r.did = append(r.did, "paused") // Through the first of those who wait, of whom there are none here.
	}
	return nil, 1, nil
}

func (r *refusing) DelayPreparation(context.Context, source.PreparationID, time.Duration, string) error {
	r.did = append(r.did, "again")
	return nil
}

func (r *refusing) EndPreparation(context.Context, source.PreparationID, int64) (bool, error) {
	r.did = append(r.did, "ended")
	return true, nil
}

// TestPreparer_AnUploadAtFaultStopsNobody has an account refuse an upload for its own sake, while it accepts other tasks.
func TestPreparer_AnUploadAtFaultStopsNobody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		history task.RefusalHistory
		want    []string
	}{
		"the first time":              {task.RefusalHistory{}, []string{"held against ACCOUNT", "paused", "again"}},
		"again, and others, too":      {task.RefusalHistory{Refusals: 3}, []string{"held against ACCOUNT", "paused", "again"}},
		"again, and others are taken": {task.RefusalHistory{Refusals: 1, OthersAccepted: true}, []string{"held against TASK", "again"}},
		"once more":                   {task.RefusalHistory{Refusals: 2, Faults: 1, OthersAccepted: true}, []string{"ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &refusing{history: tc.history}
			p := &Preparer{Config: Config{Preparations: r, Log: slog.New(slog.DiscardHandler)}}
			refusal := &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked}
			if err := p.settle(t.Context(), source.Claimed{}, refusal); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.did, tc.want) {
				t.Errorf("it did %v, want %v", r.did, tc.want)
			}
		})
	}
}

//go:build upgrade

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/faults/audit"
	"github.com/refract-video/refract/internal/e2e/program"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// previousRelease is the file that names the revision of the release before this one. A release sets it to its own revision.
const previousRelease = "testdata/previous_release"

// newerCheck refuses every newer schema in the release that has no table of compatible releases yet. There the test removes the check,
// which later releases replaced, so that it can show that the rest of that release works on the new schema.
var newerCheck = change{"../../postgres/migrations/migrations.go", "if current > target {", "if false && current > target {"}

// previous is the release before this one.
type previous struct {
	program  string
	webhooks bool // Whether it writes events for webhooks.
}

// buildPrevious builds the program of the previous release, with the same changes for tests as this one where it has the file to
// change. It skips the test where the history of git is not there, as in an archive of the source.
func buildPrevious(t *testing.T) previous {
	t.Helper()
	text, err := os.ReadFile(previousRelease)
	if err != nil {
		t.Fatal(err)
	}
	revision := strings.TrimSpace(string(text))
	if out, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--verify", "--quiet", revision+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the history of git has no commit %s, so the previous release can't be built (git fetch --unshallow): %v %s", revision, err, out)
	}
	source := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", `git -C "$(git rev-parse --show-toplevel)" archive "$1" | tar -x -C "$2"`, "unpack", revision, source)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", revision, err, out)
	}
	edits := slices.Concat(changes, shorterWaits)
	if _, err := os.Stat(filepath.Join(source, "internal/postgres/migrations/compat.go")); err != nil {
		edits = append(edits, newerCheck)
		t.Logf("release %s refuses a newer schema at its start, as all before the table schema_compat did: the test removes that check from it", revision)
	}
	for _, c := range edits {
		c.file = filepath.Join(source, "internal/e2e/faults", c.file)
		if _, err := os.Stat(c.file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		text, err := c.apply("")
		if err != nil {
			t.Fatalf("prepare release %s: %v", revision, err)
		}
		if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "refract")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, program.Package)
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build release %s: %v\n%s", revision, err, out)
	}
	_, err = os.Stat(filepath.Join(source, "internal/notify"))
	return previous{program: path, webhooks: err == nil}
}

// upgrade is a fleet between two releases.
type upgrade struct{ *fleet }

// TestUpgrade_ReleasesBesideEachOther runs replicas of this release and of the previous one on one database under load, in both orders:
// this one migrates the database of the previous one and replaces its replicas, and the previous one comes back to a database of this
// one. In both, replicas of either release are killed and restart while the other runs. The audit must find nothing lost, nothing paid
// for twice, and every event in order.
func TestUpgrade_ReleasesBesideEachOther(t *testing.T) {
	previous := buildPrevious(t)
	for _, order := range []struct {
		name         string
		first, after string // Empty means this release.
	}{
		{"this release joins the previous one", previous.program, ""},
		{"the previous release joins this one", "", previous.program},
	} {
		t.Run(order.name, func(t *testing.T) {
			s := seed(t)
			ctx, cancel := context.WithTimeout(t.Context(), 4*hung)
			defer cancel()
			databaseURL := startEmptyDatabase(t)
			migrate(ctx, t, order.first, databaseURL)
			f := newFleet(t, fleetConfig{
				replicas: 3, databaseURL: databaseURL, tenants: runTenants,
				limits: map[string]audit.Limit{
					"kie":         {Submissions: 6, Window: 2 * time.Second, InFlight: 10},
					"luma":        {Submissions: 8, Window: 2 * time.Second, InFlight: 20},
					"luma-agents": {Submissions: 10, Window: 2 * time.Second, InFlight: 40},
				},
				sim:      sim.Config{Script: (&firstAnswers{seen: map[string]bool{}}).script},
				profiles: profiles.Set{Luma: luma.Profile{CallbackSpacing: time.Second}},
			})
			for _, r := range f.replicas {
				r.program = order.first
			}
			f.start(ctx)
			if previous.webhooks {
				f.subscribe(ctx, randomOf(s))
			}
			u := upgrade{f}
			u.underLoad(ctx, s, func() {
				u.submitted(ctx, 10)
				if order.after == "" {
					migrate(ctx, t, order.after, databaseURL)
				}
				u.replace(ctx, order.first, order.after)
			})
		})
	}
}

// migrate migrates a database with the program of a release.
func migrate(ctx context.Context, t *testing.T, release, databaseURL string) {
	t.Helper()
	if release == "" {
		release = built
	}
	out, err := exec.CommandContext(ctx, release, "migrate", "--database-url="+databaseURL).CombinedOutput()
	if err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
}

// submitted waits until the load has submitted a number of tasks more.
func (u upgrade) submitted(ctx context.Context, more int) {
	u.t.Helper()
	count := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.submits)
	}
	for until := count() + more; count() < until; {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			u.t.Fatal("the load submits nothing")
		}
	}
}

// replace gives the replicas another release, one after the other, killed and stopped in turn. Between two replicas it kills one of
// each release, which restarts as it was.
func (u upgrade) replace(ctx context.Context, first, after string) {
	u.t.Helper()
	for i, r := range u.replicas {
		if i%2 == 0 {
			r.kill()
		} else if err := r.stop(syscall.SIGTERM); err != nil {
			u.t.Errorf("%s got SIGTERM and ended with %v", r.name, err)
		}
		r.program = after
		u.restart(ctx, r)
		u.done.add("replicas replaced", 1)
		u.submitted(ctx, 5)
		for _, release := range []string{first, after} {
			i := slices.IndexFunc(u.replicas, func(r *replica) bool { return r.program == release })
			if i < 0 {
				continue
			}
			u.replicas[i].kill()
			u.restart(ctx, u.replicas[i])
			u.submitted(ctx, 5)
		}
	}
}

func (u upgrade) restart(ctx context.Context, r *replica) {
	u.t.Helper()
	if err := r.start(ctx); err != nil {
		u.t.Fatal(fmt.Errorf("replicas of two releases: %w", err))
	}
}

// underLoad submits tasks while do runs, watches all of them, waits until they have ended, and audits.
func (u upgrade) underLoad(ctx context.Context, s uint64, do func()) {
	u.t.Helper()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	loaded, unload := context.WithCancel(ctx)
	defer unload()
	var watchers, load sync.WaitGroup
	ids := make(chan string, 10_000)
	for range 30 {
		client := u.dial()
		watchers.Go(func() {
			for id := range ids {
				u.watch(watching, client, id)
				u.watched(id, false)
			}
		})
	}
	load.Go(func() {
		defer close(ids)
		k := &generator{random: rand.New(rand.NewPCG(s, 2)), rare: 1, used: map[string]int{}, tenants: runTenants}
		client := u.dial()
		for loaded.Err() == nil {
			o := k.next()
			id, err := u.submit(ctx, client, o)
			if err != nil {
				u.t.Errorf("submit %s: %v", o.requestID, err)
				return
			}
			u.watched(id, true)
			ids <- id
			_ = pause(loaded, 300*time.Millisecond)
		}
	})
	do()
	unload()
	load.Wait()
	u.start(ctx)
	if u.hooks != nil {
		u.hooks.calm.Store(true)
	}
	u.settle(ctx)
	u.awaitWatches(ctx)
	stopWatching()
	watchers.Wait()
	u.drain()
	u.audit(ctx)
}

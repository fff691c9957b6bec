package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// account is a provider account that notes what it was handed.
type account struct {
	name    string // Of the provider.
	caps    provider.Capabilities
	uploads []string // The bytes of each file.
	names   map[string]bool
	err     error
}

func newAccount() *account {
	return &account{name: "kie", names: map[string]bool{}, caps: provider.Capabilities{
		Upload: true, UploadLifetime: 24 * time.Hour,
	}}
}

func (a *account) Name() string                        { return a.name }
func (a *account) Capabilities() provider.Capabilities { return a.caps }

func (a *account) Upload(_ context.Context, f provider.File) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	data, err := io.ReadAll(f.Content)
	a.uploads = append(a.uploads, string(data))
	a.names[f.Name] = true
	return fmt.Sprintf("https://files.example/%d", len(a.uploads)), err
}

// taking returns a catalog in which kie's offering takes such sources.
func taking(t *testing.T, limits string) func() *catalog.Catalog {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	content := `
models:
  - name: luma/ray-2-modify
    offerings:
      - provider: kie
        remote: modify/generate
        default: true
        source: {field: videoUrl, ` + limits + `}
        facts: {source: {source: a test, certainty: guess}}
`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return func() *catalog.Catalog { return c }
}

// preparer returns a resolver that finds a clip, or an error, behind every URI, and a count of its looks.
func (s service) resolver(clip task.Clip, err error) (*source.Resolver, *int) {
	looks := new(int)
	return &source.Resolver{
		Store: s.store, Bucket: s.bucket, Catalog: models, CheckURI: func(string) error { return nil }, Log: slog.New(slog.DiscardHandler),
		Probe: func(context.Context, string) (task.Clip, error) { *looks++; return clip, err },
	}, looks
}

// ready prepares a source and looks at it.
func ready(ctx context.Context, p *source.Resolver, spec task.Spec, account string, at source.Account) (string, error) {
	if err := p.Prepare(ctx, spec, account, at); err != nil {
		return "", err
	}
	return p.Look(ctx, spec, account, at)
}

func unfit(t *testing.T, err error) *source.UnfitError {
	t.Helper()
	u, ok := errors.AsType[*source.UnfitError](err)
	if !ok {
		t.Fatalf("got %v, want an UnfitError", err)
	}
	return u
}

func TestPrepare_LooksAtAURIOnceInAWhile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p, looks := s.resolver(task.Clip{ContentType: "video/mp4", SizeBytes: 5, Duration: 14200 * time.Millisecond}, nil)
	spec := task.Spec{SourceURI: "https://example.com/a.mp4?signature=1"}
	for range 3 {
		_, err := ready(t.Context(), p, spec, "kie", newAccount())
		if u := unfit(t, err); u.Reason != task.InputTooLong || u.Message != "the source has 14.2 s; provider kie takes at most 10 s (luma/ray-2-modify)" {
			t.Errorf("got %+v", u)
		}
	}
	if *looks != 1 {
		t.Errorf("looked %d times, want once", *looks)
	}
	long := newAccount()
	long.name = "luma-agents" // Which takes 18 s.
	if uri, err := ready(t.Context(), p, spec, "other", long); err != nil || uri != spec.SourceURI {
		t.Errorf("another provider: %q, %v, want the URI as it is", uri, err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE source_probe SET expire_time = now()"); err != nil {
		t.Fatal(err)
	}
	if _, err := ready(t.Context(), p, spec, "kie", newAccount()); err == nil || *looks != 2 {
		t.Errorf("looked %d times after a while, want twice", *looks)
	}
}

func TestLook_NotesWhatItFoundForTheNext(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p, looks := s.resolver(task.Clip{ContentType: "video/mp4", SizeBytes: 5, Duration: time.Second}, nil)
	const uri = "https://example.com/a.mp4"
	look := func() {
		if got, err := p.Look(t.Context(), task.Spec{SourceURI: uri}, "kie", newAccount()); err != nil || got != uri {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	look()
	for noted := false; !noted; { // The look itself does not wait for it.
		var err error
		if _, noted, err = s.store.Probed(t.Context(), uri); err != nil {
			t.Fatalf("nothing was noted: %v", err)
		}
	}
	look()
	if *looks != 1 {
		t.Errorf("looked %d times, want once", *looks)
	}
}

func TestPrepare_KeepsNothingOfAURIThatCantBeFetched(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p, looks := s.resolver(task.Clip{}, &media.UnreachableError{From: "https://example.com", Final: true, Err: errors.New("status 404")})
	for range 2 {
		_, err := ready(t.Context(), p, task.Spec{SourceURI: "https://example.com/a.mp4"}, "kie", newAccount())
		if u := unfit(t, err); u.Reason != task.InputUnreachable || !u.Everywhere {
			t.Errorf("got %+v", u)
		}
	}
	if *looks != 2 {
		t.Errorf("looked %d times, want each time: it may have been mended", *looks)
	}
	mending := &media.UnreachableError{From: "https://example.com", RetryAfter: time.Minute, Err: errors.New("status 503")}
	p.Probe = func(context.Context, string) (task.Clip, error) { return task.Clip{}, mending }
	_, err := ready(t.Context(), p, task.Spec{SourceURI: "https://example.com/a.mp4"}, "kie", newAccount())
	if _, final := errors.AsType[*source.UnfitError](err); final || !errors.Is(err, mending) {
		t.Errorf("a host in trouble: %v, want what it said and no verdict", err)
	}
	p.Probe = nil
	if uri, err := ready(t.Context(), p, task.Spec{SourceURI: "https://example.com/a.mp4"}, "kie", newAccount()); err != nil || uri == "" {
		t.Errorf("without a probe: %q, %v", uri, err)
	}
}

func TestPrepare_HandsAnUploadedSourceOverOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	clip := sim.TinyClip()
	u := s.replica()
	u.MaxBytes = 1 << 20
	spec := task.Spec{SourceID: receive(t, u, newUpload(), clip, 0).Source.ID}
	p, _ := s.resolver(task.Clip{}, nil)
	at := newAccount()
	for range 2 {
		if uri, err := ready(t.Context(), p, spec, "kie", at); err != nil || uri != "https://files.example/1" {
			t.Fatalf("got %q, %v, want the first copy", uri, err)
		}
	}
	if _, err := ready(t.Context(), p, spec, "kie-2", at); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE source_copy SET expire_time = now() WHERE account = 'kie'"); err != nil {
		t.Fatal(err)
	}
	if uri, err := ready(t.Context(), p, spec, "kie", at); err != nil || uri != "https://files.example/3" {
		t.Errorf("after the copy has expired: %q, %v, want a new one", uri, err)
	}
	if len(at.uploads) != 3 || len(at.names) != 3 || at.uploads[2] != string(clip) {
		t.Errorf("%d files under %d names, want three of each: one an account, and one again", len(at.uploads), len(at.names))
	}
}

// brokenOff is an account whose client reports a file that can't be read as trouble of the provider, as clients do.
type brokenOff struct{ *account }

func (brokenOff) Upload(_ context.Context, f provider.File) (string, error) {
	if c, ok := f.Content.(io.Closer); ok {
		_ = c.Close()
	}
	_, err := io.ReadAll(f.Content)
	return "", &provider.Error{Class: provider.Unavailable, Op: "upload", Err: err}
}

func TestPrepare_AFileThatCantBeReadIsNotTheProviders(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.MaxBytes = 1 << 20
	spec := task.Spec{SourceID: receive(t, u, newUpload(), sim.TinyClip(), 0).Source.ID}
	p, _ := s.resolver(task.Clip{}, nil)
	err := p.Prepare(t.Context(), spec, "kie", brokenOff{newAccount()})
	if _, byProvider := errors.AsType[*provider.Error](err); byProvider || !errors.Is(err, media.ErrStorage) {
		t.Errorf("got %v, want a failure of the storage", err)
	}
}

func TestLook_HandsNothingOver(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.MaxBytes = 1 << 20
	spec := task.Spec{SourceID: receive(t, u, newUpload(), sim.TinyClip(), 0).Source.ID}
	p, _ := s.resolver(task.Clip{}, nil)
	at := newAccount()
	if uri, err := p.Look(t.Context(), spec, "kie", at); !errors.Is(err, source.ErrNotHanded) || uri != "" || len(at.uploads) != 0 {
		t.Errorf("got %q, %v after %d uploads, want ErrNotHanded and none", uri, err, len(at.uploads))
	}
}

// TestLook_LooksOnceForAllWhoAsk asks many times at once, and leaves before the host answers.
func TestLook_LooksOnceForAllWhoAsk(t *testing.T) {
	t.Parallel()
	const askers = 10
	s := setup(t)
	p, _ := s.resolver(task.Clip{}, nil)
	asked := &countedProbes{Handover: p.Store}
	p.Store = asked
	var looking atomic.Int64
	var together atomic.Bool
	p.Probe = func(ctx context.Context, _ string) (task.Clip, error) {
		if looking.Add(1) > 1 {
			together.Store(true)
		}
		defer looking.Add(-1)
		<-ctx.Done()
		return task.Clip{}, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			if _, err := p.Look(ctx, task.Spec{SourceURI: "https://example.com/a.mp4"}, "kie", newAccount()); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that the context ended", err)
			}
		})
	}
	for looking.Load() == 0 || asked.n.Load() < askers {
		runtime.Gosched()
	}
	cancel()
	asking.Wait()
	if together.Load() {
		t.Error("looked several times at once, want once")
	}
}

// countedProbes counts the reads that found no valid probe of a URI.
type countedProbes struct {
	source.Handover
	n atomic.Int64
}

func (c *countedProbes) Probed(ctx context.Context, uri string) (task.Clip, bool, error) {
	clip, known, err := c.Handover.Probed(ctx, uri)
	c.n.Add(1)
	return clip, known, err
}

func TestPrepare_SaysWhyAnUploadedSourceIsNotSent(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u := s.replica()
	u.MaxBytes = 1 << 20
	good := receive(t, u, newUpload(), sim.TinyClip(), 0).Source.ID
	page := receive(t, u, newUpload(), []byte("<!DOCTYPE html><html>"), 0).Source.ID
	for name, tc := range map[string]struct {
		id     task.SourceID
		change func(*account)
		takes  string // The source of kie's offering, where it is not the built-in one.
		reason task.Reason
		says   string
	}{
		"too large":   {good, func(*account) {}, "max_bytes: 1000", task.InputTooLarge, "takes at most 0.001 MB"},
		"too long":    {good, func(*account) {}, "max_duration: 500ms", task.InputTooLong, "the source has 1 s; provider kie takes at most 0.5 s"},
		"unsupported": {page, func(*account) {}, "", task.InputUnsupported, "text/html"},
		"no way":      {good, func(a *account) { a.caps.Upload = false }, "", task.InputUnreachable, "--public-sources"},
		"gone":        {task.SourceID(newUpload()), func(*account) {}, "", task.InputUnreachable, "upload it again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := s.resolver(task.Clip{}, nil)
			if tc.takes != "" {
				p.Catalog = taking(t, tc.takes)
			}
			at := newAccount()
			tc.change(at)
			_, err := ready(t.Context(), p, task.Spec{SourceID: tc.id}, "kie", at)
			if u := unfit(t, err); u.Reason != tc.reason || !strings.Contains(u.Message, tc.says) {
				t.Errorf("got %s: %s", u.Reason, u.Message)
			}
		})
	}
	p, _ := s.resolver(task.Clip{}, nil)
	p.Link = func(id task.SourceID, _ time.Time) (string, error) {
		return "https://refract.example/" + string(id), nil
	}
	at := newAccount()
	at.caps.Upload = false
	if uri, err := ready(t.Context(), p, task.Spec{SourceID: good}, "luma", at); err != nil || uri != "https://refract.example/"+string(good) {
		t.Errorf("with public sources: %q, %v", uri, err)
	}
}

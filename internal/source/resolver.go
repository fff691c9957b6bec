package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

const (
	// linkLifetime is how long a link to a source works: most providers fetch at once, but some queue for hours.
	linkLifetime = 24 * time.Hour
	// probeMemory is how long the result of a probe of a URI is valid.
	probeMemory = 10 * time.Minute
	// rememberTimeout bounds the write of that result.
	rememberTimeout = 10 * time.Second
)

// Handover keeps the rows of uploaded sources, of their copies at providers, and of probes.
type Handover interface {
	// Source returns a source and notes that it is in use, or returns ErrNotFound.
	Source(ctx context.Context, id task.SourceID) (task.Source, error)
	// SourceCopy returns where a provider account has a copy of a source, or an empty URI.
	SourceCopy(ctx context.Context, id task.SourceID, account string) (uri string, err error)
	// KeepSourceCopy records that a provider account has a copy of a source for a lifetime.
	KeepSourceCopy(ctx context.Context, id task.SourceID, account, uri string, lifetime time.Duration) error
	// Probed returns what a probe found behind a URI, and whether there is a valid result.
	Probed(ctx context.Context, uri string) (task.Clip, bool, error)
	// KeepProbe records what a probe found behind a URI, for a lifetime.
	KeepProbe(ctx context.Context, uri string, c task.Clip, lifetime time.Duration) error
}

// Account is a provider account that gets a source. Upload is called only where the capabilities have it.
type Account interface {
	provider.Uploader
	Name() string
	Capabilities() provider.Capabilities
}

// Resolver judges the sources of tasks before they are paid for, and makes uploaded ones reachable for providers. It may be used
// concurrently.
type Resolver struct {
	Store  Handover
	Bucket *media.Bucket
	// Probe returns what is behind a URI, as media.Prober does. Nil means that sources are not judged at all.
	Probe func(ctx context.Context, uri string) (task.Clip, error)
	// Link returns a link to a source on our public listener; nil means that there are none.
	Link func(id task.SourceID, expiry time.Time) (string, error)
	// Catalog returns the models, which may change while the service runs.
	Catalog func() *catalog.Catalog
	// CheckURI returns an error when no provider can reach a URI.
	CheckURI func(uri string) error
	Log      *slog.Logger

	looks singleflight.Group
}

// ErrNotHanded means that a source must be handed to the provider first, which takes some minutes.
var ErrNotHanded = errors.New("the source is not handed to the provider yet")

// Look returns the URI under which a provider account gets the source of a task. It uploads nothing, and returns ErrNotHanded when
// an upload is needed. It takes as long as the host of a URI. Calls for one URI at the same time share one probe, which ends with
// the context of the first. It costs nothing, and may be repeated.
//
// An UnfitError says that this provider can't work with the source, or can't reach it. A *media.UnreachableError says that the
// source can't be fetched now. Every other error is ours.
func (r *Resolver) Look(ctx context.Context, spec task.Spec, account string, at Account) (string, error) {
	if spec.SourceID == "" {
		return spec.SourceURI, r.judgeURI(ctx, spec.SourceURI, at, r.offering(spec, at), r.probeTogether)
	}
	s, err := r.source(ctx, spec.SourceID, r.offering(spec, at))
	if err != nil {
		return "", err
	}
	uri, err := r.reachable(ctx, s, at)
	if errors.Is(err, ErrNotHanded) {
		return r.copy(ctx, s, account)
	}
	return uri, err
}

// Prepare makes a source ready for a provider account, so that the next Look succeeds at once, for whatever model: Look alone judges
// whether the model takes it. It may take minutes. It costs nothing, and may be repeated. Two at a time for one source and account
// are a waste.
//
// The errors are those of Look without ErrNotHanded, and the *provider.Error of an upload.
func (r *Resolver) Prepare(ctx context.Context, spec task.Spec, account string, at Account) error {
	if spec.SourceID == "" {
		return r.judgeURI(ctx, spec.SourceURI, at, nil, r.probe)
	}
	s, err := r.source(ctx, spec.SourceID, nil)
	if err == nil && r.Probe != nil {
		err = r.anyTakes(at, s.Clip)
	}
	if err != nil {
		return err
	}
	if _, err = r.reachable(ctx, s, at); errors.Is(err, ErrNotHanded) {
		return r.hand(ctx, s, account, at)
	}
	return err
}

// offering returns what a task asks of a provider, or nil where the catalog has no such offering.
func (r *Resolver) offering(spec task.Spec, at Account) *catalog.Offering {
	return r.Catalog().Offering(at.Name(), spec.Model)
}

// judge returns an UnfitError for a clip that an offering does not take, or, without one, no provider.
func judge(o *catalog.Offering, c task.Clip) error {
	if err := usable(c); err != nil || o == nil {
		return err
	}
	return fit(o, c)
}

// anyTakes returns an UnfitError for a clip that no model of a provider takes, so that it is not uploaded in vain.
func (r *Resolver) anyTakes(at Account, c task.Clip) (refusal error) {
	for _, m := range r.Catalog().Models() {
		o := m.At(at.Name())
		if o == nil {
			continue
		}
		err := fit(o, c)
		if err == nil {
			return nil
		}
		refusal = err
	}
	return refusal
}

// source reads an uploaded source, and judges it.
func (r *Resolver) source(ctx context.Context, id task.SourceID, o *catalog.Offering) (task.Source, error) {
	s, err := r.Store.Source(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return s, &UnfitError{task.InputUnreachable, "the uploaded source is no longer kept: upload it again", true}
	}
	if err == nil && r.Probe != nil {
		err = judge(o, s.Clip)
	}
	return s, err
}

// judgeURI judges what is behind a URI, by a valid result or else by a probe.
func (r *Resolver) judgeURI(
	ctx context.Context, uri string, at Account, o *catalog.Offering, probe func(context.Context, string) (task.Clip, error),
) error {
	if r.Probe == nil {
		return nil
	}
	clip, known, err := r.Store.Probed(ctx, uri)
	if err == nil && !known {
		clip, err = probe(ctx, uri)
	}
	if unreachable, ok := errors.AsType[*media.UnreachableError](err); ok && unreachable.Final {
		return &UnfitError{task.InputUnreachable, unreachable.Error(), true}
	}
	if err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	err = judge(o, clip)
	if err == nil && clip.Duration == 0 {
		r.Log.InfoContext(ctx, "the duration of a source is unknown; the provider has to judge it", "provider", at.Name(),
			"content_type", clip.ContentType, "size_bytes", clip.SizeBytes)
	}
	return err
}

// probe probes a URI and records the result.
func (r *Resolver) probe(ctx context.Context, uri string) (task.Clip, error) {
	clip, err := r.Probe(ctx, uri)
	if err == nil {
		err = r.Store.KeepProbe(ctx, uri, clip, probeMemory)
	}
	return clip, err
}

// remember records what a probe found behind a URI.
func (r *Resolver) remember(ctx context.Context, uri string, clip task.Clip) {
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	if err := r.Store.KeepProbe(ctx, uri, clip, probeMemory); err != nil {
		r.Log.WarnContext(ctx, "the result of a probe could not be recorded; the source is probed again", "error", err)
	}
}

// probeTogether probes once for all callers at the same time. None of them waits for the database to record the result.
func (r *Resolver) probeTogether(ctx context.Context, uri string) (task.Clip, error) {
	found := r.looks.DoChan(uri, func() (any, error) {
		clip, err := r.Probe(ctx, uri)
		if err == nil {
			go r.remember(context.WithoutCancel(ctx), uri, clip) // A lost result costs another probe.
		}
		return clip, err
	})
	select {
	case <-ctx.Done():
		return task.Clip{}, ctx.Err()
	case got := <-found:
		clip, _ := got.Val.(task.Clip)
		return clip, got.Err
	}
}

// reachable returns a link to an uploaded source for a provider: to the bucket or else to our public listener. Without either it
// returns ErrNotHanded.
func (r *Resolver) reachable(ctx context.Context, s task.Source, at Account) (string, error) {
	link, err := r.Bucket.SignedURL(ctx, s.Key, linkLifetime)
	switch {
	case err == nil && r.CheckURI(link) == nil:
		return link, nil
	case err != nil && !errors.Is(err, errors.ErrUnsupported):
		return "", err
	case r.Link != nil:
		return r.Link(s.ID, time.Now().Add(linkLifetime))
	case at.Capabilities().Upload:
		return "", ErrNotHanded
	default:
		return "", &UnfitError{task.InputUnreachable, fmt.Sprintf(
			"provider %s takes no uploads and can't reach uploaded sources: the operator can serve them with --public-sources, or keep them in a bucket that signs links, such as s3://",
			at.Name()), false}
	}
}

// copy returns where an account has a copy of a source that will live for long enough, or ErrNotHanded.
func (r *Resolver) copy(ctx context.Context, s task.Source, account string) (string, error) {
	uri, err := r.Store.SourceCopy(ctx, s.ID, account)
	if err == nil && uri == "" {
		err = ErrNotHanded
	}
	return uri, err
}

// hand uploads a source to a provider account, unless it has a copy.
func (r *Resolver) hand(ctx context.Context, s task.Source, account string, at Account) error {
	if _, err := r.copy(ctx, s, account); !errors.Is(err, ErrNotHanded) {
		return err
	}
	file, err := r.Bucket.Open(ctx, s.Key)
	if err != nil {
		return fmt.Errorf("hand source %s to %s: %w", s.ID, account, err)
	}
	defer func() { _ = file.Close() }() // It was only read.
	uri, err := at.Upload(ctx, provider.File{
		Name: string(s.ID) + "-" + rand.Text()[:8] + extension(s.ContentType), ContentType: s.ContentType, SizeBytes: s.SizeBytes, Content: file,
	})
	if broken := file.Err(); broken != nil { // The provider's client would report it as the provider's.
		return fmt.Errorf("hand source %s to %s: %w", s.ID, account, broken)
	}
	if err != nil {
		return err
	}
	// Half of its lifetime: an attempt that is sent with it needs it for some time.
	return r.Store.KeepSourceCopy(ctx, s.ID, account, uri, at.Capabilities().UploadLifetime/2)
}

// extension is how file names of a content type end. Some providers look at nothing else.
func extension(contentType string) string {
	switch contentType {
	case "video/quicktime":
		return ".mov"
	case "video/x-msvideo":
		return ".avi"
	case "video/x-matroska":
		return ".mkv"
	default:
		return ".mp4"
	}
}

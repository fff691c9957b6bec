package output

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/fair"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/tracing"
	"github.com/refract-video/refract/internal/upstream"
)

// results saves the results of one attempt.
type results struct {
	*Saver
	upstream *upstream.Account
	count    int
	tenant   string
	due      time.Time                               // When the links may end.
	again    func(context.Context) ([]string, error) // Asks the provider for the links once more, once for all results.
}

// save saves a result. Where its link is dead, or leads to something else than a video, it looks for another link: in a
// second answer of the provider, whose links may be fresh, and then by exchanging the link, where the provider can do that.
// The error says what was tried.
func (r *results) save(ctx context.Context, index int, link, key string) (media.Saved, error) {
	tried := attempts{of: fmt.Sprintf("output %d of %d", index, r.count)}
	saved, err := r.download(ctx, link, key)
	if tried.add("the provider's link", err); !stale(err) {
		return saved, tried.sum(err)
	}
	links, askErr := r.again(ctx)
	switch {
	case askErr != nil:
		tried.add("the provider was asked for another", askErr)
	case index >= len(links):
		tried.add("the provider was asked for another", errFewer)
	case links[index] == link:
		tried.add("the provider was asked for another", errSame)
	default:
		link = links[index]
		saved, err = r.download(ctx, link, key)
		if tried.add("the link in a second answer", err); !stale(err) {
			return saved, tried.sum(err)
		}
	}
	if !r.upstream.Capabilities().RefreshLinks {
		return saved, tried.sum(err)
	}
	fresh, exchangeErr := r.upstream.Exchange(ctx, link)
	if exchangeErr != nil {
		tried.add("the link was to be exchanged", exchangeErr)
		return saved, tried.sum(err)
	}
	saved, err = r.download(ctx, fresh, key)
	tried.add("the exchanged link", err)
	return saved, tried.sum(err)
}

// download saves what is behind a link, when its turn has come among all downloads of this replica.
func (r *results) download(ctx context.Context, link, key string) (media.Saved, error) {
	leave, err := r.downloads.Acquire(ctx, fair.Claim{Tenant: r.tenant, Host: hostOf(link), Due: r.due})
	if err != nil {
		return media.Saved{}, err
	}
	defer leave()
	ctx, span := tracing.Start(ctx, "", "save output", time.Time{})
	saved, err := r.Media.Save(ctx, link, key)
	if span.IsRecording() {
		span.SetAttributes(tracing.Size.Int64(saved.SizeBytes))
	}
	tracing.End(span, outcomeOf(err))
	return saved, err
}

// stale reports whether another link may help.
func stale(err error) bool {
	return errors.Is(err, media.ErrLinkDead) || errors.Is(err, media.ErrNotVideo)
}

// onceAgain makes the results of one attempt share one more question to the provider.
func onceAgain(ask func(context.Context) ([]string, error)) func(context.Context) ([]string, error) {
	var mu sync.Mutex
	var asked bool
	var links []string
	var err error
	return func(ctx context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if !asked {
			asked = true
			if links, err = ask(ctx); err != nil {
				err = fmt.Errorf("no answer: %w", err)
			}
		}
		return links, err
	}
}

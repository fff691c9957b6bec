package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/refract-video/refract/internal/media"
)

// results saves the results of one attempt.
type results struct {
	*saver
	upstream *upstream
	again    func(context.Context) ([]string, error) // Asks the provider for the links once more, once for all results.
}

// save saves a result. Where its link is dead, or leads to something else than a video, it looks for another link: in a
// second answer of the provider, whose links may be fresh, and then by exchanging the link, where the provider can do that.
// The error says what was tried.
func (r *results) save(ctx context.Context, index int, link, key string) (media.Saved, error) {
	var tried attempts
	saved, err := r.download(ctx, link, key)
	if tried.add("the provider's link", err); !stale(err) {
		return saved, tried.sum(err)
	}
	links, askErr := r.again(ctx)
	switch {
	case askErr != nil:
		tried.add("the provider was asked for another", askErr)
	case index >= len(links):
		tried.add("the provider was asked for another", errors.New("it names fewer files now"))
	case links[index] == link:
		tried.add("the provider was asked for another", errors.New("it names the same"))
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
	fresh, exchangeErr := r.upstream.refreshLink(ctx, link)
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
	if err := r.downloads.Acquire(ctx, 1); err != nil {
		return media.Saved{}, err
	}
	defer r.downloads.Release(1)
	return r.media.Save(ctx, link, key)
}

// stale tells whether another link may help.
func stale(err error) bool {
	return errors.Is(err, media.ErrLinkDead) || errors.Is(err, media.ErrNotVideo)
}

// attempts are what was tried to get a result, in order.
type attempts []string

// add notes what was tried and what came of it.
func (a *attempts) add(what string, err error) {
	if err == nil {
		return
	}
	if failed, ok := errors.AsType[*media.SaveError](err); ok {
		err = failed.Err // Without key and host, which say nothing to a caller.
	}
	*a = append(*a, what+": "+err.Error())
}

// sum returns err with all that was tried, or nil without one.
func (a *attempts) sum(err error) error {
	if err == nil {
		return nil
	}
	return &triedError{text: strings.Join(*a, "; "), err: err}
}

// triedError tells what was tried instead of its cause alone.
type triedError struct {
	text string
	err  error
}

func (e *triedError) Error() string { return e.text }
func (e *triedError) Unwrap() error { return e.err }

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

package server

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// addresses are the URLs that this service hands out, and what signs them. The keys are the same for all replicas.
type addresses struct {
	rest    string // Of REST, without a slash at its end.
	ingress string // As providers reach it, without a slash at its end.

	callbacks *callback.Tokens
	sealed    callback.Keyring // Opens what an ingress stored.
	outputs   *media.Links
	sources   *source.Links // Nil where sources are not public.
	resume    watch.Tokens  // Signs no URL, but the position of a stream.
}

// newAddresses returns the addresses under the operator's keys, or under those that the database keeps.
func newAddresses(ctx context.Context, f Config, db *database, l *listeners, log *slog.Logger) (a addresses, err error) {
	a.rest = f.BaseURL
	if u, err := url.Parse(f.BaseURL); err == nil && u.User != nil {
		log.WarnContext(ctx, "the user and the password of --base-url are left out of links, which everyone may read")
		u.User = nil
		a.rest = u.String()
	}
	if a.rest == "" {
		a.rest = f.HTTP.scheme() + "://" + l.http.Addr().String()
	}
	a.ingress = f.CallbackURL
	if a.ingress == "" && l.ingress != nil {
		a.ingress = f.Ingress.scheme() + "://" + l.ingress.Addr().String()
	}
	a.rest, a.ingress = strings.TrimSuffix(a.rest, "/"), strings.TrimSuffix(a.ingress, "/")

	keys := f.callbackKeys()
	if len(keys) == 0 {
		key, err := db.key(ctx, "callback_token_key")
		if err != nil {
			return a, err
		}
		keys = append(keys, key)
	}
	if a.callbacks, err = callback.NewTokens(keys...); err != nil {
		return a, err
	}
	if a.sealed, err = newIntakeKeyring(keys); err != nil {
		return a, err
	}
	if f.PublicSources {
		if a.sources, err = source.NewLinks(keys...); err != nil {
			return a, err
		}
	}
	key, err := db.key(ctx, "output_link_key")
	if err != nil {
		return a, err
	}
	if a.outputs, err = media.NewLinks(key); err != nil {
		return a, err
	}
	if key, err = db.key(ctx, "resume_token_key"); err != nil {
		return a, err
	}
	a.resume, err = watch.NewTokens(key)
	return a, err
}

// callback returns the URL that a provider calls about an attempt. It is a secret.
func (a addresses) callback(account string, id task.AttemptID) (string, error) {
	token, err := a.callbacks.Make(account, id)
	return a.ingress + "/v1/callbacks/" + account + "/" + token, err
}

// sourceLinks returns the function that returns the URL at which a provider fetches a source until it expires, which is a secret.
// It is nil where sources are not public.
func (a addresses) sourceLinks() func(id task.SourceID, expiry time.Time) (string, error) {
	if a.sources == nil {
		return nil
	}
	return func(id task.SourceID, expiry time.Time) (string, error) {
		token, err := a.sources.Make(id, expiry)
		return a.ingress + "/v1/sources/" + token, err
	}
}

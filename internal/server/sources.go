package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/source"
)

// sources opens uploaded sources by signed links: the token names the source, the database knows the key, the bucket
// has the file.
type sources struct {
	store    *postgres.Store
	bucket   *media.Bucket
	statuses *api.Statuses // So that a download is refused as a call is.
	links    *source.Links
}

// OpenSource implements httpapi.PublicSources. A forged token costs no query.
func (s *sources) OpenSource(ctx context.Context, token string) (io.ReadSeekCloser, string, time.Time, error) {
	id, err := s.links.Verify(token, time.Now())
	if err != nil {
		return nil, "", time.Time{}, fs.ErrNotExist
	}
	found, err := s.store.Source(ctx, id)
	if errors.Is(err, source.ErrNotFound) {
		return nil, "", time.Time{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, "", time.Time{}, s.statuses.Convert(ctx, "source", err)
	}
	file, err := s.bucket.Open(ctx, found.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", time.Time{}, err
	}
	if err != nil {
		return nil, "", time.Time{}, s.statuses.Convert(ctx, "source", err)
	}
	return file, found.ContentType, file.ModTime(), nil
}

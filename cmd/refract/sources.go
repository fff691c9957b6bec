package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/source"
)

// sources opens uploaded sources by signed links: the token names the source, the database knows the key, the bucket
// has the file.
type sources struct {
	store  *postgres.Store
	bucket *media.Bucket
	links  *source.Links
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
		return nil, "", time.Time{}, err
	}
	file, err := s.bucket.Open(ctx, found.Key)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	return file, found.ContentType, file.ModTime(), nil
}

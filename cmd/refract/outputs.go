package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/task"
)

// outputs opens outputs for downloads: the database knows the key, the bucket has the file.
type outputs struct {
	store  *postgres.Store
	bucket *media.Bucket
}

// OpenOutput implements httpapi.Outputs.
func (o *outputs) OpenOutput(ctx context.Context, taskID string, index int) (io.ReadSeekCloser, time.Time, error) {
	key, err := o.store.OutputKey(ctx, task.ID(taskID), index)
	if errors.Is(err, lifecycle.ErrTaskNotFound) {
		return nil, time.Time{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	file, err := o.bucket.Open(ctx, key)
	if err != nil {
		return nil, time.Time{}, err
	}
	return file, file.ModTime(), nil
}
